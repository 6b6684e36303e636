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

const SYNONYMS: [(&str, u32); 3] = [("IOT", 6), ("CLD", 17), ("POLL", 29)];

/// The real-time signals that libc leaves to programs (`signal(7)`).
const RTMIN: u32 = 34;
const RTMAX: u32 = 64;

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

/// `9`, `KILL`, `SIGKILL`, `RTMIN+3`, `RTMAX-2`.
fn signal(word: &OsStr) -> Option<Signal> {
    let word = word.to_str()?.to_ascii_uppercase();
    let name = word.strip_prefix("SIG").unwrap_or(&word);
    number(name).or_else(|| by_name(name)).or_else(|| real_time(name)).and_then(husk_sys::signal_of_number)
}

/// Digits alone: a sign is none of a number's here.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn by_name(name: &str) -> Option<u32> {
    let known = NAMES.iter().zip(1..).find(|(known, _)| **known == name).map(|(_, number)| number);
    known.or_else(|| SYNONYMS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number))
}

/// Counted up from the first and down from the last.
fn real_time(name: &str) -> Option<u32> {
    let found = match name {
        "RTMIN" => Some(RTMIN),
        "RTMAX" => Some(RTMAX),
        name => match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
            (Some(distance), _) => RTMIN.checked_add(number(distance)?),
            (_, Some(distance)) => RTMAX.checked_sub(number(distance)?),
            _ => None,
        },
    };
    found.filter(|number| (RTMIN..=RTMAX).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_or_a_number() {
        let number = |word: &str| signal(OsStr::new(word)).map(Signal::as_raw);
        for (word, expected) in [
            ("9", 9),
            ("KILL", 9),
            ("sigkill", 9),
            ("IOT", 6),
            ("SYS", 31),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-2", 62),
            ("64", 64),
        ] {
            assert_eq!(number(word), Some(expected), "{word}");
        }
        for wrong in [
            "",
            "65",
            "+9",
            "-9",
            "SIG",
            "KILLS",
            "RTMIN-3",
            "RTMAX+3",
            "RTMIN+31",
            "RTMAX-31",
            "RTMIN++3",
            "RTMIN+-3",
            "RTMIN+2147483647",
        ] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }
}
