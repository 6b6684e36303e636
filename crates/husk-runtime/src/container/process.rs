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
        let stat = Stat::read(pid)?.ok_or(Errno::SRCH)?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }

    /// A descriptor that stands for it, `None` if it has ended.
    ///
    /// # Errors
    /// What keeps from telling, such as a lack of descriptors: it may be alive.
    pub fn open(&self) -> Result<Option<OwnedFd>, Errno> {
        let Some(pid) = Some(self.pid).filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        // Who has the id now is looked at after it was opened: it cannot change hands in between.
        Ok(self.look()?.then_some(pidfd))
    }

    /// Whether it has not ended. A zombie has. Where that cannot be told, it has not.
    pub fn is_alive(&self) -> bool {
        self.look().unwrap_or(true)
    }

    fn look(&self) -> Result<bool, Errno> {
        let same = |stat: Stat| stat.start_time == self.start_time && !stat.is_over;
        Ok(Stat::read(self.pid)?.is_some_and(same) && boot_id()? == self.boot_id)
    }

    /// Sends it a signal. False if it has ended.
    ///
    /// # Errors
    /// Those of `pidfd_send_signal(2)` but ESRCH.
    pub fn signal(&self, signal: Signal) -> Result<bool, Errno> {
        let Some(pidfd) = self.open()? else { return Ok(false) };
        match pidfd_send_signal(&pidfd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Waits until it has ended, at most so long. False if it has not by then.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub(crate) fn wait(&self, time: Duration) -> Result<bool, Errno> {
        let Some(pidfd) = self.open()? else { return Ok(true) };
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        loop {
            match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
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
    Stat::read(pid).ok()?.map(|stat| stat.flags & FORKED_NO_EXEC == 0)
}

impl Stat {
    /// That of process `pid`, `None` if there is none.
    fn read(pid: i32) -> Result<Option<Self>, Errno> {
        match std::fs::read(format!("/proc/{pid}/stat")) {
            // A name may be no UTF-8.
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) => match error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error) {
                Errno::NOENT | Errno::SRCH => Ok(None),
                errno => Err(errno),
            },
        }
    }

    /// The second field, the name in parentheses, may itself have spaces and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let flags = fields.nth(5)?.parse().ok()?;
        let threads: u64 = fields.nth(10)?.parse().ok()?;
        // A process whose first thread has ended before others is a zombie that runs.
        let is_over = matches!(state, "X" | "x") || state == "Z" && threads <= 1;
        Some(Self { is_over, flags, start_time: fields.nth(1)?.parse().ok()? })
    }
}

fn boot_id() -> Result<String, Errno> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let text = text.map_err(|error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_hides_nothing() {
        let with = |threads: u32| {
            let field = |n: u32| if n == 20 { threads } else { n };
            let rest = (4..=24).map(|n| field(n).to_string()).collect::<Vec<_>>().join(" ");
            Stat::parse(&format!("7 (a) Z 1 2 (b) Z {rest}")).expect("a line")
        };
        let stat = with(1);
        assert!(stat.is_over && !with(2).is_over);
        assert_eq!((stat.flags, stat.start_time), (9, 22));
    }

    #[test]
    fn another_process_with_the_same_id_is_not_taken_for_it() {
        let own = InitProcess::of(rustix::process::getpid()).expect("/proc");
        assert!(own.is_alive() && own.open().is_ok_and(|pidfd| pidfd.is_some()));
        let earlier = InitProcess { start_time: own.start_time.wrapping_sub(1), ..own.clone() };
        assert!(!earlier.is_alive() && earlier.open().is_ok_and(|pidfd| pidfd.is_none()));
        let before_reboot = InitProcess { boot_id: "another".to_owned(), ..own };
        assert!(!before_reboot.is_alive() && before_reboot.open().is_ok_and(|pidfd| pidfd.is_none()));
    }
}
