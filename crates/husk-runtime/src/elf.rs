// SPDX-License-Identifier: Apache-2.0
//! What an ELF file asks of the system that is to run it: a machine, an interpreter, libraries.
//!
//! Files may come from a hostile root: every offset is checked, every read is bounded, nothing is believed.
//! Layout and meaning: elf(5), ld.so(8), and the kernel's `fs/binfmt_elf.c` for what `execve` insists on.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::elf as raw;
use object::pod;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endian, Endianness};

/// The kernel refuses program header tables larger than this (`load_elf_phdrs`).
const MAX_PROGRAM_HEADERS: usize = 65536;
/// `PATH_MAX`: the kernel refuses a longer `PT_INTERP`, and no library name can be longer.
const MAX_STRING: usize = 4096;
/// Enough for 4096 entries; the largest seen in the wild have a few hundred.
const MAX_DYNAMIC: u64 = 65536;
/// More libraries than any program links directly; with `MAX_STRING` it bounds the memory taken.
const MAX_NEEDED: usize = 512;

/// Why an ELF file could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file does not begin with the four magic bytes.
    #[error("not an ELF file")]
    NotElf,
    /// It begins like an ELF file, but goes on in a way that no loader accepts.
    #[error("a malformed ELF file: {0}")]
    Malformed(&'static str),
    /// The file could not be read.
    #[error("reading an ELF file: {0}")]
    Io(#[from] io::Error),
}

/// Bytes at an offset: a file on disk, or a slice in a test or a fuzzer.
pub trait ReadAt {
    /// Reads into `buf` from `offset`; fewer bytes than asked for means the end. Errors as pread(2).
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|start| self.get(start..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl ReadAt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let Some(at) = offset.checked_add(filled as u64) else { break };
            match FileExt::read_at(self, &mut buf[filled..], at) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // An offset beyond what the file system can address is just past the end.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => break,
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }
}

/// 32-bit or 64-bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// `ELFCLASS32`.
    Elf32,
    /// `ELFCLASS64`.
    Elf64,
}

/// The machine that an ELF file is for; two files fit together when these are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arch {
    /// `e_machine`, an `EM_*` number.
    pub machine: u16,
    /// Word size.
    pub class: Class,
    /// Byte order.
    pub big_endian: bool,
}

impl Arch {
    /// The machine that this husk itself was built for.
    #[cfg(target_arch = "x86_64")]
    pub const HOST: Arch = Arch { machine: raw::EM_X86_64.0, class: Class::Elf64, big_endian: false };
    /// The machine that this husk itself was built for.
    #[cfg(target_arch = "aarch64")]
    pub const HOST: Arch = Arch { machine: raw::EM_AARCH64.0, class: Class::Elf64, big_endian: false };

    /// Whether a kernel of [`Arch::HOST`] runs such programs itself, without an emulator: its own, and the
    /// 32-bit ones of the same family. (An arm64 processor may lack 32-bit mode; then the kernel says so with
    /// ENOEXEC.)
    pub fn runs_here(self) -> bool {
        let elder = match raw::Machine(Arch::HOST.machine) {
            raw::EM_X86_64 => raw::EM_386,
            _ => raw::EM_ARM,
        };
        self == Arch::HOST || self == Arch { machine: elder.0, class: Class::Elf32, big_endian: false }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.class == Class::Elf64;
        let name = match (raw::Machine(self.machine), wide) {
            (raw::EM_X86_64, true) => "x86-64",
            (raw::EM_X86_64, false) => "x32",
            (raw::EM_386, _) => "i386",
            (raw::EM_AARCH64, _) => "aarch64",
            (raw::EM_ARM, _) => "32-bit ARM",
            (raw::EM_RISCV, true) => "64-bit RISC-V",
            (raw::EM_RISCV, false) => "32-bit RISC-V",
            (raw::EM_PPC64, _) if self.big_endian => "big-endian 64-bit PowerPC",
            (raw::EM_PPC64, _) => "64-bit PowerPC",
            (raw::EM_PPC, _) => "32-bit PowerPC",
            (raw::EM_S390, true) => "s390x",
            (raw::EM_S390, false) => "s390",
            (raw::EM_LOONGARCH, _) => "LoongArch",
            (raw::EM_MIPS, true) => "64-bit MIPS",
            (raw::EM_MIPS, false) => "32-bit MIPS",
            (raw::EM_SPARC, _) => "SPARC",
            (raw::EM_SPARCV9, _) => "64-bit SPARC",
            (raw::EM_68K, _) => "Motorola 68000",
            (raw::EM_IA_64, _) => "Itanium",
            (raw::EM_PARISC, _) => "PA-RISC",
            (raw::EM_ALPHA, _) => "Alpha",
            (raw::EM_SH, _) => "SuperH",
            (raw::EM_BPF, _) => "BPF",
            _ => return write!(f, "ELF machine {}", self.machine),
        };
        f.write_str(name)
    }
}

