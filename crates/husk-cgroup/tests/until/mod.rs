// SPDX-License-Identifier: Apache-2.0
//! Waiting for what happens by itself.

use std::time::{Duration, Instant};

/// Waits until something holds, at most a minute: a machine may be slow, and only a failure waits for so long.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "not after a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
