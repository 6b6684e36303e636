// SPDX-License-Identifier: Apache-2.0
//! The environment: the defaults, then `--env-file`, then `--env`; the last word on a name counts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use husk_spec::{Environment, Given, Terminal};

use super::{Problem, Refused, defaults};
use crate::caller::Caller;
use crate::cli::RunOptions;

/// HOME is not here: it follows from the container's passwd.
pub(super) fn lower(
    options: &RunOptions,
    caller: &Caller,
    hostname: Option<&Given<String>>,
    terminal: &Terminal,
) -> Result<Vec<Given<Environment>>, Refused> {
    let mut variables = Variables::default();
    variables.set("PATH", OsString::from(defaults::PATH), || Given::default((), "PATH"));
    if !terminal.stdio.is_empty() {
        let term = value_of("TERM", caller).unwrap_or_else(|| OsString::from(defaults::TERM));
        variables.set("TERM", term, || Given::default((), "TERM: the terminal's"));
    }
    if let Some(hostname) = hostname {
        variables.set("HOSTNAME", OsString::from(&hostname.value), || Given::default((), "HOSTNAME"));
    }
    for (path, content) in options.env_file.iter().zip(&caller.env_files) {
        for (number, line) in lines(content) {
            let at = |problem: Problem| {
                Problem { why: format!("line {number}: {}", problem.why), ..problem }.of("--env-file", path)
            };
            check_file_name(line).map_err(at)?;
            variables.take(line, caller, "--env-file").map_err(at)?;
        }
    }
    for word in &options.env {
        variables.take(word.as_bytes(), caller, "--env").map_err(|problem| problem.of("--env", word))?;
    }
    Ok(variables.0)
}

#[derive(Default)]
struct Variables(Vec<Given<Environment>>);

impl Variables {
    fn set(&mut self, name: impl AsRef<OsStr>, value: OsString, origin: impl FnOnce() -> Given<()>) {
        let name = name.as_ref().to_owned();
        let origin = origin().origin;
        match self.0.iter_mut().find(|variable| variable.value.name == name) {
            Some(earlier) => *earlier = Given { value: Environment { name, value }, origin },
            None => self.0.push(Given { value: Environment { name, value }, origin }),
        }
    }

    /// `NAME=VALUE`, or `NAME` for the caller's value, if there is one.
    fn take(&mut self, word: &[u8], caller: &Caller, option: &str) -> Result<(), Problem> {
        let (name, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                (OsStr::from_bytes(&word[..equals]), Some(OsStr::from_bytes(&word[equals + 1..])))
            }
            None => (OsStr::from_bytes(word), None),
        };
        if name.is_empty() {
            return Err(
                Problem::new("the variable has no name").hint("NAME=VALUE, or NAME for your own value")
            );
        }
        if word.contains(&0) {
            return Err(Problem::new("there is a NUL byte in it, and no variable can hold one"));
        }
        if let Some(value) = value.map(OsStr::to_owned).or_else(|| value_of(name, caller)) {
            self.set(name, value, || Given::argument((), option));
        }
        Ok(())
    }
}

fn value_of(name: impl AsRef<OsStr>, caller: &Caller) -> Option<OsString> {
    caller.environment.iter().find(|(known, _)| known == name.as_ref()).map(|(_, value)| value.clone())
}

/// The lines that say something, with their numbers: Docker's format, in which values are taken as they are, quotes too.
fn lines(content: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    content
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start())
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

/// A name with a space is most likely a line of another format: `export A=1`.
fn check_file_name(line: &[u8]) -> Result<(), Problem> {
    let name = line.split(|byte| *byte == b'=').next().unwrap_or_default();
    if name.iter().any(u8::is_ascii_whitespace) {
        let name = String::from_utf8_lossy(name);
        return Err(Problem::new(format!("the name {name:?} has a space in it"))
            .hint("NAME=VALUE, without spaces around ="));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::caller;
    use super::*;
    use proptest::prelude::*;

    fn environment(env: &[&str], files: &[&[u8]]) -> Result<Vec<String>, String> {
        let options = RunOptions {
            env: env.iter().map(OsString::from).collect(),
            env_file: files.iter().map(|_| OsString::from("vars")).collect(),
            ..RunOptions::default()
        };
        let caller = Caller { env_files: files.iter().map(|file| file.to_vec()).collect(), ..caller() };
        let terminal = Terminal { stdio: Vec::new(), size: None, inherit_settings: true };
        let shown = |variable: Given<Environment>| {
            let Environment { name, value } = variable.value;
            format!("{}={} ({})", name.to_string_lossy(), value.to_string_lossy(), variable.origin)
        };
        match lower(&options, &caller, None, &terminal) {
            Ok(variables) => Ok(variables
                .into_iter()
                .map(shown)
                .skip_while(|line| line.starts_with("PATH=/usr/local"))
                .collect()),
            Err(refused) => Err(crate::failure::Failure::from(refused).problem),
        }
    }

    #[test]
    fn a_name_alone_takes_the_callers_value_if_there_is_one() {
        let taken = environment(&["EDITOR", "NOPE", "A=", "B=x=y"], &[]);
        assert_eq!(taken, Ok(vec!["EDITOR=vi (--env)".into(), "A= (--env)".into(), "B=x=y (--env)".into()]));
    }

    #[test]
    fn the_last_word_on_a_name_counts() {
        let taken = environment(&["A=4", "A=5"], &[b"A=1\nA=2\nPATH=/x", b"A=3\nB=b"]);
        assert_eq!(
            taken,
            Ok(vec!["PATH=/x (--env-file)".into(), "A=5 (--env)".into(), "B=b (--env-file)".into()])
        );
    }

    #[test]
    fn a_file_as_docker_reads_it() {
        let file = b"\xef\xbb\xbf# first\r\n\n  A=1 \r\nB=\"q\" # no comment\nEDITOR\nNOPE\n\t#C=3\nD==";
        let taken = environment(&[], &[file]);
        let expected = ["A=1 ", "B=\"q\" # no comment", "EDITOR=vi", "D=="];
        assert_eq!(taken, Ok(expected.iter().map(|line| format!("{line} (--env-file)")).collect()));
    }

    #[test]
    fn what_is_no_variable() {
        let why = |env: &[&str], files: &[&[u8]]| environment(env, files).expect_err("refused");
        assert_eq!(why(&[""], &[]), "--env: the variable has no name");
        assert_eq!(why(&["=x"], &[]), "--env =x: the variable has no name");
        assert_eq!(
            why(&[], &[b"A=1\nexport B=2"]),
            "--env-file vars: line 2: the name \"export B\" has a space in it"
        );
        assert_eq!(why(&[], &[b"\n=x"]), "--env-file vars: line 2: the variable has no name");
        assert_eq!(
            why(&[], &[b"A=\0"]),
            "--env-file vars: line 1: there is a NUL byte in it, and no variable can hold one"
        );
    }

    proptest! {
        #[test]
        fn what_comes_out_is_strictly_name_and_value(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let options = RunOptions { env_file: vec!["vars".into()], ..RunOptions::default() };
            let caller = Caller { env_files: vec![content], ..caller() };
            let terminal = Terminal { stdio: Vec::new(), size: None, inherit_settings: true };
            if let Ok(variables) = lower(&options, &caller, None, &terminal) {
                for Environment { name, value } in variables.into_iter().map(|variable| variable.value) {
                    prop_assert!(!name.is_empty() && !name.as_bytes().iter().any(|byte| b"=\0\n".contains(byte)));
                    prop_assert!(!value.as_bytes().iter().any(|byte| b"\0\n".contains(byte)));
                }
            }
        }
    }
}
