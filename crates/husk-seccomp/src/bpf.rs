// SPDX-License-Identifier: Apache-2.0
//! Classic BPF, as far as filters of system calls use it (`seccomp(2)`, `linux/bpf_common.h`).

/// One instruction: the fields of `struct sock_filter`, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions a jump skips if its test holds.
    pub jt: u8,
    /// How many it skips if not.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
pub(crate) const MAX_INSTRUCTIONS: usize = 4096;

/// `A = the 32 bits at byte k of seccomp_data`.
pub(crate) const LOAD: u16 = 0x20;
/// `A &= k`.
pub(crate) const AND: u16 = 0x54;
/// Skips `k` instructions.
pub(crate) const JUMP: u16 = 0x05;
/// Whether `A == k`.
pub(crate) const JUMP_EQUAL: u16 = 0x15;
/// Whether `A > k`.
pub(crate) const JUMP_GREATER: u16 = 0x25;
/// Whether `A >= k`.
pub(crate) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
/// Whether `A & k` is not 0.
pub(crate) const JUMP_SET: u16 = 0x45;
/// Ends with the answer `k`.
pub(crate) const RETURN: u16 = 0x06;

/// Where a filter finds the number of the call.
pub(crate) const OFFSET_NUMBER: u32 = 0;
/// Where it finds the architecture.
pub(crate) const OFFSET_ARCH: u32 = 4;
/// Where it finds the first of six arguments of 64 bits.
pub(crate) const OFFSET_ARGUMENTS: u32 = 16;

/// What a filter sees of a call: `struct seccomp_data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeccompData {
    /// The number of the call.
    pub number: u32,
    /// The architecture, as AUDIT_ARCH_*.
    pub arch: u32,
    /// Where the caller is.
    pub instruction_pointer: u64,
    /// The arguments.
    pub args: [u64; 6],
}

impl SeccompData {
    /// The 32 bits at a byte of the structure; nothing for a place where there are none.
    fn word(&self, offset: u32, big_endian: bool) -> Option<u32> {
        let half =
            |value: u64, second: bool| if second == big_endian { value as u32 } else { (value >> 32) as u32 };
        let second = offset % 8 == 4;
        match offset {
            OFFSET_NUMBER => Some(self.number),
            OFFSET_ARCH => Some(self.arch),
            8 | 12 => Some(half(self.instruction_pointer, second)),
            16..64 if offset.is_multiple_of(4) => {
                Some(half(self.args[((offset - OFFSET_ARGUMENTS) / 8) as usize], second))
            }
            _ => None,
        }
    }
}

/// What a program answers to a call. None if the kernel would not load such a program: it reads beyond the data, runs off
/// its end, or has an instruction that filters of system calls do not have.
pub fn run(program: &[Instruction], data: &SeccompData, big_endian: bool) -> Option<u32> {
    let mut accumulator = 0;
    let mut at = 0usize;
    loop {
        let instruction = program.get(at)?;
        let k = instruction.k;
        let jump = |holds: bool| usize::from(if holds { instruction.jt } else { instruction.jf });
        let skipped = match instruction.code {
            LOAD => {
                accumulator = data.word(k, big_endian)?;
                0
            }
            AND => {
                accumulator &= k;
                0
            }
            JUMP => k as usize,
            JUMP_EQUAL => jump(accumulator == k),
            JUMP_GREATER => jump(accumulator > k),
            JUMP_GREATER_OR_EQUAL => jump(accumulator >= k),
            JUMP_SET => jump(accumulator & k != 0),
            RETURN => return Some(k),
            _ => return None,
        };
        at = at.checked_add(1 + skipped)?;
    }
}
