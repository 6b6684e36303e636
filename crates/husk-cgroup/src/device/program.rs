// SPDX-License-Identifier: Apache-2.0
//! Device rules for version 2: an eBPF program of the type `BPF_PROG_TYPE_CGROUP_DEVICE`, as instructions
//! (`bpf/standardization/instruction-set.rst`).
//!
//! The kernel calls it with a `struct bpf_cgroup_dev_ctx` and allows the access if it returns 1. The rules are asked from
//! the last to the first. One that denies any of the bits wanted ends it; one that allows takes its bits off what is still
//! to be allowed, and what is left in the end is denied.

use super::{Access, Kind, Rule};

/// An instruction as the kernel takes it, in the byte order of the machine.
pub type Instruction = [u8; 8];

const R0: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Operation codes: class, source and operation.
const LOAD_WORD: u8 = 0x61;
const AND32: u8 = 0x54;
const SHIFT_RIGHT32: u8 = 0x74;
const MOVE: u8 = 0xb7;
const JUMP: u8 = 0x05;
const JUMP32_NOT_EQUAL: u8 = 0x56;
const JUMP32_SET: u8 = 0x46;
const EXIT: u8 = 0x95;

/// The program for `rules`, of which later ones win. What none is about is denied.
pub fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = prologue();
    for rule in rules.iter().rev() {
        if rule.is_about_all() {
            // The kernel refuses programs with instructions that are never reached.
            program.extend(answer(rule.allow));
            return program;
        }
        program.extend(block(rule));
    }
    program.extend(answer(false));
    program
}

/// Takes the context apart: `access_type` (kind in the lower half, what is wanted in the upper), `major`, `minor`.
fn prologue() -> Vec<Instruction> {
    vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(LOAD_WORD, WANTED, CONTEXT, 0, 0),
        instruction(AND32, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT32, WANTED, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ]
}

