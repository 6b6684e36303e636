// SPDX-License-Identifier: Apache-2.0
//! A machine in small, gone without a trace afterwards.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Result;

const GUARD: &str = include_str!("../world/guard.bash");
const INSIDE: &str = include_str!("../world/world.sh");

/// Programs that every world has, by their names on its PATH.
const PROGRAMS: &[(&str, &str)] = &[
    ("await", include_str!("../world/bin/await")),
    ("left", include_str!("../world/bin/left")),
    ("started", include_str!("../world/bin/started")),
    ("outside", include_str!("../world/bin/outside")),
    ("terminal", include_str!("../world/bin/terminal")),
];

/// How long a step may take. A step that hangs is killed and fails.
const SECONDS: u32 = 120;

/// What a world is made with.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The OCI runtime of its engines, which they all know as `runc`.
    pub runtime: PathBuf,
    /// Programs to carry in beside it.
    pub programs: Vec<PathBuf>,
    /// On a machine with cgroups of version 1: hide the empty hierarchy of version 2 beside them, which crun refuses.
    pub without_unified: bool,
}

/// What came out of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status; [`Outcome::TOO_LONG`] if it was ended.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// The exit status of a step that took more than two minutes (timeout(1)).
    pub const TOO_LONG: i32 = 124;
}

/// A machine in small. It ends when this value is dropped, and also when this process is killed: its guard notices.
#[derive(Debug)]
pub struct World {
    name: String,
    guard: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl World {
    /// Starts one. Needs root, and `unshare`, `tini` and `bash`.
    pub fn start(setting: &Setting) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("husk-engines-{}-{count}", std::process::id());
        // A session of its own: Control-C is for the harness, and the guard has to outlive it.
        let mut guard = Command::new("setsid")
            .args(["--wait", "bash", "-c", GUARD, "guard", &name])
            .arg(if setting.without_unified { "1" } else { "0" })
            .arg(&setting.runtime)
            .args(&setting.programs)
            .env("WORLD", INSIDE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("setsid: {error}"))?;
        let commands = guard.stdin.take();
        let answers = BufReader::new(guard.stdout.take().ok_or("standard output is piped")?);
        let mut world = Self { name, guard, commands, answers };
        for (program, text) in PROGRAMS {
            world.write_file(&format!("bin/{program}"), text)?;
        }
        world.must("chmod 755 /tmp/engines/bin/*")?;
        Ok(world)
    }

    /// The name of its cgroups.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Types a line, or several, into a shell of the world, and waits for the end.
    pub fn run(&mut self, typed: &str) -> Result<Outcome> {
        self.send(&format!(
            "cat >step <<'end of the step'\n{typed}\nend of the step\n\
             timeout --kill-after=2 {SECONDS} sh step </dev/null >out 2>err\n\
             printf '%s %s %s\\n' \"$?\" \"$(wc -c <out)\" \"$(wc -c <err)\"; cat out err\n"
        ))?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let numbers: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [status, stdout, stderr] = numbers[..] else {
            return Err(format!("the world has ended while it ran: {typed}").into());
        };
        let mut text = |length: usize| -> Result<String> {
            let mut bytes = vec![0; length];
            self.answers.read_exact(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Outcome { status: i32::try_from(status)?, stdout: text(stdout)?, stderr: text(stderr)? })
    }

    /// As [`World::run`], where a failure is an error; the standard output.
    pub fn must(&mut self, typed: &str) -> Result<String> {
        let Outcome { status, stdout, stderr } = self.run(typed)?;
        if status == 0 {
            Ok(stdout)
        } else {
            Err(format!("{typed}\nexit status {status}\n{stdout}{stderr}").into())
        }
    }

    /// Writes a file below the world's `/tmp/engines`, where its shells are.
    pub fn write_file(&mut self, path: &str, text: &str) -> Result {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.send(&format!("cat >'{path}' <<'end of the file'\n{text}{end}end of the file\n"))
    }

    fn send(&mut self, text: &str) -> Result {
        let commands = self.commands.as_mut().ok_or("the world has ended")?;
        commands
            .write_all(text.as_bytes())
            .map_err(|error| format!("the world does not listen: {error}").into())
    }
}

impl Drop for World {
    /// Waits until nothing of it is left: the guard has said on standard error what it could not remove.
    fn drop(&mut self) {
        drop(self.commands.take());
        drop(self.guard.wait());
    }
}
