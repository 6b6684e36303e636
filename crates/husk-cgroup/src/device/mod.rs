// SPDX-License-Identifier: Apache-2.0
//! Which devices the processes of a cgroup may use: rules, in order, of which later ones win. What no rule is about is
//! denied. Pure but for [`attach`]: [`v1`] makes lines for `devices.allow` and `devices.deny`, [`program`] the eBPF program
//! of version 2.

pub mod attach;
pub mod program;
pub mod v1;

use husk_spec::oci::{DeviceRule, DeviceRuleKind};

use crate::limits::{LimitError, Problem};

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Block devices.
    Block,
    /// Character devices.
    Character,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Block, Self::Character];

    fn letter(self) -> char {
        match self {
            Self::Block => 'b',
            Self::Character => 'c',
        }
    }
}

/// What may be done with a device: the kernel's bits (`BPF_DEVCG_ACC_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    /// Making a node for it.
    pub const MKNOD: Self = Self(1);
    /// Opening it for reading.
    pub const READ: Self = Self(2);
    /// Opening it for writing.
    pub const WRITE: Self = Self(4);
    /// All three.
    pub const ALL: Self = Self(7);

    /// As `devices.list` and the specification write it, in the order `rwm`, which are letters of ASCII.
    const LETTERS: [(char, Self); 3] = [('r', Self::READ), ('w', Self::WRITE), ('m', Self::MKNOD)];

    /// Reads some of the letters `r`, `w` and `m`, at least one.
    pub fn parse(letters: &str) -> Option<Self> {
        let one = |letter| Self::LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, bit)| bit.0);
        let bits = letters.chars().try_fold(0, |bits, letter| Some(bits | one(letter)?))?;
        (bits != 0).then_some(Self(bits))
    }

    /// The kernel's bits.
    pub fn bits(self) -> u8 {
        self.0
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has = |bit: Self| !self.and(bit).is_empty();
        Self::LETTERS.iter().filter(|(_, bit)| has(*bit)).try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether it allows.
    pub allow: bool,
    /// The kind that it is about; both if `None`.
    pub kind: Option<Kind>,
    /// The major number that it is about; all if `None`.
    pub major: Option<u32>,
    /// The minor number that it is about; all if `None`.
    pub minor: Option<u32>,
    /// What it allows or denies.
    pub access: Access,
}

impl Rule {
    const fn allow(kind: Kind, major: Option<u32>, minor: Option<u32>, access: Access) -> Self {
        Self { allow: true, kind: Some(kind), major, minor, access }
    }

    /// Whether it is about everything, so that nothing before it matters.
    fn is_about_all(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == Access::ALL
    }
}

/// What a runtime allows after the configuration's own rules, exactly as runc does (`specconv.AllowedDevices`): nodes of
/// any device may be made, which gives no access to them; and the devices that the specification wants in each
/// container, with its pseudo-terminals.
pub const DEFAULT: [Rule; 10] = {
    const fn character(major: u32, minor: Option<u32>) -> Rule {
        Rule::allow(Kind::Character, Some(major), minor, Access::ALL)
    }
    [
        Rule::allow(Kind::Character, None, None, Access::MKNOD),
        Rule::allow(Kind::Block, None, None, Access::MKNOD),
        character(1, Some(3)), // null
        character(1, Some(8)), // random
        character(1, Some(7)), // full
        character(5, Some(0)), // tty
        character(1, Some(5)), // zero
        character(1, Some(9)), // urandom
        character(136, None),  // pts
        character(5, Some(2)), // ptmx
    ]
};

/// The rules of a configuration.
///
/// # Errors
/// The field whose value no device can have.
pub fn rules(devices: &[DeviceRule]) -> Result<Vec<Rule>, LimitError> {
    devices.iter().enumerate().map(|(index, rule)| lower(index, rule)).collect()
}

fn lower(index: usize, rule: &DeviceRule) -> Result<Rule, LimitError> {
    let field = |name: &str| format!("linux.resources.devices[{index}].{name}");
    let number = |value: Option<i64>, name| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| LimitError {
            field: field(name),
            problem: Problem::Range { value: value.into(), range: "the number of a device, or -1 for all" },
        }),
    };
    let access = Access::parse(&rule.access).ok_or_else(|| LimitError {
        field: field("access"),
        problem: Problem::Form { value: rule.access.clone(), expected: "some of the letters r, w and m" },
    })?;
    Ok(Rule {
        allow: rule.allow,
        kind: match rule.kind {
            None | Some(DeviceRuleKind::All) => None,
            Some(DeviceRuleKind::Block) => Some(Kind::Block),
            Some(DeviceRuleKind::Character) => Some(Kind::Character),
        },
        major: number(rule.major, "major")?,
        minor: number(rule.minor, "minor")?,
        access,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: Option<DeviceRuleKind>, major: i64, access: &str) -> DeviceRule {
        DeviceRule { allow: true, kind, major: Some(major), minor: None, access: access.to_owned() }
    }

    #[test]
    fn what_is_absent_or_below_zero_is_all() {
        let lowered = rules(&[DeviceRule { access: "mwr".to_owned(), ..DeviceRule::default() }]);
        let all = Rule { allow: false, kind: None, major: None, minor: None, access: Access::ALL };
        assert_eq!(lowered, Ok(vec![all]));
        assert!(all.is_about_all());
        let character = rules(&[rule(Some(DeviceRuleKind::Character), -1, "r")]).expect("a rule")[0];
        assert_eq!((character.kind, character.major), (Some(Kind::Character), None));
        assert!(!character.is_about_all());
    }

    #[test]
    fn errors_name_the_rule_and_the_field() {
        let text = |bad| rules(&[rule(None, 1, "r"), bad]).expect_err("an error").to_string();
        for access in ["", "x", "rwx", "R"] {
            let text = text(rule(None, 1, access));
            assert!(text.starts_with("linux.resources.devices[1].access: "), "{text}");
        }
        assert!(
            text(rule(None, -2, "r")).starts_with("linux.resources.devices[1].major: -2 is out of range")
        );
        assert!(text(rule(None, 1 << 40, "r")).contains("devices[1].major"));
    }

    #[test]
    fn letters_come_in_the_order_of_the_kernel() {
        assert_eq!(Access::parse("mwr").expect("access").to_string(), "rwm");
        assert_eq!(Access::MKNOD.or(Access::READ).to_string(), "rm");
    }
}
