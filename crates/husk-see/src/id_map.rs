// SPDX-License-Identifier: Apache-2.0
//! `/proc/PID/uid_map` and `gid_map` (`user_namespaces(7)`).

/// A range of ids that are the same count inside and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside: as husk's own user namespace numbers it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Which ids of a user namespace are which outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(pub Vec<IdRange>);

impl IdMap {
    /// Whether every id is itself: the initial user namespace, or one that maps all.
    pub fn is_identity(&self) -> bool {
        self.0 == [IdRange { inside: 0, outside: 0, count: u32::MAX }]
    }

    /// What this id inside is outside.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        self.0.iter().find_map(|range| translated(inside, range.inside, range.outside, range.count))
    }

    /// What this id outside is inside.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        self.0.iter().find_map(|range| translated(outside, range.outside, range.inside, range.count))
    }
}

fn translated(id: u32, from: u32, to: u32, count: u32) -> Option<u32> {
    let offset = id.checked_sub(from).filter(|offset| *offset < count)?;
    to.checked_add(offset)
}

/// Reads the file. Lines that are no ranges are passed over.
pub fn parse(content: &[u8]) -> IdMap {
    let range = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|word| word.parse().ok());
        Some(IdRange { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? })
    };
    IdMap(String::from_utf8_lossy(content).lines().filter_map(range).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_translated_both_ways() {
        let map = parse(b"         0     100000          1\n         1     200000      65535\n");
        assert_eq!(
            (map.outside(0), map.outside(1), map.outside(65_536)),
            (Some(100_000), Some(200_000), None)
        );
        assert_eq!((map.inside(100_000), map.inside(200_999), map.inside(0)), (Some(0), Some(1000), None));
        assert_eq!(parse(b"640000000 0 4190000000").outside(0), None);
        assert!(!map.is_identity() && parse(b"0 0 4294967295\n").is_identity());
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes: Vec<u8>, line in "[0-9]{0,12} {0,3}[0-9]{0,12} [0-9]{0,12}", id: u32) {
            for content in [&bytes[..], line.as_bytes()] {
                let map = parse(content);
                let _ = (map.outside(id), map.inside(id));
            }
        }
    }
}
