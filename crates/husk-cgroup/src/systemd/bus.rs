// SPDX-License-Identifier: Apache-2.0
//! A connection to the message bus, for a few calls to systemd and the end of its jobs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::SystemdError;
use super::wire::{Call, Encoder, Message, PREFIX, length};

/// How long an answer, and a job, may take.
const LIMIT: Duration = Duration::from_secs(30);

const BUS: Call<'_> = Call {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "",
    signature: "",
};

/// The methods of systemd's manager.
const MANAGER: Call<'_> = Call {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "",
    signature: "",
};

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Jobs of which systemd has said that they are over, with their results.
    ended: Vec<(String, String)>,
}

/// Where the bus of the machine, or of this user, is.
pub(super) fn socket(user: bool) -> PathBuf {
    if !user {
        return "/run/dbus/system_bus_socket".into();
    }
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let path = address.split(';').find_map(|address| address.strip_prefix("unix:path="));
    let path = path.map(|path| path.split(',').next().unwrap_or(path));
    let runtime = || match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => format!("/run/user/{}", rustix::process::geteuid().as_raw()).into(),
    };
    path.map_or_else(|| runtime().join("bus"), PathBuf::from)
}

impl Bus {
    /// Connects, says who it is, and asks to hear of jobs that end.
    pub(super) fn connect(path: &Path) -> Result<Self, SystemdError> {
        let failed = |error| SystemdError::Connect { path: path.to_owned(), error };
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(LIMIT)).map_err(failed)?;
        let mut bus = Self { stream, serial: 0, ended: Vec::new() };
        bus.authenticate().map_err(failed)?;
        bus.call(Call { member: "Hello", ..BUS }, Encoder::default())?;
        let mut rule = Encoder::default();
        rule.text("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
        bus.call(Call { member: "AddMatch", signature: "s", ..BUS }, rule)?;
        // systemd tells of jobs only to those who have asked it, too.
        bus.manager("Subscribe", "", Encoder::default())?;
        Ok(bus)
    }

    /// The kernel tells the bus who this is. No id is sent along, because it is another one in a user namespace.
    fn authenticate(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\n")?;
        let mut said = Vec::new();
        while !said.starts_with(b"OK ") {
            said.clear();
            while !said.ends_with(b"\r\n") {
                let mut byte = [0];
                self.stream.read_exact(&mut byte)?;
                said.push(byte[0]);
            }
            if said.starts_with(b"REJECTED") || said.starts_with(b"ERROR") {
                return Err(std::io::ErrorKind::PermissionDenied.into());
            }
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    /// Calls a method of systemd's manager.
    pub(super) fn manager(
        &mut self,
        member: &str,
        signature: &str,
        body: Encoder,
    ) -> Result<Message, SystemdError> {
        self.call(Call { member, signature, ..MANAGER }, body)
    }

    fn call(&mut self, call: Call<'_>, body: Encoder) -> Result<Message, SystemdError> {
        self.serial += 1;
        let serial = self.serial;
        self.stream.write_all(&call.encode(serial, body)).map_err(SystemdError::Talk)?;
        loop {
            let message = self.receive()?;
            match message.kind {
                2 if message.reply_to == Some(serial) => return Ok(message),
                3 if message.reply_to == Some(serial) => {
                    let text = message.texts(false).into_iter().next().unwrap_or_default();
                    let call = call.member.to_owned();
                    return Err(SystemdError::Refused { call, name: message.error, text });
                }
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> Result<Message, SystemdError> {
        let mut bytes = vec![0; PREFIX];
        self.stream.read_exact(&mut bytes).map_err(SystemdError::Talk)?;
        let garbled = || SystemdError::Talk(std::io::ErrorKind::InvalidData.into());
        bytes.resize(length(&bytes).ok_or_else(garbled)?, 0);
        self.stream.read_exact(&mut bytes[PREFIX..]).map_err(SystemdError::Talk)?;
        let message = Message::decode(&bytes).ok_or_else(garbled)?;
        if message.kind == 4 && message.member == "JobRemoved" {
            // Id, path of the job, unit, result.
            if let [job, _, result] = &message.texts(true)[..] {
                self.ended.push((job.clone(), result.clone()));
            }
        }
        Ok(message)
    }

    /// Waits for the job that `answer` tells of. It may be over already.
    pub(super) fn finish(&mut self, unit: &str, answer: &Message) -> Result<(), SystemdError> {
        let Some(job) = answer.texts(false).into_iter().next() else { return Ok(()) };
        let start = Instant::now();
        loop {
            let ended = self.ended.iter().find(|(path, _)| *path == job);
            match ended.map(|(_, result)| result.as_str()) {
                Some("done") => return Ok(()),
                Some(result) => {
                    return Err(SystemdError::Job { unit: unit.to_owned(), result: result.to_owned() });
                }
                None if start.elapsed() > LIMIT => {
                    return Err(SystemdError::Job { unit: unit.to_owned(), result: "no end".to_owned() });
                }
                None => drop(self.receive()?),
            }
        }
    }
}
