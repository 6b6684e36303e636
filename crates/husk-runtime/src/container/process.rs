// SPDX-License-Identifier: Apache-2.0
//! A container's first process, found again by later calls. A process id alone may be somebody else's by then.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// What tells a process from every other one that this machine has had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitProcess {
    /// Its id on the host.
    pub pid: i32,
    /// When it began, in clock ticks since the machine did (`/proc/PID/stat`, field 22).
    start_time: u64,
    /// Which of the machine's starts that was.
    boot_id: String,
}

impl InitProcess {
    /// Process `pid`, which must be there.
    ///
    /// # Errors
    /// A /proc that cannot be read.
    pub(crate) fn of(pid: Pid) -> Result<Self, Errno> {
        let pid = pid.as_raw_nonzero().get();
        let stat = Stat::of(pid).ok_or(Errno::SRCH)?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id() })
    }

    /// A descriptor that stands for it, `None` if it has ended.
    pub fn open(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.pid)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Who has the id now is looked at after it was opened: it cannot change hands in between.
        self.is_alive().then_some(pidfd)
    }

    /// Whether it has not ended. A zombie has.
    pub fn is_alive(&self) -> bool {
        let same = |stat: Stat| stat.start_time == self.start_time && !stat.is_over;
        Stat::of(self.pid).is_some_and(same) && boot_id() == self.boot_id
    }

    /// Sends it a signal. False if it has ended.
    ///
    /// # Errors
    /// Those of `pidfd_send_signal(2)` but ESRCH.
    pub fn signal(&self, signal: Signal) -> Result<bool, Errno> {
        let Some(pidfd) = self.open() else { return Ok(false) };
        match pidfd_send_signal(&pidfd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Waits until it has ended, at most so long. False if it has not by then.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let Some(pidfd) = self.open() else { return true };
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        loop {
            match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&timeout)) {
                Ok(ready) => return ready > 0,
                Err(Errno::INTR) => {}
                Err(_) => return !self.is_alive(),
            }
        }
    }
}

/// What `/proc/PID/stat` says.
struct Stat {
    start_time: u64,
    is_over: bool,
    flags: u64,
}

/// The flag of a process that has not executed anything since it was made (`PF_FORKNOEXEC`, linux/sched.h).
const FORKED_NO_EXEC: u64 = 0x40;

/// Whether process `pid` has executed a program. `None` if it is gone, which it is not while its parent has not asked for its
/// end.
pub(crate) fn has_executed(pid: i32) -> Option<bool> {
    Stat::of(pid).map(|stat| stat.flags & FORKED_NO_EXEC == 0)
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field, the name in parentheses, may itself have spaces and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let is_over = matches!(fields.next()?, "Z" | "X" | "x");
        let flags = fields.nth(5)?.parse().ok()?;
        Some(Self { is_over, flags, start_time: fields.nth(12)?.parse().ok()? })
    }
}

fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_hides_nothing() {
        let rest = (3..=22).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let text = format!("7 (a) Z 1 2 (b) Z {rest} 23 24");
        let stat = Stat::parse(&text).expect("a line");
        assert!(stat.is_over);
        assert_eq!((stat.flags, stat.start_time), (8, 21));
    }

    #[test]
    fn another_process_with_the_same_id_is_not_taken_for_it() {
        let own = InitProcess::of(rustix::process::getpid()).expect("/proc");
        assert!(own.is_alive() && own.open().is_some());
        let earlier = InitProcess { start_time: own.start_time.wrapping_sub(1), ..own.clone() };
        assert!(!earlier.is_alive() && earlier.open().is_none());
        let before_reboot = InitProcess { boot_id: "another".to_owned(), ..own };
        assert!(!before_reboot.is_alive() && before_reboot.open().is_none());
    }
}
