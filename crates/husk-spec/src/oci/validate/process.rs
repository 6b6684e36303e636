// SPDX-License-Identifier: Apache-2.0
//! `process`.

use super::super::{Capabilities, Process, Rlimit, Scheduler, SchedulerPolicy};
use super::{Outcome, Warnings, absolute, id, number_list, refuse, text, texts};

pub(super) fn check(process: &Process, at: &str, warnings: &mut Warnings) -> Outcome {
    absolute(&format!("{at}cwd"), &process.cwd)?;
    if process.args.is_empty() {
        return refuse(format!("{at}args"), "empty: the command and its arguments");
    }
    texts(&format!("{at}args"), &process.args)?;
    for (i, entry) in process.env.iter().enumerate() {
        environment(&format!("{at}env[{i}]"), entry)?;
    }
    user(process, at)?;
    if let Some(capabilities) = &process.capabilities {
        check_capabilities(capabilities, &format!("{at}capabilities"), warnings)?;
    }
    rlimits(&process.rlimits, at)?;
    let labels = [("apparmorProfile", &process.apparmor_profile), ("selinuxLabel", &process.selinux_label)];
    for (name, label) in labels {
        label.as_ref().map_or(Ok(()), |label| text(&format!("{at}{name}"), label))?;
    }
    scheduling(process, at)
}

fn environment(path: &str, entry: &str) -> Outcome {
    text(path, entry)?;
    match entry.split_once('=') {
        None => refuse(path, format!("{entry:?} has no =: NAME=value")),
        Some(("", _)) => refuse(path, format!("{entry:?} has no name: NAME=value")),
        Some(_) => Ok(()),
    }
}

/// How many supplementary groups a process can have (`setgroups(2)`).
const NGROUPS_MAX: usize = 65_536;

fn user(process: &Process, at: &str) -> Outcome {
    id(&format!("{at}user.uid"), process.user.uid)?;
    id(&format!("{at}user.gid"), process.user.gid)?;
    let number = process.user.additional_gids.len();
    if number > NGROUPS_MAX {
        let problem = format!("{number} groups are too many: the kernel takes at most {NGROUPS_MAX}");
        return refuse(format!("{at}user.additionalGids"), problem);
    }
    let groups = process.user.additional_gids.iter().enumerate();
    groups
        .map(|(i, gid)| (i, *gid))
        .try_for_each(|(i, gid)| id(&format!("{at}user.additionalGids[{i}]"), gid))
}

fn check_capabilities(capabilities: &Capabilities, at: &str, warnings: &mut Warnings) -> Outcome {
    for (name, set) in capabilities.sets() {
        for (i, word) in set.iter().enumerate() {
            if Capabilities::known(word).is_none() {
                warnings
                    .push(format!("{at}.{name}[{i}]"), format!("unknown capability {word:?} is left out"));
            }
        }
    }
    let [_, effective, inheritable, permitted, ambient] =
        capabilities.sets().map(|(_, set)| Capabilities::known_of(set));
    if let Some(extra) = effective.iter().find(|capability| !permitted.contains(*capability)) {
        let problem =
            format!("{} is not in permitted, and the kernel refuses that (capset(2))", extra.name());
        return refuse(format!("{at}.effective"), problem);
    }
    for extra in ambient.iter().filter(|one| !permitted.contains(*one) || !inheritable.contains(*one)) {
        let problem =
            format!("{} is not in both permitted and inheritable, so it is not raised", extra.name());
        warnings.push(format!("{at}.ambient"), problem);
    }
    Ok(())
}

fn rlimits(rlimits: &[Rlimit], at: &str) -> Outcome {
    for (i, limit) in rlimits.iter().enumerate() {
        let path = format!("{at}rlimits[{i}]");
        if let Some(first) = rlimits[..i].iter().position(|earlier| earlier.kind == limit.kind) {
            return refuse(
                path,
                format!("{} is limited twice, first by {at}rlimits[{first}]", limit.kind.name()),
            );
        }
        if limit.soft > limit.hard {
            let problem =
                format!("soft {} is above hard {}, and the kernel refuses that", limit.soft, limit.hard);
            return refuse(path, problem);
        }
    }
    Ok(())
}

fn scheduling(process: &Process, at: &str) -> Outcome {
    if let Some(score) = process.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        return refuse(format!("{at}oomScoreAdj"), format!("{score} is out of range: -1000 to 1000"));
    }
    if let Some(io) = process.io_priority.filter(|io| !(0..=7).contains(&io.priority)) {
        return refuse(
            format!("{at}ioPriority.priority"),
            format!("{} is out of range: 0 to 7", io.priority),
        );
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        for (name, list) in [("initial", &affinity.initial), ("final", &affinity.last)] {
            let path = format!("{at}execCPUAffinity.{name}");
            list.as_ref().map_or(Ok(()), |list| number_list(&path, list))?;
        }
    }
    process
        .scheduler
        .as_ref()
        .map_or(Ok(()), |scheduler| check_scheduler(scheduler, &format!("{at}scheduler")))
}

/// The rules of `sched_setattr(2)`.
fn check_scheduler(scheduler: &Scheduler, at: &str) -> Outcome {
    use SchedulerPolicy as Policy;
    let policy = scheduler.policy;
    let nice = scheduler.nice.unwrap_or(0);
    let priority = scheduler.priority.unwrap_or(0);
    let [runtime, deadline, period] =
        [scheduler.runtime, scheduler.deadline, scheduler.period].map(Option::unwrap_or_default);
    if policy == Policy::SchedIso {
        return refuse(format!("{at}.policy"), "SCHED_ISO is a policy that Linux never had");
    }
    if matches!(policy, Policy::SchedOther | Policy::SchedBatch) && !(-20..=19).contains(&nice) {
        return refuse(format!("{at}.nice"), format!("{nice} is out of range: -20 to 19"));
    }
    if matches!(policy, Policy::SchedFifo | Policy::SchedRr) {
        if !(1..=99).contains(&priority) {
            return refuse(format!("{at}.priority"), format!("{priority} is out of range: 1 to 99"));
        }
    } else if priority != 0 {
        return refuse(
            format!("{at}.priority"),
            "only SCHED_FIFO and SCHED_RR have a priority: leave it out",
        );
    }
    if policy == Policy::SchedDeadline {
        if runtime > deadline || (period != 0 && deadline > period) {
            return refuse(at, "runtime may not be above deadline, nor deadline above period");
        }
    } else if runtime != 0 || deadline != 0 || period != 0 {
        return refuse(at, "only SCHED_DEADLINE has runtime, deadline and period: leave them out");
    }
    Ok(())
}
