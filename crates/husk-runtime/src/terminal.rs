// SPDX-License-Identifier: Apache-2.0
//! The person's terminal, and what passes between it and the container's own.

use std::time::{Duration, Instant};

use husk_spec::{Stdio, Terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read, write};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr, tcsetwinsize,
};

/// Control-C, Control-D and Control-\, as line disciplines have them unless told otherwise.
const INTERRUPT: u8 = 3;
const END_OF_FILE: u8 = 4;
const QUIT: u8 = 28;

/// How often it is looked whether somebody has read that the input has ended, and the next one has to be told.
const END_AGAIN: Duration = Duration::from_millis(100);

const CHUNK: usize = 16 * 1024;

/// The terminal that husk was called from.
#[derive(Debug)]
pub(crate) struct HostTerminal {
    stdio: Vec<Stdio>,
    /// Its settings when husk came, if standard input is one.
    settings: Option<Termios>,
    /// Whether somebody types into it and reads from it: then it is made raw, and the container's own does the editing.
    interactive: bool,
    raw: bool,
}

impl HostTerminal {
    pub(crate) fn new(terminal: &Terminal) -> Self {
        let stdio = terminal.stdio.clone();
        let wanted = |which, fd: BorrowedFd<'_>| stdio.contains(&which) && isatty(fd);
        let input = wanted(Stdio::Input, stdin());
        let interactive = input && wanted(Stdio::Output, stdout());
        let settings = if input { tcgetattr(stdin()).ok() } else { None };
        Self { stdio, settings, interactive, raw: false }
    }

    /// What a guard needs to restore it.
    pub(crate) fn to_restore(&self) -> Option<(BorrowedFd<'static>, &Termios)> {
        self.settings.as_ref().filter(|_| self.interactive).map(|settings| (stdin(), settings))
    }

    fn make_raw(&mut self) -> Result<(), Errno> {
        if let Some(settings) = self.settings.as_ref().filter(|_| self.interactive) {
            let mut raw = settings.clone();
            raw.make_raw();
            tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
            self.raw = true;
        }
        Ok(())
    }

    /// Where the container's output goes: the first of the three that is a terminal, standard input being one that can be
    /// written to as a rule.
    fn output(&self) -> BorrowedFd<'static> {
        if self.stdio.contains(&Stdio::Output) {
            stdout()
        } else if self.stdio.contains(&Stdio::Error) {
            stderr()
        } else {
            stdin()
        }
    }
}

impl Drop for HostTerminal {
    fn drop(&mut self) {
        if let (true, Some(settings)) = (self.raw, &self.settings) {
            let _ = tcsetattr(stdin(), OptionalActions::Drain, settings);
        }
    }
}

/// Copies between the person's terminal and the container's.
#[derive(Debug)]
pub(crate) struct Relay {
    host: HostTerminal,
    master: OwnedFd,
    /// What was typed and has not fitted into the container's terminal yet.
    typed: Vec<u8>,
    /// Whether what was typed last is a part of a line.
    in_line: bool,
    input_open: bool,
    output_open: bool,
    /// Once the input has ended.
    end: Option<End>,
}

/// The end of the input, which lasts: a key tells it to one reader, and not to the next. One that was not read yet means something
/// else, or is dropped, when the terminal's settings change.
#[derive(Debug)]
struct End {
    /// The container's side of its terminal, to see whether what was typed has been read; `None` if it is not this user's to open.
    peer: Option<OwnedFd>,
    /// Whether lines were read when it was told last.
    told_by_line: Option<bool>,
    /// When to look again.
    next: Instant,
}

impl End {
    fn new(master: &OwnedFd) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let peer = ioctl_tiocgptpeer(master, flags).ok();
        let told_by_line = tcgetattr(master).ok().map(|settings| reads_lines(&settings));
        Self { peer, told_by_line, next: Instant::now() + END_AGAIN }
    }

    /// Whether a reader may still wait for it.
    fn is_untold(&self, by_line: bool) -> bool {
        match &self.peer {
            Some(peer) => {
                let mut fds = [PollFd::from_borrowed_fd(peer.as_fd(), PollFlags::IN)];
                poll(&mut fds, Some(&Timespec::default())) == Ok(0)
            }
            None => self.told_by_line != Some(by_line),
        }
    }
}

impl Relay {
    /// Takes the master side of the container's terminal, which has the settings of the person's already.
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub(crate) fn new(host: HostTerminal, master: OwnedFd) -> Result<Self, Errno> {
        fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        let input_open = host.stdio.contains(&Stdio::Input);
        Ok(Self { host, master, typed: Vec::new(), in_line: false, input_open, output_open: true, end: None })
    }