/// A rule: conditions that jump behind it, then what it does.
fn block(rule: &Rule) -> Vec<Instruction> {
    let action = action(rule);
    let conditions: Vec<_> = [
        rule.kind.map(|kind| (KIND, number(kind))),
        rule.major.map(|number| (MAJOR, number)),
        rule.minor.map(|number| (MINOR, number)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let count = conditions.len();
    let condition = |(index, (register, value)): (usize, (u8, u32))| {
        let behind = count - 1 - index + action.len();
        instruction(JUMP32_NOT_EQUAL, register, 0, behind as i16, value)
    };
    let conditions: Vec<_> = conditions.into_iter().enumerate().map(condition).collect();
    [conditions, action].concat()
}

/// The kernel's `BPF_DEVCG_DEV_*`.
fn number(kind: Kind) -> u32 {
    match kind {
        Kind::Block => 1,
        Kind::Character => 2,
    }
}

fn action(rule: &Rule) -> Vec<Instruction> {
    let bits = u32::from(rule.access.bits());
    let check = match (rule.access == Access::ALL, rule.allow) {
        (true, _) => Vec::new(),
        (false, true) => {
            vec![instruction(AND32, WANTED, 0, 0, !bits), instruction(JUMP32_NOT_EQUAL, WANTED, 0, 2, 0)]
        }
        (false, false) => {
            vec![instruction(JUMP32_SET, WANTED, 0, 1, bits), instruction(JUMP, 0, 0, 2, 0)]
        }
    };
    [check, answer(rule.allow).to_vec()].concat()
}

fn answer(allow: bool) -> [Instruction; 2] {
    [instruction(MOVE, R0, 0, 0, allow.into()), instruction(EXIT, 0, 0, 0, 0)]
}

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: u32) -> Instruction {
    // A bit field in C: which half comes first is a matter of byte order.
    let registers =
        if cfg!(target_endian = "little") { source << 4 | destination } else { destination << 4 | source };
    let [o0, o1] = offset.to_ne_bytes();
    let [i0, i1, i2, i3] = immediate.to_ne_bytes();
    [code, registers, o0, o1, i0, i1, i2, i3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DEFAULT;
    use proptest::prelude::*;

    /// Runs the program in rbpf's interpreter, which knows nothing of this encoder.
    fn allows(rules: &[Rule], kind: Kind, major: u32, minor: u32, wanted: u8) -> bool {
        let code = program(rules).concat();
        let machine = rbpf::EbpfVmRaw::new(Some(&code)).expect("a sound program");
        let words = [u32::from(wanted) << 16 | number(kind), major, minor];
        let mut context: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        match machine.execute_program(&mut context).expect("it ends") {
            0 => false,
            1 => true,
            other => panic!("{other} is no answer"),
        }
    }

    /// The same question, asked of the rules bit by bit.
    fn model(rules: &[Rule], kind: Kind, major: u32, minor: u32, wanted: u8) -> bool {
        let is_about = |rule: &&Rule| {
            rule.kind.is_none_or(|of| of == kind)
                && rule.major.is_none_or(|number| number == major)
                && rule.minor.is_none_or(|number| number == minor)
        };
        [1, 2, 4].into_iter().filter(|bit| wanted & bit != 0).all(|bit| {
            let last = rules.iter().filter(is_about).rfind(|rule| rule.access.bits() & bit != 0);
            last.is_some_and(|rule| rule.allow)
        })
    }

    fn rule(allow: bool, kind: Option<Kind>, major: Option<u32>, minor: Option<u32>, access: &str) -> Rule {
        Rule { allow, kind, major, minor, access: Access::parse(access).expect("access") }
    }

    #[test]
    fn without_rules_everything_is_denied() {
        assert!(!allows(&[], Kind::Character, 1, 3, 2));
    }

    #[test]
    fn the_default_devices_and_no_others() {
        assert!(allows(&DEFAULT, Kind::Character, 1, 3, 6), "null");
        assert!(allows(&DEFAULT, Kind::Character, 136, 77, 6), "a pts");
        assert!(allows(&DEFAULT, Kind::Block, 8, 0, 1), "making a node");
        assert!(!allows(&DEFAULT, Kind::Block, 8, 0, 2), "reading a disk");
        assert!(!allows(&DEFAULT, Kind::Block, 1, 3, 6), "the number of null, but of a block device");
        assert!(!allows(&DEFAULT, Kind::Character, 10, 229, 2), "fuse");
    }

    #[test]
    fn later_rules_win_also_inside_wider_ones() {
        let c = Some(Kind::Character);
        let rules = [rule(true, c, Some(1), None, "rwm"), rule(false, c, Some(1), Some(3), "w")];
        assert!(allows(&rules, Kind::Character, 1, 3, 2));
        assert!(!allows(&rules, Kind::Character, 1, 3, 4));
        assert!(!allows(&rules, Kind::Character, 1, 3, 6), "one of two bits is denied");
        assert!(allows(&rules, Kind::Character, 1, 5, 6));
        let again = [rules[0], rules[1], rule(true, None, None, None, "rwm")];
        assert!(allows(&again, Kind::Character, 1, 3, 6) && allows(&again, Kind::Block, 9, 9, 7));
    }

    #[test]
    fn two_rules_together_may_allow_what_neither_does() {
        let rules = [rule(true, None, Some(7), None, "r"), rule(true, None, None, Some(1), "w")];
        assert!(allows(&rules, Kind::Block, 7, 1, 6));
        assert!(!allows(&rules, Kind::Block, 7, 2, 6));
    }

    #[test]
    fn nothing_stands_behind_a_rule_about_all() {
        let all = rule(false, None, None, None, "rwm");
        assert_eq!(program(&[DEFAULT[2], all]).len(), prologue().len() + 2);
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let kind = prop_oneof![Just(None), Just(Some(Kind::Block)), Just(Some(Kind::Character))];
        let number = || prop_oneof![Just(None), (0..3_u32).prop_map(Some), Just(Some(u32::MAX))];
        (any::<bool>(), kind, number(), number(), 1..8_u8).prop_map(|(allow, kind, major, minor, bits)| {
            Rule { allow, kind, major, minor, access: Access(bits) }
        })
    }

    proptest! {
        #[test]
        fn the_program_answers_as_the_rules_do(
            rules in prop::collection::vec(any_rule(), 0..12),
            kind in prop_oneof![Just(Kind::Block), Just(Kind::Character)],
            major in prop_oneof![0..3_u32, Just(u32::MAX)],
            minor in prop_oneof![0..3_u32, Just(u32::MAX)],
            wanted in 1..8_u8,
        ) {
            prop_assert_eq!(
                allows(&rules, kind, major, minor, wanted),
                model(&rules, kind, major, minor, wanted)
            );
        }
    }
}
