// SPDX-License-Identifier: Apache-2.0
//! Instructions, written from the last to the first: jumps go forward only, so that the place of a jump's target is known
//! when the jump is written.

use crate::bpf::{
    AND, Instruction, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, JUMP_SET, LOAD,
    MAX_INSTRUCTIONS, OFFSET_ARCH, OFFSET_NUMBER, RETURN,
};
use crate::decision::{Graph, Id, Kind, Node, Test};
use crate::error::SeccompError;
use crate::search::Leaf;

/// A conditional jump skips at most 255 instructions; what may yet be written between it and its target is taken off.
const REACH: usize = 250;

/// An instruction, counted from the end of the program.
type Place = usize;

/// Where a jump goes.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// A decision of which nothing is known yet.
    Decision(Id),
    /// A decision whose first word is in the accumulator.
    Loaded(Id),
    Written(Place),
}

/// Makes the program: for each architecture a balanced search over its leaves, and `foreign` for all others.
///
/// # Errors
/// [`SeccompError::TooLong`].
pub(crate) fn assemble(
    graph: &Graph,
    archs: &[(u32, Vec<Leaf>)],
    foreign: Id,
) -> Result<Vec<Instruction>, SeccompError> {
    let mut assembler = Assembler {
        graph,
        written: Vec::with_capacity(512),
        fresh: vec![None; graph.len()],
        loaded: vec![None; graph.len()],
    };
    assembler.decisions(&entries(graph, archs.iter().flat_map(|(_, leaves)| leaves)))?;
    let mut otherwise = Target::Decision(foreign);
    for (audit, leaves) in archs.iter().rev() {
        let root = assembler.search(leaves);
        assembler.fall_through_to(root);
        let search = Target::Written(assembler.push(LOAD, 0, 0, OFFSET_NUMBER));
        otherwise = Target::Written(assembler.branch(JUMP_EQUAL, *audit, search, otherwise));
    }
    assembler.fall_through_to(otherwise);
    assembler.push(LOAD, 0, 0, OFFSET_ARCH);
    assembler.check_length()?;
    assembler.written.reverse();
    Ok(assembler.written)
}

/// How a decision is come to.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// With something else in the accumulator.
    fresh: bool,
    /// With its word there.
    loaded: bool,
}

fn entries<'a>(graph: &Graph, leaves: impl Iterator<Item = &'a Leaf>) -> Vec<Entry> {
    let mut entries = vec![Entry::default(); graph.len()];
    for leaf in leaves {
        entries[leaf.decision].fresh = true;
        leaf.exceptions.iter().for_each(|(_, decision)| entries[*decision].fresh = true);
    }
    for id in (0..graph.len()).rev().filter(|id| graph.is_test(*id)) {
        let Entry { fresh, loaded } = entries[id];
        let Node::Test { test, yes, no } = graph.node(id) else { continue };
        for next in [yes, no].into_iter().filter(|_| fresh || loaded) {
            match leaves_word_for(graph, test, next) {
                true => entries[next].loaded = true,
                false => entries[next].fresh = true,
            }
        }
    }
    entries
}

/// Whether what `next` compares is still in the accumulator after `test`.
fn leaves_word_for(graph: &Graph, test: Test, next: Id) -> bool {
    let same = |next: Test| next.offset == test.offset;
    !matches!(test.kind, Kind::Masked(_)) && matches!(graph.node(next), Node::Test { test, .. } if same(test))
}

struct Assembler<'a> {
    graph: &'a Graph,
    written: Vec<Instruction>,
    /// Where decisions begin: their nearest copy, or a jump to it.
    fresh: Vec<Option<Place>>,
    /// Where they go on with their word loaded.
    loaded: Vec<Option<Place>>,
}

impl Assembler<'_> {
    /// Writes all comparisons of arguments that are come to.
    fn decisions(&mut self, entries: &[Entry]) -> Result<(), SeccompError> {
        for (id, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.fresh || entry.loaded) {
            let Node::Test { test, yes, no } = self.graph.node(id) else { continue };
            let [yes, no] = [yes, no].map(|next| match leaves_word_for(self.graph, test, next) {
                true => Target::Loaded(next),
                false => Target::Decision(next),
            });
            let code = match test.kind {
                Kind::Equal | Kind::Masked(_) => JUMP_EQUAL,
                Kind::Greater => JUMP_GREATER,
                Kind::GreaterOrEqual => JUMP_GREATER_OR_EQUAL,
                Kind::Set => JUMP_SET,
            };
            let mut place = self.branch(code, test.k, yes, no);
            if let Kind::Masked(mask) = test.kind {
                place = self.push(AND, 0, 0, mask);
            }
            self.loaded[id] = Some(place);
            if entry.fresh {
                self.fresh[id] = Some(self.push(LOAD, 0, 0, test.offset));
            }
            self.check_length()?;
        }
        Ok(())
    }

    /// Writes the search for the number in the accumulator.
    fn search(&mut self, leaves: &[Leaf]) -> Target {
        match leaves {
            [leaf] => {
                let decision = Target::Decision(leaf.decision);
                leaf.exceptions.iter().rev().fold(decision, |otherwise, (number, decision)| {
                    let exception = Target::Decision(*decision);
                    Target::Written(self.branch(JUMP_EQUAL, *number, exception, otherwise))
                })
            }
            _ => {
                let (below, above) = leaves.split_at(leaves.len() / 2);
                let border = above[0].start;
                let above = self.search(above);
                let below = self.search(below);
                Target::Written(self.branch(JUMP_GREATER_OR_EQUAL, border, above, below))
            }
        }
    }

    fn branch(&mut self, code: u16, k: u32, yes: Target, no: Target) -> Place {
        let yes = self.near(yes);
        let no = self.near(no);
        let (jt, jf) = (self.distance(yes), self.distance(no));
        debug_assert!(jt <= 255 && jf <= 255, "a jump is too long");
        self.push(code, jt as u8, jf as u8, k)
    }

    /// The place of a target, within reach of a conditional jump.
    fn near(&mut self, target: Target) -> Place {
        let place = match target {
            Target::Decision(id) => self.fresh[id],
            Target::Loaded(id) => self.loaded[id],
            Target::Written(place) => Some(place),
        };
        if let Some(place) = place.filter(|place| self.distance(*place) <= REACH) {
            return place;
        }
        let answer = match target {
            Target::Decision(id) => self.graph.answer_at(id),
            Target::Loaded(_) | Target::Written(_) => None,
        };
        let near = match (answer, place) {
            (Some(outcome), _) => self.push(RETURN, 0, 0, outcome.0),
            (None, Some(place)) => self.push(JUMP, 0, 0, self.distance(place) as u32),
            (None, None) => unreachable!("comparisons are written before what leads to them"),
        };
        match target {
            Target::Decision(id) => self.fresh[id] = Some(near),
            Target::Loaded(id) => self.loaded[id] = Some(near),
            Target::Written(_) => {}
        }
        near
    }

    /// Sees to it that what is written next is followed by the target.
    fn fall_through_to(&mut self, target: Target) {
        let place = self.near(target);
        let distance = self.distance(place);
        if distance > 0 {
            self.push(JUMP, 0, 0, distance as u32);
        }
    }

    /// How many instructions what is written next skips to get to `place`.
    fn distance(&self, place: Place) -> usize {
        self.written.len() - 1 - place
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Place {
        self.written.push(Instruction { code, jt, jf, k });
        self.written.len() - 1
    }

    fn check_length(&self) -> Result<(), SeccompError> {
        if self.written.len() > MAX_INSTRUCTIONS { Err(SeccompError::TooLong) } else { Ok(()) }
    }
}
