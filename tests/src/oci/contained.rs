// SPDX-License-Identifier: Apache-2.0
//! Tests that let something hostile run do so where it can do no harm if the runtime fails: in a mount namespace of their own, on a
//! tmpfs of limited size, with a limit to what is written to one file. One such test, not contained, once filled a disk.

use std::process::Command as Process;

use crate::is_root;

/// Says to the test program that it is contained already.
const MARK: &str = "HUSK_TEST_CONTAINED";

/// The devices that a container can get hold of by mistake are the test's own: a node is one for the whole machine, whatever mount
/// namespace its mode is changed in.
const SCRIPT: &str = "mount -t tmpfs -o size=768m,mode=755 husk-hostile \"$0\" && export TMPDIR=\"$0\" && mkdir \"$0/dev\" && \
                      mknod -m 666 \"$0/dev/null\" c 1 3 && mount --bind \"$0/dev/null\" /dev/null && \
                      exec prlimit --fsize=67108864 --core=0 \"$@\" < /dev/null";

/// Whether the test `name` is contained. If it is not, it has now been run to its end in another process where it is.
#[doc(hidden)]
pub fn is_contained(name: &str) -> bool {
    if !is_root() || std::env::var_os(MARK).is_some() {
        return true;
    }
    let directory = tempfile::Builder::new().prefix("husk-hostile-").tempdir().expect("a directory");
    let mut unshare = Process::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT]).arg(directory.path());
    unshare.arg(std::env::current_exe().expect("a test knows its program")).args([
        name,
        "--exact",
        "--nocapture",
    ]);
    let output = unshare.env(MARK, "1").output().expect("unshare starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && out.contains("1 passed"),
        "{name}, contained: {}\n{out}\n{err}",
        output.status
    );
    false
}

/// An [`oci_site`](crate::oci_site) where something hostile may run.
#[macro_export]
macro_rules! contained_site {
    () => {{
        fn contained() {}
        if !$crate::oci::is_contained($crate::oci::test_name(std::any::type_name_of_val(&contained))) {
            return;
        }
        $crate::oci_site!()
    }};
}
