// SPDX-License-Identifier: Apache-2.0
//! A connection to the message bus, for a few calls to systemd and the end of its jobs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::wire::{Call, Encoder, Message, PREFIX, Value, length};
use super::{SystemdError, properties};

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
    /// What goes out before the next call.
    unsent: Vec<u8>,
    is_authenticated: bool,
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
    /// Connects, and has ready what says who this is and that it wants to hear of jobs that end. That goes out with the first
    /// call: each answer that is waited for costs four changes of process.
    pub(super) fn connect(path: &Path) -> Result<Self, SystemdError> {
        let failed = |error| SystemdError::Connect { path: path.to_owned(), error };
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(LIMIT)).map_err(failed)?;
        // The kernel tells the bus who this is. No id is sent along, because it is another one in a user namespace.
        let unsent = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n".to_vec();
        let mut bus = Self { stream, serial: 0, unsent, is_authenticated: false, ended: Vec::new() };
        bus.queue(Call { member: "Hello", ..BUS }, Encoder::default());
        let mut rule = Encoder::default();
        rule.text("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
        bus.queue(Call { member: "AddMatch", signature: "s", ..BUS }, rule);
        // systemd tells of jobs only to those who have asked it, too.
        bus.queue(Call { member: "Subscribe", ..MANAGER }, Encoder::default());
        Ok(bus)
    }

    fn queue(&mut self, call: Call<'_>, body: Encoder) {
        self.serial += 1;
        self.unsent.extend(call.encode(self.serial, body));
    }

    /// Reads what the bus says until messages come.
    fn authenticate(&mut self) -> std::io::Result<()> {
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
        self.is_authenticated = true;
        Ok(())
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

    /// The properties without those that this systemd is too old to know. It is asked for its version only where that matters.
    pub(super) fn known<N: AsRef<str>>(
        &mut self,
        mut properties: Vec<(N, Value)>,
    ) -> Result<Vec<(N, Value)>, SystemdError> {
        let needed = |(name, value): &(N, Value)| properties::since(name.as_ref(), value);
        if properties.iter().any(|property| needed(property).is_some()) {
            let version = self.version()?;
            properties.retain(|property| needed(property).is_none_or(|since| since <= version));
        }
        Ok(properties)
    }

    fn version(&mut self) -> Result<u32, SystemdError> {
        let text = self.property(MANAGER.path, MANAGER.interface, "Version")?;
        Ok(text.as_deref().and_then(number_in).unwrap_or_default())
    }

    /// The description of a unit; of one that is not there systemd says the name, or nothing.
    pub(super) fn description(&mut self, unit: &str) -> Result<Option<String>, SystemdError> {
        // How a unit's name is written in a path (`sd_bus_path_encode(3)`).
        let escaped = unit.bytes().fold(String::new(), |path, byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => path + &char::from(byte).to_string(),
            byte => path + &format!("_{byte:02x}"),
        });
        let path = format!("/org/freedesktop/systemd1/unit/{escaped}");
        self.property(&path, "org.freedesktop.systemd1.Unit", "Description")
    }

    /// A property that is a text.
    fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<Option<String>, SystemdError> {
        let mut body = Encoder::default();
        body.text(interface);
        body.text(name);
        let call = Call {
            path,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            signature: "ss",
            ..MANAGER
        };
        match self.call(call, body) {
            // The signature of the variant takes as much room as a number.
            Ok(message) => Ok(message.texts(true).into_iter().next()),
            Err(SystemdError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn call(&mut self, call: Call<'_>, body: Encoder) -> Result<Message, SystemdError> {
        self.queue(call, body);
        let sent = self.stream.write_all(&self.unsent);
        self.unsent.clear();
        let read = sent.and_then(|()| if self.is_authenticated { Ok(()) } else { self.authenticate() });
        read.map_err(SystemdError::Talk)?;
        loop {
            let message = self.receive()?;
            match message.kind {
                2 if message.reply_to == Some(self.serial) => return Ok(message),
                // Also to one of those that went before: then this one means nothing.
                3 => {
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

/// The first number in systemd's version: `252.39-1~deb12u2`, `v245`.
fn number_in(version: &str) -> Option<u32> {
    let digits = version.trim_start_matches(|first: char| !first.is_ascii_digit());
    digits.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_in_a_version() {
        for (text, number) in [
            ("252.39-1~deb12u2", Some(252)),
            ("v245", Some(245)),
            ("249 (249.11-0ubuntu3)", Some(249)),
            ("systemd 260~rc1", Some(260)),
            ("unknown", None),
        ] {
            assert_eq!(number_in(text), number, "{text}");
        }
    }
}
