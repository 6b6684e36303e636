// SPDX-License-Identifier: Apache-2.0
//! The numbers of calls as ranges with the same decision, and the ranges as leaves of a balanced search.

use crate::abi::{AUDIT_X86_64, X32_BIT};
use crate::action::Outcome;
use crate::decision::{Graph, Id};
use crate::policy::{Decision, Policy};

/// How many numbers a leaf asks for one by one. Each number costs one comparison there, and two as a range of its own.
const MAX_EXCEPTIONS: usize = 3;

/// The numbers from `start` up to the next leaf: all have one decision, but for a few exceptions.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) start: u32,
    pub(crate) decision: Id,
    pub(crate) exceptions: Vec<(u32, Id)>,
}

/// The numbers from `start` up to the next range.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u32,
    decision: Id,
}

/// The leaves for one architecture, ascending and from 0 on.
pub(crate) fn leaves(policy: &Policy, audit: u32, graph: &mut Graph) -> Vec<Leaf> {
    let ranges = ranges(policy, audit, graph);
    let mut leaves = Vec::new();
    let mut rest = ranges.as_slice();
    while let Some((first, others)) = rest.split_first() {
        let background = others.first().map_or(first.decision, |second| second.decision);
        let lengths = [first.decision, background].map(|decision| (reach(rest, decision), decision));
        let (length, decision) = if lengths[1].0 > lengths[0].0 { lengths[1] } else { lengths[0] };
        let (covered, beyond) = rest.split_at(length);
        let exceptions = covered.iter().filter(|range| range.decision != decision);
        let exceptions = exceptions.map(|range| (range.start, range.decision)).collect();
        leaves.push(Leaf { start: first.start, decision, exceptions });
        rest = beyond;
    }
    leaves
}

/// How many ranges a leaf can cover in which all numbers but the exceptions have this decision.
fn reach(ranges: &[Range], decision: Id) -> usize {
    let mut exceptions = 0;
    let mut covered = 0;
    for (place, range) in ranges.iter().enumerate() {
        if range.decision != decision {
            let next = ranges.get(place + 1).map(|next| next.start);
            exceptions += 1;
            if exceptions > MAX_EXCEPTIONS || next != range.start.checked_add(1) || next.is_none() {
                return covered;
            }
        }
        covered = place + 1;
    }
    covered
}

fn ranges(policy: &Policy, audit: u32, graph: &mut Graph) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for start in borders(policy, audit) {
        let decision = match policy.decision(audit, start) {
            Decision::Rules(abi, rules) => graph.rules(rules, abi.abi, policy.default),
            Decision::Default => graph.answer(policy.default),
            Decision::Newer(_) => graph.answer(Outcome::NEWER),
            Decision::Foreign => graph.answer(Outcome::FOREIGN),
        };
        if ranges.last().is_none_or(|last| last.decision != decision) {
            ranges.push(Range { start, decision });
        }
    }
    ranges
}

/// Every number whose decision may differ from that of the number before it, ascending.
fn borders(policy: &Policy, audit: u32) -> Vec<u32> {
    let mut borders = vec![0, 1];
    if audit == AUDIT_X86_64 {
        borders.extend([X32_BIT, 2 * X32_BIT, 3 * X32_BIT, u32::MAX]);
    }
    for abi in policy.abis.iter().filter(|policy| policy.abi.audit == audit) {
        borders.extend(abi.calls.iter().flat_map(|(number, _)| [*number, number.saturating_add(1)]));
        borders.extend(abi.last.map(|last| last.saturating_add(1)));
    }
    borders.sort_unstable();
    borders.dedup();
    borders
}
