// SPDX-License-Identifier: Apache-2.0
//! Tests that cannot run here say so.

use std::fs::OpenOptions;
use std::io::Write;

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Leaves a test that cannot run here: `skip!("name", "reason")`; the reason may be a format string with arguments.
#[macro_export]
macro_rules! skip {
    ($name:expr, $($reason:tt)+) => {{
        $crate::note_skip($name, &format!($($reason)+));
        return;
    }};
}

/// Says that the test `name` is skipped, and appends that to the file in HUSK_SKIPS, since cargo hides what a passing
/// test prints.
#[expect(clippy::print_stdout, reason = "this is the one place that does")]
pub fn note_skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}\n");
    print!("{line}");
    if let Some(path) = std::env::var_os("HUSK_SKIPS") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("HUSK_SKIPS can be written");
    }
}