/// What `execve` looks at: the header, and the program headers that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The machine it is for.
    pub arch: Arch,
    /// Whether its type is one that the kernel runs (`ET_EXEC`, `ET_DYN`), not an object file or a core dump.
    pub runnable: bool,
    /// `PT_INTERP`: the dynamic linker it asks for, without the closing NUL. None for a static program or a
    /// library.
    pub interpreter: Option<Vec<u8>>,
    dynamic: Option<Extent>,
    loads: Vec<Load>,
}

/// What the dynamic linker looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// `DT_NEEDED`, in order: names to be searched for, or paths where one contains a slash.
    pub needed: Vec<Vec<u8>>,
    /// `DT_RPATH`: colon-separated directories; also searched for the libraries of this one's libraries.
    pub rpath: Option<Vec<u8>>,
    /// `DT_RUNPATH`: likewise, but for this file's own needs only; with it, `DT_RPATH` is ignored.
    pub runpath: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    offset: u64,
    size: u64,
}

/// A `PT_LOAD` segment: addresses from `vaddr` on are in the file from `offset` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    vaddr: u64,
    file: Extent,
}

/// Reads the headers of an ELF file, as `execve` would.
///
/// # Errors
/// As [`ElfError`]: in particular [`ElfError::NotElf`] for anything that does not begin like one.
pub fn read<S: ReadAt + ?Sized>(source: &S) -> Result<Image, ElfError> {
    let mut ident = [0; 16];
    if source.read_at(&mut ident, 0)? < 4 || ident[..4] != raw::ELFMAG {
        return Err(ElfError::NotElf);
    }
    match raw::FileClass(ident[4]) {
        raw::ELFCLASS32 => read_class::<raw::FileHeader32<Endianness>, S>(source, Class::Elf32),
        raw::ELFCLASS64 => read_class::<raw::FileHeader64<Endianness>, S>(source, Class::Elf64),
        _ => Err(ElfError::Malformed("neither 32-bit nor 64-bit")),
    }
}

fn read_class<H, S>(source: &S, class: Class) -> Result<Image, ElfError>
where
    H: FileHeader<Endian = Endianness>,
    S: ReadAt + ?Sized,
{
    let bytes = exact(source, 0, size_of::<H>()).map_err(cut_short("the header is cut short"))?;
    let (header, _) =
        pod::from_bytes::<H>(&bytes).map_err(|()| ElfError::Malformed("the header is cut short"))?;
    let endian = match header.e_ident().data {
        raw::ELFDATA2LSB => Endianness::Little,
        raw::ELFDATA2MSB => Endianness::Big,
        _ => return Err(ElfError::Malformed("no byte order")),
    };
    let mut image = Image {
        arch: Arch { machine: header.e_machine(endian).0, class, big_endian: endian.is_big_endian() },
        runnable: matches!(header.e_type(endian), raw::ET_EXEC | raw::ET_DYN),
        interpreter: None,
        dynamic: None,
        loads: Vec::new(),
    };
    // Object files have no program headers, and nothing more to tell.
    if header.e_phnum(endian) == 0 {
        return Ok(image);
    }
    if usize::from(header.e_phentsize(endian)) != size_of::<H::ProgramHeader>() {
        return Err(ElfError::Malformed("program headers of a wrong size"));
    }
    let count = usize::from(header.e_phnum(endian));
    let size = count * size_of::<H::ProgramHeader>();
    if size > MAX_PROGRAM_HEADERS {
        return Err(ElfError::Malformed("too many program headers"));
    }
    let table = exact(source, header.e_phoff(endian).into(), size)
        .map_err(cut_short("the program headers are cut short"))?;
    let (segments, _) = pod::slice_from_bytes::<H::ProgramHeader>(&table, count)
        .map_err(|()| ElfError::Malformed("the program headers are cut short"))?;
    for segment in segments {
        let file = Extent { offset: segment.p_offset(endian).into(), size: segment.p_filesz(endian).into() };
        match segment.p_type(endian) {
            // The first one counts, as in the kernel.
            raw::PT_INTERP if image.interpreter.is_none() => {
                image.interpreter = Some(interpreter(source, file)?)
            }
            raw::PT_DYNAMIC => image.dynamic = Some(file),
            raw::PT_LOAD => image.loads.push(Load { vaddr: segment.p_vaddr(endian).into(), file }),
            _ => {}
        }
    }
    Ok(image)
}

