// SPDX-License-Identifier: Apache-2.0
//! How the kernel treats a process beside others, by the programs of util-linux. They change the shell, which the command has it
//! from.

use std::ffi::CStr;

use husk_init::SchedAttr;
use husk_spec::oci::SchedulerPolicy;

use super::steps::{Piece, Place, text};
use crate::explain::treatment::{domain, memory_mode, numbers};

/// The reset of policy and nice value at fork (`sched(7)`), the one flag that chrt knows.
const RESET_ON_FORK: u64 = 1;

pub(super) fn processors(place: Place, words: &[u64]) -> Piece {
    Piece::new(place, format!("taskset -c -p {} $$ >/dev/null", numbers(words)))
}

pub(super) fn scheduler(attr: &SchedAttr) -> Piece {
    let policy = SchedulerPolicy::from_number(attr.policy);
    let option = match policy {
        Some(SchedulerPolicy::SchedFifo) => "--fifo".to_owned(),
        Some(SchedulerPolicy::SchedRr) => "--rr".to_owned(),
        Some(SchedulerPolicy::SchedBatch) => "--batch".to_owned(),
        Some(SchedulerPolicy::SchedIdle) => "--idle".to_owned(),
        Some(SchedulerPolicy::SchedDeadline) => format!(
            "--deadline -T {} -D {} -P {}",
            attr.runtime,
            attr.deadline,
            if attr.period == 0 { attr.deadline } else { attr.period }
        ),
        _ => "--other".to_owned(),
    };
    let reset = if attr.flags & RESET_ON_FORK == 0 { "" } else { " --reset-on-fork" };
    let mut line = format!("chrt {option}{reset} -p {} $$", attr.priority);
    if attr.nice != 0 {
        line += &format!("\nrenice -n {} -p $$ >/dev/null", attr.nice);
    }
    let piece = Piece::new(Place::Inside, line);
    match attr.flags & !RESET_ON_FORK {
        0 => piece,
        _ => piece.weaker("scheduler", "chrt knows none of the other flags"),
    }
}

pub(super) fn io_priority(class: u8, level: u8) -> Piece {
    let level = if class == 3 { String::new() } else { format!(" -n {level}") };
    Piece::new(Place::Inside, format!("ionice -c {class}{level} -p $$"))
}

pub(super) fn memory_policy(mode: u32) -> Piece {
    let why = format!("no program of util-linux sets a memory policy, as {} is one", memory_mode(mode));
    Piece::impossible("memory-policy", why)
}

pub(super) fn personality(number: u32) -> Piece {
    match number {
        0 => Piece::done("it is that already"),
        _ => Piece::impossible(
            "personality",
            format!("the command has the shell's execution domain, not {}", domain(number)),
        ),
    }
}

/// A word for a security module, which takes it at the next execve.
pub(super) fn attribute(file: &str, word: &CStr) -> Piece {
    Piece::new(Place::Inside, format!("printf %s {} >/proc/self/attr/{file}", text(word)))
        .weaker("labels", "the programs of the host that stand before the command have the label as well")
}
