// SPDX-License-Identifier: Apache-2.0
//! Conditions on arguments, and the order in which libseccomp asks for them.

use std::cmp::Ordering;

use husk_spec::oci::{Argument, Operator};

/// All comparisons.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::NotEqual,
    Operator::Less,
    Operator::LessOrEqual,
    Operator::Equal,
    Operator::GreaterOrEqual,
    Operator::Greater,
    Operator::MaskedEqual,
];

/// One condition. For [`Operator::MaskedEqual`], `value` has no bit outside `mask`; for all others `mask` is all ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) arg: u8,
    pub(crate) op: Operator,
    pub(crate) mask: u64,
    pub(crate) value: u64,
}

impl Condition {
    /// A condition of a profile; none if it is on an argument that no call has.
    pub(crate) fn new(argument: &Argument) -> Option<Self> {
        let arg = u8::try_from(argument.index).ok().filter(|arg| *arg < 6)?;
        let op = argument.op;
        Some(match op {
            Operator::MaskedEqual => {
                Self { arg, op, mask: argument.value, value: argument.value_two & argument.value }
            }
            _ => Self { arg, op, mask: u64::MAX, value: argument.value },
        })
    }

    pub(crate) fn equal(arg: u8, value: u64) -> Self {
        Self { arg, op: Operator::Equal, mask: u64::MAX, value }
    }

    /// As an ABI of this width asks it; none if it always holds, because no bit that there is is looked at.
    pub(crate) fn at_width(self, wide: bool) -> Option<Self> {
        let seen = if wide { u64::MAX } else { u64::from(u32::MAX) };
        let narrowed = Self { mask: self.mask & seen, value: self.value & seen, ..self };
        (narrowed.mask != 0).then_some(narrowed)
    }

    /// Whether it holds for these arguments, of an ABI for which it has been made by [`Self::at_width`].
    pub(crate) fn holds(&self, args: &[u64; 6]) -> bool {
        let seen = if self.op == Operator::MaskedEqual { u64::MAX } else { self.mask };
        let argument = args[usize::from(self.arg)] & seen;
        match self.op {
            Operator::NotEqual => argument != self.value,
            Operator::Less => argument < self.value,
            Operator::LessOrEqual => argument <= self.value,
            Operator::Equal => argument == self.value,
            Operator::GreaterOrEqual => argument >= self.value,
            Operator::Greater => argument > self.value,
            Operator::MaskedEqual => argument & self.mask == self.value,
        }
    }

    /// The comparisons of 32 bits that libseccomp makes of it: the upper half of the argument first.
    pub(crate) fn steps(&self, wide: bool) -> impl Iterator<Item = Step> {
        let (low, high) = (self.value as u32, (self.value >> 32) as u32);
        let (low_mask, high_mask) = (self.mask as u32, (self.mask >> 32) as u32);
        let word = u32::from(self.arg) * 2;
        let (kind, rank) = match self.op {
            Operator::MaskedEqual => (Kind::MaskedEqual, 3),
            Operator::Equal | Operator::NotEqual => (Kind::Equal, 3),
            Operator::Less => (Kind::GreaterOrEqual, 2),
            Operator::LessOrEqual => (Kind::Greater, 2),
            Operator::GreaterOrEqual => (Kind::GreaterOrEqual, 1),
            Operator::Greater => (Kind::Greater, 1),
        };
        let step = |kind, word, mask, value| Step { kind, word, mask, value, rank };
        let ordered = rank < 3;
        let first = wide.then(|| step(if ordered { Kind::Greater } else { kind }, word + 1, high_mask, high));
        let second = (wide && ordered).then(|| step(Kind::Equal, word + 1, high_mask, high));
        first.into_iter().chain(second).chain([step(kind, word, low_mask, low)])
    }
}

/// One comparison of 32 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    kind: Kind,
    /// Twice the argument's number, and one more for its upper half.
    word: u32,
    mask: u32,
    value: u32,
    /// libseccomp asks for equality first, then for "less", then for "greater".
    rank: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Equal,
    MaskedEqual,
    Greater,
    GreaterOrEqual,
}

impl Step {
    /// Whether libseccomp shares one comparison between the two.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        (self.kind, self.word, self.mask, self.value) == (other.kind, other.word, other.mask, other.value)
    }

    /// Less: libseccomp asks this one first.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let by_value = match self.rank {
            2 => self.value.cmp(&other.value),
            _ => other.value.cmp(&self.value),
        };
        other.word.cmp(&self.word).then(other.rank.cmp(&self.rank)).then(by_value)
    }
}