/// The kernel insists that the path be two to `PATH_MAX` bytes with its NUL, and NUL-terminated
/// (`load_elf_binary`).
fn interpreter<S: ReadAt + ?Sized>(source: &S, place: Extent) -> Result<Vec<u8>, ElfError> {
    const BAD: &str = "PT_INTERP is not a path";
    let size = usize::try_from(place.size).unwrap_or(usize::MAX);
    if !(2..=MAX_STRING).contains(&size) {
        return Err(ElfError::Malformed(BAD));
    }
    let mut path = exact(source, place.offset, size).map_err(cut_short(BAD))?;
    if path.pop() != Some(0) {
        return Err(ElfError::Malformed(BAD));
    }
    if let Some(end) = path.iter().position(|&b| b == 0) {
        path.truncate(end);
    }
    Ok(path)
}

impl Image {
    /// Reads what the dynamic linker would look for. Empty for a static program.
    ///
    /// `source` is the file that this image was read from.
    ///
    /// # Errors
    /// [`ElfError::Malformed`] or [`ElfError::Io`].
    pub fn dynamic<S: ReadAt + ?Sized>(&self, source: &S) -> Result<Dynamic, ElfError> {
        match self.arch.class {
            Class::Elf32 => self.dynamic_class::<raw::FileHeader32<Endianness>, S>(source),
            Class::Elf64 => self.dynamic_class::<raw::FileHeader64<Endianness>, S>(source),
        }
    }

    fn dynamic_class<H, S>(&self, source: &S) -> Result<Dynamic, ElfError>
    where
        H: FileHeader<Endian = Endianness>,
        S: ReadAt + ?Sized,
    {
        let Some(place) = self.dynamic else { return Ok(Dynamic::default()) };
        if place.size > MAX_DYNAMIC {
            return Err(ElfError::Malformed("the dynamic section is too large"));
        }
        let bytes = exact(source, place.offset, place.size as usize)
            .map_err(cut_short("the dynamic section is cut short"))?;
        let count = bytes.len() / size_of::<H::Dyn>();
        let (entries, _) = pod::slice_from_bytes::<H::Dyn>(&bytes, count)
            .map_err(|()| ElfError::Malformed("the dynamic section is cut short"))?;

        let endian = if self.arch.big_endian { Endianness::Big } else { Endianness::Little };
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| (entry.tag(endian), entry.val(endian)))
            .take_while(|&(tag, _)| tag != raw::DT_NULL)
            .collect();
        let strings = entries
            .iter()
            .find(|(tag, _)| *tag == raw::DT_STRTAB)
            .and_then(|&(_, address)| self.offset(address));
        let string = |value: u64| {
            let at = strings.and_then(|start| start.checked_add(value));
            string(source, at.ok_or(ElfError::Malformed("no string table"))?)
        };

        let mut dynamic = Dynamic::default();
        for &(tag, value) in &entries {
            match tag {
                raw::DT_NEEDED if dynamic.needed.len() == MAX_NEEDED => {
                    return Err(ElfError::Malformed("too many libraries"));
                }
                raw::DT_NEEDED => dynamic.needed.push(string(value)?),
                raw::DT_RPATH => dynamic.rpath = Some(string(value)?),
                raw::DT_RUNPATH => dynamic.runpath = Some(string(value)?),
                _ => {}
            }
        }
        Ok(dynamic)
    }

    /// Where in the file the byte is that will be at `address` in memory.
    fn offset(&self, address: u64) -> Option<u64> {
        self.loads.iter().find_map(|load| {
            let within = address.checked_sub(load.vaddr).filter(|&within| within < load.file.size)?;
            load.file.offset.checked_add(within)
        })
    }
}

/// The NUL-terminated string at `offset`.
fn string<S: ReadAt + ?Sized>(source: &S, offset: u64) -> Result<Vec<u8>, ElfError> {
    // Names are short: most are had with one small read.
    for size in [128, MAX_STRING] {
        let mut bytes = vec![0; size];
        let len = source.read_at(&mut bytes, offset)?;
        if let Some(end) = bytes[..len].iter().position(|&b| b == 0) {
            bytes.truncate(end);
            return Ok(bytes);
        }
    }
    Err(ElfError::Malformed("a name without an end"))
}

/// Exactly `size` bytes (the caller has bounded it) from `offset`; None where the file ends before.
fn exact<S: ReadAt + ?Sized>(source: &S, offset: u64, size: usize) -> Result<Vec<u8>, Option<io::Error>> {
    let mut bytes = vec![0; size];
    match source.read_at(&mut bytes, offset) {
        Ok(len) if len == size => Ok(bytes),
        Ok(_) => Err(None),
        Err(e) => Err(Some(e)),
    }
}

