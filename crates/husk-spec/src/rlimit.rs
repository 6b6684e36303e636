// SPDX-License-Identifier: Apache-2.0
//! Resource limits by name (`getrlimit(2)`).

use std::fmt;
use std::str::FromStr;

/// The resources, in the order of their numbers in the kernel (`asm-generic/resource.h`), as `--ulimit` names them.
const NAMES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// A resource that can be limited.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resource(u8);

impl Resource {
    /// The size of core dumps.
    pub const CORE: Self = Self(4);

    /// Every resource, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..NAMES.len() as u8).map(Self)
    }

    /// Its number, as `prlimit64(2)` takes it.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name as in `--ulimit`: `nofile`.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Resource {
    /// As the OCI specification names it: `RLIMIT_NOFILE`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("RLIMIT_{}", self.name().to_ascii_uppercase()))
    }
}

impl<'de> serde::Deserialize<'de> for Resource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ResourceName)
    }
}

/// Refuses a name while it is read, so that the parser knows where.
struct ResourceName;

impl serde::de::Visitor<'_> for ResourceName {
    type Value = Resource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Resource, E> {
        name.parse().map_err(E::custom)
    }
}

/// A name that is no resource's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown resource {0:?}: one of cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime"
)]
pub struct UnknownResource(pub String);

impl FromStr for Resource {
    type Err = UnknownResource;

    /// Takes `nofile` as well as `RLIMIT_NOFILE`.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let lower = name.to_ascii_lowercase();
        let bare = lower.strip_prefix("rlimit_").unwrap_or(&lower);
        NAMES
            .iter()
            .position(|known| *known == bare)
            .map(|number| Self(number as u8))
            .ok_or_else(|| UnknownResource(name.to_owned()))
    }
}

/// A limit of one resource. `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// What is limited.
    pub resource: Resource,
    /// The limit that counts, in the resource's own unit.
    pub soft: Option<u64>,
    /// How far the soft one may be raised.
    pub hard: Option<u64>,
}
