// SPDX-License-Identifier: Apache-2.0
//! Decisions about arguments as one graph in which equal parts exist once.
//!
//! A node is an answer or a comparison of 32 bits with two ways on. What a comparison has shown is used on its ways:
//! comparisons whose result is known there are left out.

use std::collections::HashMap;

use husk_spec::oci::Operator;

use crate::abi::Abi;
use crate::action::Outcome;
use crate::bpf::OFFSET_ARGUMENTS;
use crate::condition::Condition;
use crate::rules::Rule;

/// Beyond so many rules about one call, what comparisons have shown is not used: the graph could grow with every pair.
const MAX_RULES_TO_SIMPLIFY: usize = 64;

/// A node's place in its [`Graph`]: greater than those of the nodes that it leads to.
pub(crate) type Id = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Answer(Outcome),
    Test { test: Test, yes: Id, no: Id },
}

/// A comparison of the 32 bits at `offset` of `seccomp_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Test {
    pub(crate) offset: u32,
    pub(crate) kind: Kind,
    pub(crate) k: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Equal,
    Greater,
    GreaterOrEqual,
    /// Any bit of `k` is set.
    Set,
    /// The bits of this mask are `k`.
    Masked(u32),
}

#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    places: HashMap<Node, Id>,
}

impl Graph {
    pub(crate) fn node(&self, id: Id) -> Node {
        self.nodes[id]
    }

    pub(crate) fn is_test(&self, id: Id) -> bool {
        matches!(self.nodes[id], Node::Test { .. })
    }