fn cut_short(what: &'static str) -> impl Fn(Option<io::Error>) -> ElfError {
    move |e| e.map_or(ElfError::Malformed(what), ElfError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A 64-bit little-endian file: header, three program headers, the interpreter, strings, the dynamic
    /// section.
    fn sample(machine: u16) -> Vec<u8> {
        const STRINGS: &[u8] = b"\0libc.so.6\0/opt/lib:$ORIGIN\0/old\0";
        const INTERPRETER: &[u8] = b"/lib/ld.so\0";
        let interpreter = 64 + 3 * 56;
        let strings = interpreter + INTERPRETER.len();
        let dynamic = strings + STRINGS.len();
        let entries: [(u64, u64); 5] = [(1, 1), (29, 11), (15, 28), (5, 0x1000 + strings as u64), (0, 0)];

        let mut out = Vec::new();
        out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        out.extend(3u16.to_le_bytes());
        out.extend(machine.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        for word in [0u64, 64, 0] {
            out.extend(word.to_le_bytes());
        }
        out.extend(0u32.to_le_bytes());
        for half in [64u16, 56, 3, 0, 0, 0] {
            out.extend(half.to_le_bytes());
        }
        let segments = [
            (3u32, interpreter, INTERPRETER.len()),
            (1, 0, dynamic + entries.len() * 16),
            (2, dynamic, entries.len() * 16),
        ];
        for (kind, offset, size) in segments {
            out.extend(kind.to_le_bytes());
            out.extend(5u32.to_le_bytes());
            for word in [offset, 0x1000 + offset, 0x1000 + offset, size, size, 1] {
                out.extend((word as u64).to_le_bytes());
            }
        }
        out.extend(INTERPRETER);
        out.extend(STRINGS);
        for (tag, value) in entries {
            out.extend(tag.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        out
    }

    #[test]
    fn reads_everything_a_program_asks_for() {
        let bytes = sample(183);
        let image = read(&bytes[..]).unwrap();
        assert_eq!(image.arch.to_string(), "aarch64");
        assert!(image.runnable);
        assert_eq!(image.interpreter.as_deref(), Some(&b"/lib/ld.so"[..]));
        let dynamic = image.dynamic(&bytes[..]).unwrap();
        assert_eq!(dynamic.needed, [b"libc.so.6"]);
        assert_eq!(dynamic.runpath.as_deref(), Some(&b"/opt/lib:$ORIGIN"[..]));
        assert_eq!(dynamic.rpath.as_deref(), Some(&b"/old"[..]));
    }

    #[test]
    fn this_very_program_runs_here() {
        let me = File::open(std::env::current_exe().unwrap()).unwrap();
        let image = read(&me).unwrap();
        assert_eq!(image.arch, Arch::HOST);
        assert!(image.arch.runs_here() && image.runnable);
    }

    #[test]
    fn the_32_bit_elder_runs_here_and_strangers_do_not() {
        let elder = if cfg!(target_arch = "x86_64") { raw::EM_386 } else { raw::EM_ARM };
        let of = |machine: raw::Machine, class| Arch { machine: machine.0, class, big_endian: false };
        assert!(of(elder, Class::Elf32).runs_here());
        assert!(!of(raw::EM_RISCV, Class::Elf64).runs_here());
        assert!(!of(raw::EM_X86_64, Class::Elf32).runs_here(), "x32 needs a kernel built for it");
        assert_eq!(of(raw::Machine(9999), Class::Elf64).to_string(), "ELF machine 9999");
    }

    #[test]
    fn other_files_are_told_apart_from_broken_ones() {
        assert!(matches!(read(&b"#!/bin/sh\n"[..]), Err(ElfError::NotElf)));
        assert!(matches!(read(&b""[..]), Err(ElfError::NotElf)));
        assert!(matches!(read(&b"\x7fELF"[..]), Err(ElfError::Malformed(_))));
        assert!(matches!(read(&sample(62)[..100]), Err(ElfError::Malformed(_))));
    }

    #[test]
    fn an_interpreter_of_a_wrong_length_is_refused_unread() {
        let mut bytes = sample(62);
        // p_filesz of the first program header
        bytes[64 + 32..64 + 40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(read(&bytes[..]), Err(ElfError::Malformed("PT_INTERP is not a path"))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = read(&bytes[..]);
        }

        #[test]
        fn damaged_files_never_panic(at in 0usize..400, with in any::<[u8; 8]>(), cut in 0usize..400) {
            let mut bytes = sample(62);
            for (to, from) in bytes.iter_mut().skip(at).zip(with) {
                *to = from;
            }
            bytes.truncate(bytes.len().min(cut + 64));
            if let Ok(image) = read(&bytes[..]) {
                let _ = image.dynamic(&bytes[..]);
            }
        }
    }
}
