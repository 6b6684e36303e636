// SPDX-License-Identifier: Apache-2.0
//! The ABIs that a filter can tell apart: `seccomp_data.arch`, the width of arguments, and how calls are numbered.

use husk_spec::oci::Arch;

/// The bit that is set in the number of each x32 call (`asm/unistd.h`, `__X32_SYSCALL_BIT`).
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// One ABI.
#[derive(Debug)]
pub(crate) struct Abi {
    pub(crate) arch: Arch,
    /// `AUDIT_ARCH_*` (`linux/audit.h`).
    pub(crate) audit: u32,
    /// Whether arguments are 64 bits wide; otherwise the upper halves are not looked at.
    pub(crate) wide: bool,
    pub(crate) big_endian: bool,
    /// Its column in the table of calls.
    pub(crate) column: usize,
    /// What the table's numbers are counted from.
    pub(crate) base: u32,
    /// Where calls of sockets and of System V IPC also go through one call each, with their own number as its first
    /// argument: `socketcall(2)`, `ipc(2)`.
    pub(crate) multiplexers: Option<Multiplexers>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Multiplexers {
    pub(crate) socketcall: u32,
    pub(crate) ipc: u32,
}

const fn multiplexed(base: u32) -> Option<Multiplexers> {
    Some(Multiplexers { socketcall: base + 102, ipc: base + 117 })
}

const ABIS_LEN: usize = 18;
const NARROW: bool = false;
const WIDE: bool = true;
const LITTLE: bool = false;
const BIG: bool = true;

#[rustfmt::skip]
static ABIS: [Abi; ABIS_LEN] = [
    abi(Arch::X86_64,      0xc000_003e, WIDE,   LITTLE, 0,  0,       None),
    abi(Arch::X86,         0x4000_0003, NARROW, LITTLE, 1,  0,       multiplexed(0)),
    abi(Arch::X32,         0xc000_003e, NARROW, LITTLE, 2,  X32_BIT, None),
    abi(Arch::Aarch64,     0xc000_00b7, WIDE,   LITTLE, 3,  0,       None),
    abi(Arch::Arm,         0x4000_0028, NARROW, LITTLE, 4,  0,       None),
    abi(Arch::Riscv64,     0xc000_00f3, WIDE,   LITTLE, 5,  0,       None),
    abi(Arch::Loongarch64, 0xc000_0102, WIDE,   LITTLE, 6,  0,       None),
    abi(Arch::S390x,       0x8000_0016, WIDE,   BIG,    7,  0,       multiplexed(0)),
    abi(Arch::S390,        0x0000_0016, NARROW, BIG,    8,  0,       multiplexed(0)),
    abi(Arch::Ppc64Le,     0xc000_0015, WIDE,   LITTLE, 9,  0,       multiplexed(0)),
    abi(Arch::Ppc64,       0x8000_0015, WIDE,   BIG,    9,  0,       multiplexed(0)),
    abi(Arch::Ppc,         0x0000_0014, NARROW, BIG,    10, 0,       multiplexed(0)),
    abi(Arch::Mips64,      0x8000_0008, WIDE,   BIG,    11, 5000,    None),
    abi(Arch::Mipsel64,    0xc000_0008, WIDE,   LITTLE, 11, 5000,    None),
    abi(Arch::Mips64N32,   0xa000_0008, NARROW, BIG,    12, 6000,    None),
    abi(Arch::Mipsel64N32, 0xe000_0008, NARROW, LITTLE, 12, 6000,    None),
    abi(Arch::Mips,        0x0000_0008, NARROW, BIG,    13, 4000,    multiplexed(4000)),
    abi(Arch::Mipsel,      0x4000_0008, NARROW, LITTLE, 13, 4000,    multiplexed(4000)),
];

const fn abi(
    arch: Arch,
    audit: u32,
    wide: bool,
    big_endian: bool,
    column: usize,
    base: u32,
    multiplexers: Option<Multiplexers>,
) -> Abi {
    Abi { arch, audit, wide, big_endian, column, base, multiplexers }
}

/// The architectures of [`ABIS`].
pub(crate) const ARCHS: [Arch; ABIS_LEN] = {
    let mut archs = [Arch::X86_64; ABIS_LEN];
    let mut i = 0;
    while i < ABIS_LEN {
        archs[i] = ABIS[i].arch;
        i += 1;
    }
    archs
};

impl Abi {
    /// The ABI that the specification calls `arch`, if its calls are known.
    pub(crate) fn of(arch: Arch) -> Option<&'static Self> {
        ABIS.iter().find(|abi| abi.arch == arch)
    }

    /// The ABI that a call came through; `audit` and `number` as in `seccomp_data`.
    pub(crate) fn of_call(audit: u32, number: u32) -> Option<&'static Self> {
        let x32 = number & X32_BIT != 0;
        let matches = |abi: &&Self| abi.audit == audit && (abi.audit != AUDIT_X86_64 || x32 == abi.is_x32());
        ABIS.iter().find(matches)
    }

    pub(crate) fn is_x32(&self) -> bool {
        self.arch == Arch::X32
    }
}

/// What x86_64 and x32 share.
pub(crate) const AUDIT_X86_64: u32 = 0xc000_003e;

/// The name by which the specification calls an architecture: `SCMP_ARCH_X86_64`.
pub fn name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86 => "SCMP_ARCH_X86",
        Arch::X86_64 => "SCMP_ARCH_X86_64",
        Arch::X32 => "SCMP_ARCH_X32",
        Arch::Arm => "SCMP_ARCH_ARM",
        Arch::Aarch64 => "SCMP_ARCH_AARCH64",
        Arch::Loongarch64 => "SCMP_ARCH_LOONGARCH64",
        Arch::M68k => "SCMP_ARCH_M68K",
        Arch::Mips => "SCMP_ARCH_MIPS",
        Arch::Mips64 => "SCMP_ARCH_MIPS64",
        Arch::Mips64N32 => "SCMP_ARCH_MIPS64N32",
        Arch::Mipsel => "SCMP_ARCH_MIPSEL",
        Arch::Mipsel64 => "SCMP_ARCH_MIPSEL64",
        Arch::Mipsel64N32 => "SCMP_ARCH_MIPSEL64N32",
        Arch::Parisc => "SCMP_ARCH_PARISC",
        Arch::Parisc64 => "SCMP_ARCH_PARISC64",
        Arch::Ppc => "SCMP_ARCH_PPC",
        Arch::Ppc64 => "SCMP_ARCH_PPC64",
        Arch::Ppc64Le => "SCMP_ARCH_PPC64LE",
        Arch::Riscv64 => "SCMP_ARCH_RISCV64",
        Arch::S390 => "SCMP_ARCH_S390",
        Arch::S390x => "SCMP_ARCH_S390X",
        Arch::Sh => "SCMP_ARCH_SH",
        Arch::Sheb => "SCMP_ARCH_SHEB",
    }
}
