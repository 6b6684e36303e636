// SPDX-License-Identifier: Apache-2.0
//! A real terminal, with a shell of a caller's in it: a tmux server of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Caller, Output};

const PAUSE: Duration = Duration::from_millis(10);

/// How long something may take to appear on the screen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A terminal. Its tmux server ends when it is dropped.
#[derive(Debug)]
pub struct Terminal<'c, 'p> {
    caller: &'c Caller<'p>,
    socket: PathBuf,
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
        let mut terminal = Self { caller, socket, device: PathBuf::default() };
        let shell = "exec env TERM=screen PS1='HOST> ' sh";
        let words = ["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", shell];
        terminal.tmux(&words).succeeds();
        terminal.device = terminal.tmux(&["display-message", "-p", "#{pane_tty}"]).stdout.trim().into();
        terminal.wait_for("HOST>");
        terminal
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
        self.tmux(&["send-keys", "-l", text]).succeeds();
    }

    /// Types text and the return key.
    pub fn type_line(&self, text: &str) {
        self.type_text(text);
        self.press("Enter");
    }

    /// Presses a key: `C-c`, `Escape`, `x`.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]).succeeds();
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"]).stdout.trim_end().to_owned()
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

    /// The settings of the terminal, as `stty -g` of the shell has them.
    #[track_caller]
    pub fn settings(&self) -> String {
        let file = self.caller.home().join("settings");
        let _ = fs::remove_file(&file);
        self.type_line("stty -g > settings");
        self.file(&file)
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
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]).succeeds();
    }

    /// Closes it, as a person closes a window.
    pub fn close(&self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

impl Drop for Terminal<'_, '_> {
    fn drop(&mut self) {
        self.close();
    }
}
