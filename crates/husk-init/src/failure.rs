// SPDX-License-Identifier: Apache-2.0
//! What the child says to its parent over the link, a `SOCK_SEQPACKET` pair that closes on exec: nothing at all (end of
//! file: the command runs), its terminal, or a failure.

use rustix::io::Errno;

use crate::Call;

/// How much of the kernel's own words on a failed mount travels along.
pub(crate) const LOG: usize = 200;
const HEADER: usize = 14;
const TERMINAL: u8 = b'T';
const LISTENER: u8 = b'L';
const PAUSED: u8 = b'P';
const FAILURE: u8 = b'F';

/// A step that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The number of the step in the child's program, from 0.
    pub step: u32,
    /// The system call that failed.
    pub call: Call,
    /// How.
    pub errno: Errno,
    /// For a failed exec, which of its candidates.
    pub candidate: u32,
    log: [u8; LOG],
    log_length: u8,
}

impl core::fmt::Debug for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "step {}: {}: {:?}", self.step, self.call.name(), self.errno)
    }
}

impl Failure {
    /// A failure of `call` in step number `step`.
    pub fn new(step: u32, call: Call, errno: Errno) -> Self {
        Self { step, call, errno, candidate: 0, log: [0; LOG], log_length: 0 }
    }

    /// Takes the kernel's words along, as many as there is room for.
    pub(crate) fn with_log(mut self, log: &[u8]) -> Self {
        let length = log.len().min(LOG);
        self.log[..length].copy_from_slice(&log[..length]);
        self.log_length = length as u8;
        self
    }

    /// What the kernel wrote to the file system context's log, lines such as `e overlay: No changes allowed in reconfigure`.
    pub fn kernel_log(&self) -> &[u8] {
        &self.log[..usize::from(self.log_length)]
    }
}

/// A message from the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is no heap here to put the larger one on")]
pub enum Message {
    /// The master side of the container's terminal comes with it.
    Terminal,
    /// The listener of its filter of system calls comes with it.
    Listener,
    /// The child waits to be let go on.
    Paused,
    /// A step failed. For a failed exec, a descriptor of the container's root comes with it, and the child stays until
    /// the parent closes the link, so that the parent can look into that root for the reason.
    Failure(Failure),
}

impl Message {
    /// The greatest length of a message in bytes.
    pub const MAX: usize = HEADER + LOG;

    /// Writes the message into `buffer` and returns its length.
    pub fn encode(&self, buffer: &mut [u8; Self::MAX]) -> usize {
        let failure = match self {
            Self::Failure(failure) => failure,
            Self::Terminal => {
                buffer[0] = TERMINAL;
                return 1;
            }
            Self::Listener => {
                buffer[0] = LISTENER;
                return 1;
            }
            Self::Paused => {
                buffer[0] = PAUSED;
                return 1;
            }
        };
        buffer[0] = FAILURE;
        buffer[1] = failure.call as u8;
        buffer[2..6].copy_from_slice(&failure.step.to_ne_bytes());
        buffer[6..10].copy_from_slice(&failure.candidate.to_ne_bytes());
        buffer[10..HEADER].copy_from_slice(&failure.errno.raw_os_error().to_ne_bytes());
        let log = failure.kernel_log();
        buffer[HEADER..HEADER + log.len()].copy_from_slice(log);
        HEADER + log.len()
    }

    /// Reads a message, `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [TERMINAL] => Some(Self::Terminal),
            [LISTENER] => Some(Self::Listener),
            [PAUSED] => Some(Self::Paused),
            [FAILURE, call, ref numbers @ ..] => {
                let (numbers, log) = numbers.split_at_checked(HEADER - 2)?;
                let number = |at: usize| Some(u32::from_ne_bytes(numbers.get(at..at + 4)?.try_into().ok()?));
                let errno = i32::try_from(number(8)?).ok().filter(|errno| (1..4096).contains(errno))?;
                let errno = Errno::from_raw_os_error(errno);
                let failure = Failure::new(number(0)?, Call::from_byte(call)?, errno).with_log(log);
                Some(Self::Failure(Failure { candidate: number(4)?, ..failure }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_link() {
        let mut failure = Failure::new(70_000, Call::Write, Errno::PERM).with_log(&[b'x'; 300]);
        failure.candidate = 300;
        for message in [Message::Terminal, Message::Listener, Message::Paused, Message::Failure(failure)] {
            let mut buffer = [0; Message::MAX];
            let length = message.encode(&mut buffer);
            assert_eq!(Message::decode(&buffer[..length]), Some(message));
        }
        assert_eq!(failure.kernel_log().len(), LOG);
    }

    #[test]
    fn noise_is_no_message() {
        for noise in [&b""[..], b"T2", b"F", b"F\xff\0\0\0\0\0\0\0\0\x01\0\0\0", &[0; HEADER]] {
            assert_eq!(Message::decode(noise), None);
        }
    }
}
