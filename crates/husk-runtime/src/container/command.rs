// SPDX-License-Identifier: Apache-2.0
//! The last of a start: the process becomes the command, or says why it cannot.

use husk_init::Failure;
use husk_plan::seccomp;
use husk_spec::oci::{Seccomp, State};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::agent::Agent;
use super::{Error, process};
use crate::link::{Heard, Link};

/// A process on the point of becoming the command.
pub(crate) struct Becoming<'a> {
    /// Its id on the host.
    pub(crate) pid: i32,
    /// What decides about its system calls.
    pub(crate) profile: Option<&'a Seccomp>,
    /// Who answers the notifications of that.
    pub(crate) agent: Option<Agent>,
    /// The state of its container meanwhile.
    pub(crate) state: State,
}

impl Becoming<'_> {
    /// Waits until it is the command. `explain` makes an error of a failure that it tells of.
    pub(crate) fn wait(
        mut self,
        link: &Link,
        explain: impl FnOnce(Failure, Option<OwnedFd>) -> Error,
    ) -> Result<(), Error> {
        let heard = |errno| Error::Run(crate::Error::Supervise(errno));
        loop {
            match link.hear().map_err(heard)? {
                Heard::End => return self.check_end(),
                Heard::Listener(listener) => {
                    let agent = self.agent.take().ok_or(heard(Errno::BADMSG))?;
                    agent.send(&listener, self.pid, self.state.clone())?;
                }
                Heard::Failure(failure, root) => {
                    return Err(self.refused(&failure).unwrap_or_else(|| explain(failure, root)));
                }
                Heard::Terminal(_) | Heard::Paused => return Err(heard(Errno::BADMSG)),
            }
        }
    }

    /// The link ends with the exec, and with the process: under a filter that may be without a word.
    fn check_end(&self) -> Result<(), Error> {
        match (self.profile, process::has_executed(self.pid)) {
            (Some(profile), Some(false)) => {
                Err(Error::EndedByFilter { in_the_way: seccomp::in_the_way(profile) })
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, failure: &Failure) -> Option<Error> {
        let by = seccomp::refused(self.profile?, failure.call.name(), failure.errno.raw_os_error())?;
        Some(Error::RefusedByFilter { call: failure.call.name(), by, errno: failure.errno })
    }
}
