// SPDX-License-Identifier: Apache-2.0
//! `/proc/PID/status` (`proc_pid_status(5)`).

use crate::capability::CapabilitySet;
use crate::text::Text;

/// What `/proc/PID/status` says of a process. It is readable for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The name of its thread: the program's, unless it has chosen another.
    pub name: Text,
    /// Its parent, 0 if that is outside of the pid namespace that is looked at.
    pub parent: u32,
    /// Real, effective, saved and file system user id, as husk's user namespace numbers them.
    pub uids: [u32; 4],
    /// The same of groups.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Its id in the pid namespace that is looked at, and in each one below, to its own.
    pub pids: Vec<u32>,
    /// Its file mode creation mask (Linux 4.7).
    pub umask: Option<u32>,
    /// Whether it leads a session, and so started it.
    pub leads_session: bool,
    /// How many threads it has.
    pub threads: u32,
    /// Whether it is a thread of the kernel's.
    pub is_kernel: bool,
    /// Whether it has ended, and only waits for its parent to notice.
    pub has_ended: bool,
    /// Its capabilities.
    pub capabilities: Option<Capabilities>,
    /// `no_new_privs` (`prctl(2)`).
    pub no_new_privs: Option<bool>,
    /// Its seccomp mode.
    pub seccomp: Option<Seccomp>,
    /// How many seccomp filters it has (Linux 5.9).
    pub seccomp_filters: Option<u32>,
}

/// The five sets of `capabilities(7)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What it may do.
    pub effective: CapabilitySet,
    /// What it may make effective.
    pub permitted: CapabilitySet,
    /// What it passes on to programs that ask for it.
    pub inheritable: CapabilitySet,
    /// The most that any program it executes can get.
    pub bounding: CapabilitySet,
    /// What it passes on to every program.
    pub ambient: CapabilitySet,
}

impl Capabilities {
    /// The sets with their names, as they are shown.
    pub fn sets(&self) -> [(&'static str, CapabilitySet); 5] {
        [
            ("effective", self.effective),
            ("permitted", self.permitted),
            ("inheritable", self.inheritable),
            ("bounding", self.bounding),
            ("ambient", self.ambient),
        ]
    }
}

/// Whether system calls are filtered (`seccomp(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// No.
    Off,
    /// Only `read`, `write`, `_exit` and `sigreturn`.
    Strict,
    /// By a program.
    Filter,
}

impl Seccomp {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Strict => "strict",
            Self::Filter => "filter",
        }
    }
}

/// Reads the file; `None` if it is of no process.
pub fn parse(content: &[u8]) -> Option<Status> {
    let mut status = Status::default();
    let mut sets = [None; 5];
    let mut session = Vec::new();
    for line in content.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match key {
            // Taken as it stands but for the tab: a name may begin or end in blanks.
            b"Name" => status.name = unescaped(line[colon + 1..].strip_prefix(b"\t").unwrap_or(value)),
            b"PPid" => status.parent = number(value)?,
            b"Uid" => status.uids = four(value)?,
            b"Gid" => status.gids = four(value)?,
            b"Groups" => status.groups = numbers(value),
            b"NSpid" => status.pids = numbers(value),
            b"NSsid" => session = numbers(value),
            b"Umask" => status.umask = octal(value),
            b"State" => status.has_ended = value.starts_with(b"Z") || value.starts_with(b"X"),
            b"Threads" => status.threads = number(value)?,
            b"Kthread" => status.is_kernel = value == b"1",
            b"CapInh" => sets[0] = set(value),
            b"CapPrm" => sets[1] = set(value),
            b"CapEff" => sets[2] = set(value),
            b"CapBnd" => sets[3] = set(value),
            b"CapAmb" => sets[4] = set(value),
            b"NoNewPrivs" => status.no_new_privs = Some(value == b"1"),
            b"Seccomp" => status.seccomp = seccomp(value),
            b"Seccomp_filters" => status.seccomp_filters = number(value),
            _ => {}
        }
    }
    if let [Some(inheritable), Some(permitted), Some(effective), Some(bounding), Some(ambient)] = sets {
        status.capabilities = Some(Capabilities { effective, permitted, inheritable, bounding, ambient });
    }
    status.leads_session = !session.is_empty() && session.last() == status.pids.last();
    (status.threads > 0).then_some(status)
}

fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn numbers(value: &[u8]) -> Vec<u32> {
    value.split(u8::is_ascii_whitespace).filter_map(number).collect()
}

fn octal(value: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(value).ok()?, 8).ok()
}

fn four(value: &[u8]) -> Option<[u32; 4]> {
    numbers(value).try_into().ok()
}

fn set(value: &[u8]) -> Option<CapabilitySet> {
    u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok().map(CapabilitySet)
}

fn seccomp(value: &[u8]) -> Option<Seccomp> {
    match value {
        b"0" => Some(Seccomp::Off),
        b"1" => Some(Seccomp::Strict),
        b"2" => Some(Seccomp::Filter),
        _ => None,
    }
}

/// The kernel writes a newline as `\n` and a backslash as `\\`.
fn unescaped(name: &[u8]) -> Text {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, rest.as_slice().first()) {
            (b'\\', Some(b'n')) => {
                rest.next();
                b'\n'
            }
            (b'\\', Some(b'\\')) => {
                rest.next();
                b'\\'
            }
            _ => *byte,
        });
    }
    Text::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHELL: &[u8] = b"Name:\tsh\\n\\\\x\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4712\nNgid:\t0\nPid:\t4712\n\
        PPid:\t4700\nTracerPid:\t0\nUid:\t0\t100000\t0\t0\nGid:\t0\t0\t0\t1\nFDSize:\t64\nGroups:\t4 27 \nNStgid:\t4712\t1\n\
        NSpid:\t4712\t9\t1\nNSsid:\t4712\t9\t1\nKthread:\t0\nThreads:\t2\nCapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\n\
        CapEff:\t0000000000000001\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
        Seccomp_filters:\t3\n";

    #[test]
    fn the_facts_of_a_shell() {
        let status = parse(SHELL).expect("a process");
        assert_eq!(status.name.bytes(), b"sh\n\\x");
        assert_eq!((status.parent, status.threads), (4700, 2));
        assert_eq!((status.umask, status.leads_session), (Some(0o022), true));
        assert_eq!((status.uids, status.gids), ([0, 100_000, 0, 0], [0, 0, 0, 1]));
        assert_eq!((status.groups, status.pids), (vec![4, 27], vec![4712, 9, 1]));
        let capabilities = status.capabilities.expect("known");
        assert_eq!(capabilities.effective, CapabilitySet(1));
        assert_eq!(capabilities.bounding, CapabilitySet::ALL);
        assert_eq!(status.no_new_privs, Some(true));
        assert_eq!((status.seccomp, status.seccomp_filters), (Some(Seccomp::Filter), Some(3)));
    }

    #[test]
    fn what_an_old_kernel_does_not_say_is_not_known() {
        let status = parse(b"Name:\tx\nThreads:\t1\nSeccomp:\t7\n").expect("a process");
        assert_eq!((status.capabilities, status.no_new_privs, status.seccomp), (None, None, None));
        assert!(
            !status.has_ended && parse(b"State:\tZ (zombie)\nThreads:\t1\n").is_some_and(|it| it.has_ended)
        );
        assert!(parse(b"NSpid:\t5\t2\nNSsid:\t1\t0\nThreads:\t1\n").is_some_and(|it| !it.leads_session));
        assert_eq!(parse(b""), None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes: Vec<u8>, cut in 0..SHELL.len(), flip: u8) {
            let _ = parse(&bytes);
            let mut broken = SHELL.to_vec();
            broken[cut] ^= flip;
            let _ = parse(&broken);
            let _ = parse(&SHELL[..cut]);
        }
    }
}
