// SPDX-License-Identifier: Apache-2.0
//! A real terminal, with a shell of a caller's in it: a tmux server of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Caller, Output, PATIENCE};

/// What tmux is to tell of a new window.
const FORMAT: &str = "#{window_id} #{pane_tty}";

const PAUSE: Duration = Duration::from_millis(10);

/// What runs in a terminal: a shell with a prompt that no other has. A bash in it would write its history when the terminal is
/// closed, into a directory that is just being removed.
const SHELL: &str = "exec env TERM=screen HISTFILE= PS1='HOST> ' sh";

/// A terminal. Its tmux server ends when it is dropped.
#[derive(Debug)]
pub struct Terminal<'c, 'p> {
    caller: &'c Caller<'p>,
    socket: PathBuf,
    /// tmux's name for the window.
    window: String,
    /// Whether the server is another terminal's.
    is_beside: bool,
    /// The device that the shell in it has as its terminal.
    device: PathBuf,
}

impl<'c, 'p> Terminal<'c, 'p> {
    /// Whether there can be one.
    pub fn is_possible() -> bool {
        Path::new("/usr/bin/tmux").exists()
    }

    /// A terminal of 100 columns and 30 rows, whose shell is this caller's and runs in its home.
    pub fn new(caller: &'c Caller<'p>) -> Self {
        // A server that has been killed may hold its socket for a moment.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let socket = caller.home().join(format!("tmux-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let terminal =
            Self { caller, socket, window: String::new(), is_beside: false, device: PathBuf::default() };
        let words = ["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30"];
        let window = terminal.tmux(&[&words[..], &["-P", "-F", FORMAT, SHELL]].concat());
        terminal.in_window(&window)
    }

    /// Another one of the same caller's, of the same size, as beside the first on a desk: in the same namespaces.
    pub fn beside(&self) -> Self {
        let window = self.tmux(&["new-window", "-d", "-P", "-F", FORMAT, SHELL]);
        let Self { caller, socket, .. } = self;
        let (socket, window_name) = (socket.clone(), String::new());
        let terminal =
            Self { caller, socket, window: window_name, is_beside: true, device: PathBuf::default() };
        terminal.in_window(&window)
    }

    /// This terminal, in the window of which tmux has told name and device.
    fn in_window(mut self, told: &Output) -> Self {
        let (window, device) = told.succeeds().stdout.trim().split_once(' ').expect("name and device");
        (self.window, self.device) = (window.to_owned(), device.into());
        self.wait_for("HOST>");
        self
    }

    fn tmux(&self, words: &[&str]) -> Output {
        self.caller.command("tmux").arg("-S").arg(&self.socket).args(words).run()
    }

    /// The device that the shell has as its terminal.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Types text.
    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-t", &self.window, "-l", text]).succeeds();
    }

    /// Types text and the return key.
    pub fn type_line(&self, text: &str) {
        self.type_text(text);
        self.press("Enter");
    }

    /// Presses a key: `C-c`, `Escape`, `x`.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", "-t", &self.window, key]).succeeds();
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-t", &self.window, "-p", "-J"]).stdout.trim_end().to_owned()
    }

    /// What is on the screen, and what has scrolled off it.
    pub fn history(&self) -> String {
        self.tmux(&["capture-pane", "-t", &self.window, "-p", "-J", "-S", "-"]).stdout.trim_end().to_owned()
    }

    /// Waits until the screen shows `text`. What was typed is on the screen as well: type something else than what is awaited.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// Waits until the last line of the screen ends in `prompt`: nothing has been typed behind it.
    #[track_caller]
    pub fn wait_for_prompt(&self, prompt: &str) {
        self.wait_until(prompt, |screen| {
            screen.lines().last().is_some_and(|line| line.trim_end().ends_with(prompt))
        });
    }

    /// Waits until `text` is all that the screen shows.
    #[track_caller]
    pub fn wait_for_screen(&self, text: &str) {
        self.wait_until(text, |screen| screen.trim() == text);
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_there(&screen) {
                return;
            }
            assert!(Instant::now() < until, "{what:?} did not appear on the screen:\n{screen}");
            sleep(PAUSE);
        }
    }

    /// Waits until `path`, made by what runs in the terminal, holds a whole line, and gives all that it holds.
    #[track_caller]
    pub fn file(&self, path: &Path) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.ends_with('\n') {
                return text;
            }
            assert!(Instant::now() < until, "no {} came:\n{}", path.display(), self.screen());
            sleep(PAUSE);
        }
    }

    /// The settings of the terminal, as `stty -g` has them. Asked from beside it: in one that is not restored nothing can be typed.
    #[track_caller]
    pub fn settings(&self) -> String {
        let stty = self.caller.command("stty").arg("-F").arg(&self.device).arg("-g");
        stty.run().succeeds().stdout.clone()
    }

    /// Clears the screen of the shell and what has scrolled off it.
    #[track_caller]
    pub fn clear(&self) {
        self.type_line("clear");
        self.wait_for_screen("HOST>");
    }

    /// Gives it another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-t", &self.window, "-x", &columns, "-y", &rows]).succeeds();
    }

    /// Closes it, as a person closes a window.
    pub fn close(&self) {
        let _ = match self.is_beside {
            true => self.tmux(&["kill-window", "-t", &self.window]),
            false => self.tmux(&["kill-server"]),
        };
    }
}

impl Drop for Terminal<'_, '_> {
    fn drop(&mut self) {
        self.close();
    }
}
