// SPDX-License-Identifier: Apache-2.0
//! Host ids that one container has and nobody else.
//!
//! A claim is a name in the abstract namespace of Unix sockets, bound as long as it lasts. The kernel lets one process
//! bind a name and forgets it with that process: two husks cannot have one range, and a killed one leaves nothing. Each network
//! namespace has names of its own: husks in different ones are kept apart by chance alone, one of some 28,000 ranges.

use std::hash::{BuildHasher, Hasher, RandomState};

use husk_plan::Claim;
use rustix::fd::OwnedFd;
use rustix::io::{self, Errno};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

/// Ids that are claimed as long as this lives.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// The first of them.
    pub(crate) first: u32,
    _name: OwnedFd,
}

/// Claims ids, from a random place on so that husks seldom try for the same ones. `None` if all are in use.
///
/// # Errors
/// Those of `socket(2)` and `bind(2)`, except that the name is in use.
pub(crate) fn claim(wanted: &Claim<'_>) -> io::Result<Option<Claimed>> {
    let places = (wanted.last - wanted.first + 1) / wanted.count;
    let start = (RandomState::new().build_hasher().finish() % u64::from(places)) as u32;
    let candidates = (0..places).map(|i| wanted.first + (start + i) % places * wanted.count);
    for first in candidates.filter(|first| !overlaps(wanted, *first)) {
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        let name = SocketAddrUnix::new_abstract_name(format!("husk/ids/{first}").as_bytes())?;
        match bind(&socket, &name) {
            Ok(()) => return Ok(Some(Claimed { first, _name: socket })),
            Err(Errno::ADDRINUSE) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}

fn overlaps(wanted: &Claim<'_>, first: u32) -> bool {
    let end = u64::from(first) + u64::from(wanted.count);
    wanted.taken.iter().any(|(taken, count)| {
        u64::from(*taken) < end && u64::from(first) < u64::from(*taken) + u64::from(*count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four ranges of ten; what other tests claim lies elsewhere.
    fn four<'a>(first: u32, taken: &'a [(u32, u32)]) -> Claim<'a> {
        Claim { count: 10, first, last: first + 39, taken }
    }

    #[test]
    fn no_two_claims_overlap_and_a_dropped_one_is_free_again() {
        let wanted = four(4_000_000_000, &[]);
        let mut claims: Vec<Claimed> = (0..4).map(|_| claim(&wanted).unwrap().unwrap()).collect();
        claims.sort_by_key(|c| c.first);
        let firsts: Vec<u32> = claims.iter().map(|c| c.first - 4_000_000_000).collect();
        assert_eq!(firsts, [0, 10, 20, 30]);
        assert!(claim(&wanted).unwrap().is_none());
        claims.remove(2);
        assert_eq!(claim(&wanted).unwrap().unwrap().first, 4_000_000_020);
    }

    #[test]
    fn ids_of_others_are_left_alone() {
        let taken = [(4_100_000_000, 11), (4_100_000_029, 1)];
        assert_eq!(claim(&four(4_100_000_000, &taken)).unwrap().unwrap().first, 4_100_000_030);
    }
}