    /// From now on keys go to the container as they are typed.
    ///
    /// # Errors
    /// Those of `tcsetattr(3)`.
    pub(crate) fn begin(&mut self) -> Result<(), Errno> {
        self.host.make_raw()
    }

    pub(crate) fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Whether more may be read from the person's side.
    pub(crate) fn wants_input(&self) -> bool {
        self.input_open && self.typed.is_empty()
    }

    /// Whether something waits to be written to the container's side.
    pub(crate) fn has_typed(&self) -> bool {
        !self.typed.is_empty()
    }

    /// Whether nobody reads the container's output any more.
    pub(crate) fn is_over(&self) -> bool {
        !self.output_open
    }

    /// Gives the container's terminal the size of the person's.
    pub(crate) fn resize(&self) {
        if let Ok(size) = tcgetwinsize(self.host.output()) {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    /// Types a signal's key, so that it reaches whatever is in the foreground inside. False for a signal without one.
    pub(crate) fn type_signal(&mut self, signal: Signal) -> bool {
        let key = match signal {
            Signal::INT => INTERRUPT,
            Signal::QUIT => QUIT,
            _ => return false,
        };
        self.typed.push(key);
        true
    }

    /// Reads what was typed and passes it on. The signal, if a key in it is one that sends a signal to what is in the
    /// foreground inside.
    pub(crate) fn take_input(&mut self) -> Option<Signal> {
        let before = self.typed.len();
        let mut buffer = [0; CHUNK];
        match read(stdin(), &mut buffer) {
            Ok(0) => {
                self.input_open = false;
                self.end = Some(End::new(&self.master));
                if self.in_line {
                    // It only passes the line on (termios(3), VEOF).
                    self.typed.push(END_OF_FILE);
                }
                self.typed.push(END_OF_FILE);
            }
            Ok(length) => {
                self.typed.extend_from_slice(&buffer[..length]);
                self.in_line = buffer[length - 1] != b'\n';
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.input_open = false,
        }
        let signal = self.signal_in(&self.typed[before..]);
        self.pass_input();
        signal
    }

    /// How long it may be until [`Self::tell_end`] is due; `None` if it never is.
    pub(crate) fn end_is_due(&self) -> Option<Duration> {
        self.end.as_ref().map(|end| end.next.saturating_duration_since(Instant::now()))
    }

    /// Types the end of the input once more where it was read or the terminal reads otherwise now, if it is time.
    pub(crate) fn tell_end(&mut self) {
        let Some(end) = self.end.as_mut().filter(|end| end.next <= Instant::now()) else { return };
        end.next = Instant::now() + END_AGAIN;
        let Ok(settings) = tcgetattr(&self.master) else { return };
        let by_line = reads_lines(&settings);
        if self.typed.is_empty() && end.is_untold(by_line) {
            end.told_by_line = Some(by_line);
            self.typed.push(settings.special_codes[SpecialCodeIndex::VEOF]);
            self.pass_input();
        }
    }

    fn signal_in(&self, typed: &[u8]) -> Option<Signal> {
        if !typed.iter().any(|key| *key < b' ') {
            return None;
        }
        let settings = tcgetattr(&self.master).ok()?;
        let is_typed = |index| typed.contains(&settings.special_codes[index]);
        match settings.local_modes.contains(LocalModes::ISIG) {
            true if is_typed(SpecialCodeIndex::VINTR) => Some(Signal::INT),
            true if is_typed(SpecialCodeIndex::VQUIT) => Some(Signal::QUIT),
            _ => None,
        }
    }

    /// The process group that is in the foreground inside, by its id out here.
    pub(crate) fn foreground(&self) -> Option<Pid> {
        tcgetpgrp(&self.master).ok()
    }

    /// Passes on what was typed, as much as fits.
    pub(crate) fn pass_input(&mut self) {
        match write(&self.master, &self.typed) {
            Ok(length) => {
                self.typed.drain(..length);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.typed.clear(),
        }
    }

    /// Passes on one chunk of the container's output. False if there is none just now.
    pub(crate) fn pass_output(&mut self) -> bool {
        let mut buffer = [0; CHUNK];
        match read(&self.master, &mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.show(&buffer[..length]);
                true
            }
        }
    }

    fn show(&mut self, mut bytes: &[u8]) {
        while self.output_open && !bytes.is_empty() {
            match write(self.host.output(), bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_for_room(self.host.output()),
                Err(_) => self.output_open = false,
            }
        }
    }
}

fn reads_lines(settings: &Termios) -> bool {
    settings.local_modes.contains(LocalModes::ICANON)
}

/// Somebody may have made the person's terminal non-blocking.
fn wait_for_room(fd: BorrowedFd<'_>) {
    let _ = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None);
}
