// SPDX-License-Identifier: Apache-2.0
//! `kill`.

use std::ffi::OsStr;

use husk_runtime::container::{self, To};
use rustix::process::Signal;

use super::state_root;
use crate::command_line::{Globals, Kill};
use crate::failure::Failure;
use crate::{SUCCESS, Status};

/// The signals by number (`signal(7)`), as x86 and ARM have them.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

const SYNONYMS: [(&str, i32); 5] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("RTMIN", 34), ("RTMAX", 64)];

pub(crate) fn kill(globals: &Globals, kill: &Kill) -> Result<Status, Failure> {
    let signal = match &kill.signal {
        None => Some(Signal::TERM),
        Some(word) if word == "0" => None,
        Some(word) => Some(signal(word).ok_or_else(|| {
            Failure::new(format!("unknown signal {word:?}: a name such as TERM or a number from 0 to 64"))
        })?),
    };
    let to = if kill.all { To::All } else { To::Init };
    container::kill(&state_root(globals), &kill.id, signal, to)?;
    Ok(SUCCESS)
}

/// `9`, `KILL`, `SIGKILL`, `RTMIN+3`.
fn signal(word: &OsStr) -> Option<Signal> {
    let word = word.to_str()?.to_ascii_uppercase();
    let name = word.strip_prefix("SIG").unwrap_or(&word);
    let by_name = |name: &str| {
        let index = NAMES.iter().position(|known| *known == name).map(|index| index as i32 + 1);
        index.or_else(|| SYNONYMS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number))
    };
    let number = match (name.parse::<i32>(), name.split_once(['+', '-'])) {
        (Ok(number), _) if !name.starts_with(['+', '-']) => number,
        (_, Some((base @ "RTMIN", distance))) => by_name(base)? + distance.parse::<i32>().ok()?,
        (_, Some((base @ "RTMAX", distance))) => by_name(base)? - distance.parse::<i32>().ok()?,
        _ => by_name(name)?,
    };
    u32::try_from(number).ok().and_then(husk_sys::signal_of_number)
}
