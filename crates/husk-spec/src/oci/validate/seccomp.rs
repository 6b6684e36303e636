// SPDX-License-Identifier: Apache-2.0
//! `linux.seccomp`.

use super::super::{Action, Seccomp};
use super::{Outcome, Warnings, refuse, text};

/// A system call has six arguments.
const ARGUMENTS: u32 = 6;

pub(super) fn check(profile: &Seccomp, warnings: &mut Warnings) -> Outcome {
    let at = "linux.seccomp";
    if profile.default_action == Action::Notify {
        return refuse(
            format!("{at}.defaultAction"),
            "SCMP_ACT_NOTIFY would also stop the call that sends the listener",
        );
    }
    profile.listener_path.as_ref().map_or(Ok(()), |path| text(&format!("{at}.listenerPath"), path))?;
    if profile.listener_metadata.is_some() && profile.listener_path.is_none() {
        warnings.push(format!("{at}.listenerMetadata"), "ignored: there is no listenerPath to send it to");
    }
    for (i, rule) in profile.syscalls.iter().enumerate() {
        let path = format!("{at}.syscalls[{i}]");
        if rule.action == Action::Notify {
            if profile.listener_path.is_none() {
                return refuse(format!("{path}.action"), "SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath");
            }
            if rule.names.iter().any(|name| name == "write") {
                return refuse(
                    path,
                    "SCMP_ACT_NOTIFY for write would also stop the runtime's own last words",
                );
            }
        }
        for (j, argument) in rule.args.iter().enumerate() {
            if argument.index >= ARGUMENTS {
                let problem = format!("{} is out of range: 0 to 5", argument.index);
                return refuse(format!("{path}.args[{j}].index"), problem);
            }
        }
    }
    Ok(())
}
