// SPDX-License-Identifier: Apache-2.0
//! Waiting for what has to come.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take before it counts as hanging. No test asks how fast something is, and a machine may be slow or busy:
/// so this is long, and nothing but a failure takes it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is looked at again.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);

/// Waits until it is so; the test fails if it never is.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(PAUSE);
    }
}

/// Whether a process that had run by now does nothing for a moment: it sleeps, and has hardly used a processor since. One that
/// spins never does.
pub fn is_idle(pid: u32) -> bool {
    let look = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let fields: Vec<_> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
        // In clock ticks of 10 ms: in user mode, and in the kernel.
        let used: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
        (fields[0] == "S", used)
    };
    let (sleeps, used) = look();
    sleep(Duration::from_millis(300));
    let (sleeps_on, used_now) = look();
    sleeps && sleeps_on && used_now - used <= 1
}