    pub(crate) fn answer_at(&self, id: Id) -> Option<Outcome> {
        match self.nodes[id] {
            Node::Answer(outcome) => Some(outcome),
            Node::Test { .. } => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn answer(&mut self, outcome: Outcome) -> Id {
        self.intern(Node::Answer(outcome))
    }

    /// The first rule whose conditions hold decides; otherwise `default`.
    pub(crate) fn rules(&mut self, rules: &[Rule], abi: &Abi, default: Outcome) -> Id {
        let simplify = rules.len() <= MAX_RULES_TO_SIMPLIFY;
        let mut builder = Builder { graph: self, abi, simplify };
        let default = builder.graph.answer(default);
        rules.iter().rev().fold(default, |next, rule| {
            let outcome = builder.graph.answer(rule.outcome);
            rule.conditions
                .iter()
                .rev()
                .fold(outcome, |yes, condition| builder.condition(condition, yes, next))
        })
    }

    fn intern(&mut self, node: Node) -> Id {
        *self.places.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    fn test(&mut self, test: Test, yes: Id, no: Id) -> Id {
        if yes == no { yes } else { self.intern(Node::Test { test, yes, no }) }
    }

    /// `id`, where it is known whether `known` holds.
    fn restrict(&mut self, id: Id, known: Test, holds: bool, done: &mut HashMap<Id, Id>) -> Id {
        let Node::Test { test, yes, no } = self.nodes[id] else {
            return id;
        };
        if let Some(restricted) = done.get(&id) {
            return *restricted;
        }
        let restricted = match known.implies(holds, test) {
            Some(true) => self.restrict(yes, known, holds, done),
            Some(false) => self.restrict(no, known, holds, done),
            None => {
                let yes = self.restrict(yes, known, holds, done);
                let no = self.restrict(no, known, holds, done);
                self.test(test, yes, no)
            }
        };
        done.insert(id, restricted);
        restricted
    }
}

struct Builder<'a> {
    graph: &'a mut Graph,
    abi: &'a Abi,
    simplify: bool,
}

impl Builder<'_> {
    fn condition(&mut self, condition: &Condition, yes: Id, no: Id) -> Id {
        use Kind::{Equal, Greater, GreaterOrEqual, Masked};
        let (kind, yes, no) = match condition.op {
            Operator::Equal => (Equal, yes, no),
            Operator::NotEqual => (Equal, no, yes),
            Operator::Greater => (Greater, yes, no),
            Operator::LessOrEqual => (Greater, no, yes),
            Operator::GreaterOrEqual => (GreaterOrEqual, yes, no),
            Operator::Less => (GreaterOrEqual, no, yes),
            Operator::MaskedEqual => (Masked(condition.mask as u32), yes, no),
        };
        let (low, high) = self.offsets(condition.arg);
        let lower = self.test(low, kind, condition.value as u32, yes, no);
        if !self.abi.wide {
            return lower;
        }
        let upper = (condition.value >> 32) as u32;
        match kind {
            Equal => self.test(high, Equal, upper, lower, no),
            Masked(_) => self.test(high, Masked((condition.mask >> 32) as u32), upper, lower, no),
            _ => {
                let not_above = self.test(high, Equal, upper, lower, no);
                self.test(high, Greater, upper, yes, not_above)
            }
        }
    }

    /// Where the lower and the upper half of an argument are.
    fn offsets(&self, arg: u8) -> (u32, u32) {
        let first = OFFSET_ARGUMENTS + 8 * u32::from(arg);
        if self.abi.big_endian { (first + 4, first) } else { (first, first + 4) }
    }

    /// A comparison in its simplest form, or none where its result is known.
    fn test(&mut self, offset: u32, kind: Kind, k: u32, yes: Id, no: Id) -> Id {
        let (kind, k, yes, no) = match kind {
            Kind::Greater if k == u32::MAX => return no,
            Kind::GreaterOrEqual if k == 0 => return yes,
            Kind::Masked(0) => return yes,
            // What is greater than 0 is not equal to it: that way round, it is often asked already.
            Kind::Greater if k == 0 => (Kind::Equal, 0, no, yes),
            Kind::Masked(u32::MAX) => (Kind::Equal, k, yes, no),
            Kind::Masked(mask) if k == 0 => (Kind::Set, mask, no, yes),
            Kind::Masked(mask) if k == mask && mask.is_power_of_two() => (Kind::Set, mask, yes, no),
            _ => (kind, k, yes, no),
        };
        let test = Test { offset, kind, k };
        if !self.simplify {
            return self.graph.test(test, yes, no);
        }
        let yes = self.graph.restrict(yes, test, true, &mut HashMap::new());
        let no = self.graph.restrict(no, test, false, &mut HashMap::new());
        self.graph.test(test, yes, no)
    }
}

impl Test {
    /// Whether `other` holds, given whether this one does; None if that is open.
    fn implies(self, holds: bool, other: Self) -> Option<bool> {
        if self == other {
            return Some(holds);
        }
        if self.offset != other.offset {
            return None;
        }
        let (least, most) = self.range(holds)?;
        let k = other.k;
        match other.kind {
            Kind::Equal => {
                (least == most && least == k).then_some(true).or((k < least || k > most).then_some(false))
            }
            Kind::Greater => (least > k).then_some(true).or((most <= k).then_some(false)),
            Kind::GreaterOrEqual => (least >= k).then_some(true).or((most < k).then_some(false)),
            Kind::Set => (least == most).then_some(least & k != 0),
            Kind::Masked(mask) => (least == most).then_some(least & mask == k),
        }
    }

    /// Between which values, both included, the word is; None if it is not a range.
    fn range(self, holds: bool) -> Option<(u32, u32)> {
        let (kind, k) = (self.kind, self.k);
        match (kind, holds) {
            (Kind::Equal, true) => Some((k, k)),
            (Kind::Equal, false) if k == 0 => Some((1, u32::MAX)),
            (Kind::Greater, true) => Some((k.checked_add(1)?, u32::MAX)),
            (Kind::Greater, false) => Some((0, k)),
            (Kind::GreaterOrEqual, true) => Some((k, u32::MAX)),
            (Kind::GreaterOrEqual, false) => Some((0, k.checked_sub(1)?)),
            _ => None,
        }
    }
}
