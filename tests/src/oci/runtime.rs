// SPDX-License-Identifier: Apache-2.0
//! The runtime that is tested.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{Command, binary};

/// An OCI runtime: its program, and what it says it is.
#[derive(Debug)]
pub struct Runtime {
    path: PathBuf,
    name: String,
    version: (u32, u32, u32),
}

impl Runtime {
    /// The runtime that is tested: the program that HUSK_OCI names, by path or by a name in the usual directories, else
    /// the debug build of husk-oci.
    ///
    /// # Errors
    /// Why there is none.
    pub fn under_test() -> Result<&'static Self, &'static str> {
        static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
        let find = || match std::env::var("HUSK_OCI") {
            Ok(program) => Some(Self::ask(find(&program))),
            Err(_) => binary::built("husk-oci").map(Self::ask),
        };
        RUNTIME.get_or_init(find).as_ref().ok_or("no husk-oci in this workspace yet")
    }

    fn ask(path: PathBuf) -> Self {
        let output = Command::new(&path).arg("--version").run();
        let line = output.succeeds().stdout.lines().next().unwrap_or_default();
        let (name, version) =
            line.split_once(" version ").unwrap_or_else(|| panic!("no version in:\n{output}"));
        Self { name: name.to_owned(), version: numbers(version), path }
    }

    /// Its program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, as `--version` has it: `husk-oci`, `runc`, `crun`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first three numbers of its version.
    pub fn version(&self) -> (u32, u32, u32) {
        self.version
    }

    /// Whether it is the runtime `name`, in a version before `version`. The references that a distribution has may be
    /// older than what is tested.
    pub fn is_before(&self, name: &str, version: (u32, u32, u32)) -> bool {
        self.name == name && self.version < version
    }
}

fn find(program: &str) -> PathBuf {
    let directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = match program.contains('/') {
        true => Some(PathBuf::from(program)),
        false => {
            directories.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.exists())
        }
    };
    found
        .and_then(|path| path.canonicalize().ok())
        .unwrap_or_else(|| panic!("HUSK_OCI={program}: there is no such program"))
}

/// The first three numbers of a version; what is missing is 0.
fn numbers(version: &str) -> (u32, u32, u32) {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_of_distributions_are_read() {
        assert_eq!(numbers("1.1.5+ds1"), (1, 1, 5));
        assert_eq!(numbers("1.29"), (1, 29, 0));
        assert_eq!(numbers("1.4.0-rc.1"), (1, 4, 0));
    }
}
