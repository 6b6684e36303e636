// SPDX-License-Identifier: Apache-2.0
//! Descriptors that a container is given beside the standard ones: those of `--preserve-fds`, and the sockets that systemd has
//! opened for it (`sd_listen_fds(3)`), which come first.

use std::env;
use std::fs;
use std::process;

use crate::failure::Failure;

/// The first after the standard ones.
const FIRST: u32 = 3;

/// What a container is given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// How many, from the first after the standard ones on.
    pub(crate) count: u32,
    /// What its environment says about them.
    pub(crate) variables: Vec<String>,
}

impl Descriptors {
    /// Those of `--preserve-fds` and of systemd. Called before anything is opened: what is open then is the caller's, and
    /// without a gap among them nothing of husk's own can get one of their numbers.
    pub(crate) fn of_container(preserved: u32) -> Result<Self, Failure> {
        let text = |name: &str| env::var(name).ok();
        let listening = Self::listening(text("LISTEN_PID"), text("LISTEN_FDS"), text("LISTEN_FDNAMES"));
        let all = Self { count: listening.count.saturating_add(preserved), ..listening };
        all.check()
    }

    /// Those of `--preserve-fds`: the sockets of systemd are for a container, not for each process in it.
    pub(crate) fn of_exec(preserved: u32) -> Result<Self, Failure> {
        Self { count: preserved, variables: Vec::new() }.check()
    }

    /// The sockets that systemd has opened for this process. In the container they are for its PID 1.
    fn listening(pid: Option<String>, count: Option<String>, names: Option<String>) -> Self {
        let is_ours = pid.and_then(|pid| pid.parse().ok()) == Some(process::id());
        let count = count.and_then(|count| count.parse().ok()).filter(|count| is_ours && *count > 0);
        let Some(count) = count else { return Self::default() };
        let mut variables = vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()];
        variables.extend(names.map(|names| format!("LISTEN_FDNAMES={names}")));
        Self { count, variables }
    }

    fn check(self) -> Result<Self, Failure> {
        let is_open = |number: &u32| fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
        match (FIRST..FIRST.saturating_add(self.count)).find(|number| !is_open(number)) {
            None => Ok(self),
            Some(gap) => Err(Failure::new(format!(
                "descriptor {gap} is not open, and {} after the standard ones are to be passed on",
                self.count
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_systemd_are_for_the_process_that_they_name() {
        let own = Some(process::id().to_string());
        let some = |text: &str| Some(text.to_owned());
        let ours = Descriptors::listening(own.clone(), some("2"), some("a:b"));
        assert_eq!(ours.count, 2);
        assert_eq!(ours.variables, ["LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=a:b"]);
        for (pid, count) in [(some("1"), some("2")), (None, some("2")), (own.clone(), None), (own, some("x"))]
        {
            assert_eq!(Descriptors::listening(pid, count, None), Descriptors::default());
        }
    }

    #[test]
    fn a_gap_is_refused() {
        let failure = Descriptors::of_exec(u32::MAX).expect_err("so many are not open");
        assert!(failure.message.contains("is not open"), "{}", failure.message);
    }
}
