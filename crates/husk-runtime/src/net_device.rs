// SPDX-License-Identifier: Apache-2.0
//! Moving a network device into a container's network namespace (`linux.netDevices` of `config.json`). It goes with its hardware
//! address and MTU, which the kernel keeps, and with its addresses, which the kernel forgets and husk gives it again.

use std::ffi::CStr;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netlink::{
    NLM_F_CREATE, NLM_F_DUMP, Netlink, RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR, RTM_NEWLINK, attribute,
    attributes, number,
};

const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFF_UP: u32 = 1;

/// The bytes of `struct ifaddrmsg`: family, length of the prefix, flags, scope, and the number of the device.
const ADDRESS_HEADER: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_PERMANENT: u32 = 0x80;
/// What the kernel finds out anew: IFA_F_DADFAILED and IFA_F_TENTATIVE.
const IFA_F_FOUND: u32 = 0x08 | 0x40;

/// A request that failed: which, and how.
pub(crate) type Failed = (&'static str, Errno);

/// Moves the device `device` of the caller's network namespace into `namespace`, where it is called `name`, has the addresses of
/// global scope that it had, and is up.
///
/// # Errors
/// The request that failed: `ENODEV` for a device that is not there, `EEXIST` for a name that is taken inside.
pub(crate) fn move_device(device: &CStr, name: &CStr, namespace: &OwnedFd) -> Result<(), Failed> {
    let mut outside = Netlink::open().map_err(|errno| ("socket(AF_NETLINK)", errno))?;
    let index = index_of(&mut outside, device)?;
    let addresses = addresses_of(&mut outside, index)?;
    let fd = namespace.as_raw_fd().to_ne_bytes();
    let body = [
        link(index, 0, IFF_UP),
        attribute(IFLA_NET_NS_FD, &fd),
        attribute(IFLA_IFNAME, name.to_bytes_with_nul()),
    ];
    change(&mut outside, &body.concat())?;
    let mut inside =
        inside(namespace.as_fd()).map_err(|errno| ("socket(AF_NETLINK) in the container", errno))?;
    let index = index_of(&mut inside, name)?;
    for address in addresses {
        match inside.ask(RTM_NEWADDR, NLM_F_CREATE, &address.on(index)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(("netlink(RTM_NEWADDR)", errno)),
        }
    }
    change(&mut inside, &link(index, IFF_UP, IFF_UP))
}

fn change(netlink: &mut Netlink, body: &[u8]) -> Result<(), Failed> {
    netlink.ask(RTM_NEWLINK, 0, body).map(drop).map_err(|errno| ("netlink(RTM_NEWLINK)", errno))
}

/// A `struct ifinfomsg`: the device, flags, and which of them are meant.
fn link(index: u32, flags: u32, change: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), change.to_ne_bytes()].concat()
}

fn index_of(netlink: &mut Netlink, name: &CStr) -> Result<u32, Failed> {
    let failed = |errno| ("netlink(RTM_GETLINK)", errno);
    let body = [link(0, 0, 0), attribute(IFLA_IFNAME, name.to_bytes_with_nul())].concat();
    let found = netlink.ask(RTM_GETLINK, 0, &body).map_err(failed)?;
    found.first().and_then(|link| number(link, 4)).ok_or(failed(Errno::BADMSG))
}

/// An address: its header but for the device, and its attributes.
#[derive(Debug, PartialEq)]
struct Address {
    header: [u8; 4],
    attributes: Vec<u8>,
}

impl Address {
    fn on(&self, index: u32) -> Vec<u8> {
        [&self.header[..], &index.to_ne_bytes(), &self.attributes].concat()
    }

    /// The address that a message tells of, if it is one of device `index` that goes with it: permanent and of global scope.
    fn of(message: &[u8], index: u32) -> Option<Self> {
        let header: [u8; 4] = message.get(..4)?.try_into().ok()?;
        let found = attributes(message.get(ADDRESS_HEADER..)?);
        let flags = found.iter().find(|(kind, _)| *kind == IFA_FLAGS).and_then(|(_, value)| number(value, 0));
        let flags = flags.unwrap_or(u32::from(header[2]));
        let is_global = header[3] == 0;
        if number(message, 4)? != index || !is_global || flags & IFA_F_PERMANENT == 0 {
            return None;
        }
        let kept = found.iter().filter(|(kind, _)| [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST].contains(kind));
        let kept = kept.map(|(kind, value)| attribute(*kind, value));
        let flags = attribute(IFA_FLAGS, &(flags & !IFA_F_FOUND).to_ne_bytes());
        let attributes = kept.chain([flags]).collect::<Vec<_>>().concat();
        Some(Self { header: [header[0], header[1], 0, 0], attributes })
    }
}

fn addresses_of(netlink: &mut Netlink, index: u32) -> Result<Vec<Address>, Failed> {
    let found = netlink.ask(RTM_GETADDR, NLM_F_DUMP, &[0; ADDRESS_HEADER]);
    let found = found.map_err(|errno| ("netlink(RTM_GETADDR)", errno))?;
    Ok(found.iter().filter_map(|message| Address::of(message, index)).collect())
}

/// A socket in another network namespace, which this process enters for it and leaves again.
fn inside(namespace: BorrowedFd<'_>) -> Result<Netlink, Errno> {
    let network = Some(LinkNameSpaceType::Network);
    let own = open("/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(namespace, network)?;
    let socket = Netlink::open();
    move_into_link_name_space(own.as_fd(), network)?;
    socket
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(index: u32, scope: u8, flags: u32) -> Vec<u8> {
        let header = [&[2, 24, 0x80, scope][..], &index.to_ne_bytes()].concat();
        let rest = [
            attribute(IFA_LOCAL, &[192, 0, 2, 1]),
            attribute(3, b"eth0\0"),
            attribute(IFA_FLAGS, &flags.to_ne_bytes()),
        ];
        [header, rest.concat()].concat()
    }

    #[test]
    fn permanent_addresses_of_global_scope_go_along() {
        let address = Address::of(&message(7, 0, 0xc0), 7).expect("an address");
        assert_eq!(address.header, [2, 24, 0, 0]);
        assert_eq!(
            attributes(&address.attributes),
            [(IFA_LOCAL, &[192, 0, 2, 1][..]), (IFA_FLAGS, &0x80u32.to_ne_bytes()[..]),]
        );
        assert_eq!(Address::of(&message(8, 0, 0x80), 7), None, "another device's");
        assert_eq!(Address::of(&message(7, 253, 0x80), 7), None, "of the link alone");
        assert_eq!(Address::of(&message(7, 0, 0), 7), None, "not permanent");
    }
}
