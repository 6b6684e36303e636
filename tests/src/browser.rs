// SPDX-License-Identifier: Apache-2.0
//! A real browser: Debian's Chromium without a window, spoken to in the DevTools protocol through a pipe.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Command;

const PROGRAM: &str = "/usr/bin/chromium";

/// How long the browser may take for an answer; the first one comes when it has started.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to end after it has been told to; then it is killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// No window, nothing that asks the network by itself. The sandbox needs what a machine may forbid; the pages are our own.
const OPTIONS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-pipe",
];

/// A browser with one tab. Ends when it is dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    /// What it told of without having been asked, since the last page was opened.
    events: Vec<Value>,
    session: Option<String>,
    asked: u64,
    _profile: TempDir,
}

impl Browser {
    /// Whether there is one here.
    pub fn is_possible() -> bool {
        Path::new(PROGRAM).exists()
    }

    /// Starts it, with an empty tab.
    #[expect(clippy::new_without_default, reason = "it starts a program")]
    pub fn new() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        // It reads questions from descriptor 3 and writes answers to 4.
        let command = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", PROGRAM])
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path());
        let mut process = command.process();
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = process.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.shown()));
        let to = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, from) = channel();
        thread::spawn(move || {
            let messages = answers.split(0).map_while(Result::ok);
            let mut messages = messages.map_while(|message| serde_json::from_slice(&message).ok());
            messages.try_for_each(|message| sender.send(message))
        });
        let mut browser =
            Self { child, to, from, events: Vec::new(), session: None, asked: 0, _profile: profile };
        let tab = browser.ask("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.ask("Target.attachToTarget", &json!({"targetId": tab, "flatten": true}));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Log", "Runtime"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Opens a file, and waits until it is there with all that it loads.
    #[track_caller]
    pub fn open(&mut self, page: &Path) {
        let page = fs::canonicalize(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        self.events.clear();
        self.ask("Page.navigate", &json!({"url": format!("file://{}", page.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let message = self.receive("the page is loaded");
            self.events.push(message);
        }
    }

    /// Makes the tab a telephone's, of this width in pixels.
    pub fn set_telephone(&mut self, width: u32) {
        let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": true});
        self.ask("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Sets which colours the person at the machine prefers: `light` or `dark`.
    pub fn set_colour_scheme(&mut self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.ask("Emulation.setEmulatedMedia", &json!({"features": [feature]}));
    }

    /// What an expression in JavaScript comes to, in the page.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.ask("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].clone()
    }

    /// The addresses that were asked for since the page was opened, its own first.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.map(|event| event["params"]["request"]["url"].as_str().unwrap_or_default().into()).collect()
    }

    /// What the console shows since the page was opened: errors, warnings, what was refused.
    pub fn console(&self) -> Vec<String> {
        let is_said = |event: &&Value| {
            let method = event["method"].as_str().unwrap_or_default();
            ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"].contains(&method)
        };
        self.events.iter().filter(is_said).map(|event| event["params"].to_string()).collect()
    }

    /// Sends a command, and waits for its result.
    #[track_caller]
    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.asked += 1;
        let mut question = json!({"id": self.asked, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            question["sessionId"] = session.as_str().into();
        }
        let sent = self.send(&question);
        sent.unwrap_or_else(|error| panic!("{method}: the browser does not listen: {error}"));
        loop {
            let message = self.receive(method);
            if message["id"] == self.asked {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn send(&mut self, message: &Value) -> std::io::Result<()> {
        self.to.write_all(message.to_string().as_bytes())?;
        self.to.write_all(&[0])
    }

    #[track_caller]
    fn receive(&self, what: &str) -> Value {
        self.from
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("{what}: the browser is silent: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.send(&json!({"id": 0, "method": "Browser.close"}));
        let until = Instant::now() + FAREWELL;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
