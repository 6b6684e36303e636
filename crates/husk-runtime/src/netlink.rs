// SPDX-License-Identifier: Apache-2.0
//! A small client of `rtnetlink(7)`: one request at a time, and what came back.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// A link is made or changed; also what tells of one.
pub(crate) const RTM_NEWLINK: u16 = 16;
/// A link is asked for.
pub(crate) const RTM_GETLINK: u16 = 18;
/// An address is given; also what tells of one.
pub(crate) const RTM_NEWADDR: u16 = 20;
/// Addresses are asked for.
pub(crate) const RTM_GETADDR: u16 = 22;

/// All there are.
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// It is not there and shall be.
pub(crate) const NLM_F_CREATE: u16 = 0x400;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// The bytes of `struct nlmsghdr`.
const HEADER: usize = 16;

/// A socket to the kernel's routing tables, in the network namespace that it was made in.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// A socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub(crate) fn open() -> Result<Self, Errno> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?; // NETLINK_ROUTE is 0
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request and returns the bodies of what comes back, without the acknowledgement.
    ///
    /// # Errors
    /// What the kernel answered: `ENODEV` for a link that is not there.
    pub(crate) fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        self.sequence += 1;
        let length = (HEADER + body.len()) as u32;
        let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes()].concat();
        let message = [&header, &self.sequence.to_ne_bytes()[..], &[0; 4], body].concat();
        send(&self.socket, &message, SendFlags::empty())?;
        let mut bodies = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let (length, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            if take(&buffer[..length], &mut bodies)? {
                return Ok(bodies);
            }
        }
    }
}

/// Takes the messages of a datagram; whether the last of the answer was among them.
fn take(mut datagram: &[u8], bodies: &mut Vec<Vec<u8>>) -> Result<bool, Errno> {
    while let Some((length, kind)) = number(datagram, 0).zip(short(datagram, 4)) {
        let body = datagram.get(HEADER..length as usize).ok_or(Errno::BADMSG)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = number(body, 0).ok_or(Errno::BADMSG)? as i32;
                return if code == 0 { Ok(true) } else { Err(Errno::from_raw_os_error(-code)) };
            }
            _ => bodies.push(body.to_vec()),
        }
        datagram = datagram.get(aligned(length as usize)..).unwrap_or_default();
    }
    Ok(false)
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The number of four bytes at `at`.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// An attribute: its length, its kind, its value, and bytes that fill it up.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (4 + value.len()) as u16;
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

/// The attributes in `bytes`: kinds and values.
pub(crate) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    const FLAGS: u16 = 0xc000; // NLA_F_NESTED and NLA_F_NET_BYTEORDER
    let mut found = Vec::new();
    while let Some((length, kind)) = short(bytes, 0).zip(short(bytes, 2)) {
        let Some(value) = bytes.get(4..usize::from(length)) else { break };
        found.push((kind & !FLAGS, value));
        bytes = bytes.get(aligned(usize::from(length))..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_written() {
        let bytes = [attribute(3, b"eth0\0"), attribute(28, &7u32.to_ne_bytes())].concat();
        assert_eq!(attributes(&bytes), [(3, &b"eth0\0"[..]), (28, &7u32.to_ne_bytes()[..])]);
        assert_eq!(attributes(&bytes[..10]).len(), 1, "what is cut off is no attribute");
        assert_eq!(attributes(&[0; 8]), [], "a length of nothing ends it");
    }

    #[test]
    fn the_loopback_interface_is_there_and_no_device_without_a_name_is() {
        let mut netlink = Netlink::open().expect("a socket");
        let body = |name: &[u8]| [&[0; 16][..], &attribute(3, name)].concat();
        assert_eq!(netlink.ask(RTM_GETLINK, 0, &body(b"lo\0")).map(|links| links.len()), Ok(1));
        assert_eq!(netlink.ask(RTM_GETLINK, 0, &body(b"husk-none\0")), Err(Errno::NODEV));
        assert!(!netlink.ask(RTM_GETLINK, NLM_F_DUMP, &[0; 16]).expect("links").is_empty());
    }
}
