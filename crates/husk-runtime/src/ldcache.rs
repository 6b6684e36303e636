// SPDX-License-Identifier: Apache-2.0
//! `/etc/ld.so.cache`: which file a library's name stands for on this host, as ldconfig(8) left it for
//! ld.so(8).
//!
//! The format is glibc's `sysdeps/generic/dl-cache.h`: a header, entries of 24 bytes, strings. Until glibc
//! 2.32 the file could begin with the older format (`ld.so-1.7.0`), with the newer one embedded after it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use object::elf as raw;

use crate::elf::{Arch, Class};

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const OLD_ENTRY: usize = 12;
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// `FLAG_ELF_LIBC6`: the only type of library that is still made.
const LIBC6: u32 = 3;

/// A cache that has a header. Its entries are looked at when asked for: a hostile one costs no more than its
/// size.
#[derive(Debug, Clone)]
pub struct LdCache {
    /// From the newer header on: string offsets count from there.
    bytes: Vec<u8>,
    entries: usize,
    big_endian: bool,
}

/// One library of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What `DT_NEEDED` calls it.
    pub soname: &'a [u8],
    /// Where it is.
    pub path: &'a Path,
    /// Type in the low byte, ABI in the next: see `dl-cache.h`.
    pub flags: u32,
    /// Not 0 for a variant that needs a better processor than the baseline.
    pub hwcap: u64,
}

impl LdCache {
    /// Takes the bytes of a cache file. None when they are not one.
    pub fn parse(bytes: &[u8]) -> Option<LdCache> {
        let bytes = &bytes[newer_header(bytes)?..];
        let header = bytes.get(..HEADER)?;
        // cache_file_new_flags_endian_*; 0 was written before the field existed.
        let big_endian = match header[28] & 3 {
            2 => false,
            3 => true,
            _ => cfg!(target_endian = "big"),
        };
        let count = u32_at(bytes, 20, big_endian)? as usize;
        let room = (bytes.len() - HEADER) / ENTRY;
        (count <= room).then(|| LdCache { bytes: bytes.to_vec(), entries: count, big_endian })
    }

    /// All libraries, in the cache's order: the first that fits wins.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.entries).filter_map(|index| {
            let at = HEADER + index * ENTRY;
            let string = |field: usize| self.string(self.u32(at + field)? as usize);
            let hwcap = self.bytes.get(at + 16..at + 24)?.try_into().ok()?;
            Some(Entry {
                flags: self.u32(at)?,
                soname: string(4)?,
                path: Path::new(std::ffi::OsStr::from_bytes(string(8)?)),
                hwcap: if self.big_endian { u64::from_be_bytes(hwcap) } else { u64::from_le_bytes(hwcap) },
            })
        })
    }

    /// The files that `soname` may stand for in a program of this machine, baseline variants only, best
    /// first.
    pub fn lookup<'a>(&'a self, soname: &'a [u8], arch: Arch) -> impl Iterator<Item = &'a Path> {
        let wanted = flags(arch);
        self.iter()
            .filter(move |e| e.soname == soname && Some(e.flags) == wanted && e.hwcap == 0)
            .map(|entry| entry.path)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        u32_at(&self.bytes, at, self.big_endian)
    }

    fn string(&self, at: usize) -> Option<&[u8]> {
        let rest = self.bytes.get(at..)?;
        let window = &rest[..rest.len().min(4096)];
        window.iter().position(|&b| b == 0).map(|end| &window[..end])
    }
}

/// Where the newer format begins: at once, or after the older one, aligned as its 64-bit fields are (4 on
/// i386, else 8).
fn newer_header(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(MAGIC) {
        return Some(0);
    }
    if !bytes.starts_with(OLD_MAGIC) {
        return None;
    }
    let count = u32_at(bytes, OLD_MAGIC.len(), cfg!(target_endian = "big"))? as usize;
    let end = count.checked_mul(OLD_ENTRY)?.checked_add(OLD_MAGIC.len() + 4)?;
    [8, 4]
        .into_iter()
        .filter_map(|alignment| end.checked_next_multiple_of(alignment))
        .find(|&start| bytes.get(start..).is_some_and(|rest| rest.starts_with(MAGIC)))
}

fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if big_endian { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) })
}

/// How the cache marks libraries of a machine: `FLAG_ELF_LIBC6` and the `FLAG_*_LIB*` of `dl-cache.h`.
fn flags(arch: Arch) -> Option<u32> {
    let abi = match (raw::Machine(arch.machine), arch.class) {
        (raw::EM_386, _) => 0,
        (raw::EM_X86_64, Class::Elf64) => 0x0300,
        (raw::EM_X86_64, Class::Elf32) => 0x0800,
        (raw::EM_AARCH64, Class::Elf64) => 0x0a00,
        // The hard-float ABI; no distribution ships another any more.
        (raw::EM_ARM, _) => 0x0900,
        _ => return None,
    };
    Some(abi | LIBC6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn x86_64() -> Arch {
        Arch { machine: raw::EM_X86_64.0, class: Class::Elf64, big_endian: false }
    }

    /// (flags, soname, path, hwcap)
    type Row<'a> = (u32, &'a str, &'a str, u64);

    fn newer(rows: &[Row<'_>]) -> Vec<u8> {
        let mut strings: Vec<u8> = Vec::new();
        let mut entries = Vec::new();
        let base = HEADER + rows.len() * ENTRY;
        for (flags, soname, path, hwcap) in rows {
            let soname_at = base + strings.len();
            strings.extend(soname.as_bytes().iter().chain(&[0]));
            let path_at = base + strings.len();
            strings.extend(path.as_bytes().iter().chain(&[0]));
            for field in [*flags, soname_at as u32, path_at as u32, 0] {
                entries.extend(field.to_le_bytes());
            }
            entries.extend(hwcap.to_le_bytes());
        }
        let mut out = MAGIC.to_vec();
        out.extend((rows.len() as u32).to_le_bytes());
        out.extend((strings.len() as u32).to_le_bytes());
        out.extend([2, 0, 0, 0]);
        out.resize(HEADER, 0);
        out.extend(entries);
        out.extend(strings);
        out
    }

    fn found(cache: &LdCache, soname: &str, arch: Arch) -> Vec<String> {
        cache.lookup(soname.as_bytes(), arch).map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_name_is_found_for_the_right_machine_only() {
        let rows = [
            (0x0303, "libz.so.1", "/lib/fast/libz.so.1", 1 << 62),
            (0x0303, "libz.so.1", "/lib/libz.so.1", 0),
            (0x0003, "libz.so.1", "/lib32/libz.so.1", 0),
        ];
        let cache = LdCache::parse(&newer(&rows)).unwrap();
        assert_eq!(found(&cache, "libz.so.1", x86_64()), ["/lib/libz.so.1"]);
        let i386 = Arch { machine: raw::EM_386.0, class: Class::Elf32, big_endian: false };
        assert_eq!(found(&cache, "libz.so.1", i386), ["/lib32/libz.so.1"]);
        assert!(found(&cache, "libz.so", x86_64()).is_empty());
        assert!(found(&cache, "libz.so.1", Arch { machine: 9999, ..x86_64() }).is_empty());
    }

    #[test]
    fn the_newer_format_is_found_behind_the_older() {
        for (entries, alignment) in [(1usize, 8), (2, 8), (1, 4)] {
            let mut bytes = OLD_MAGIC.to_vec();
            bytes.extend((entries as u32).to_le_bytes());
            bytes.resize(bytes.len() + entries * OLD_ENTRY, 0);
            bytes.resize(bytes.len().next_multiple_of(alignment), 0);
            bytes.extend(newer(&[(0x0303, "liba.so", "/lib/liba.so", 0)]));
            let cache = LdCache::parse(&bytes).unwrap();
            assert_eq!(found(&cache, "liba.so", x86_64()), ["/lib/liba.so"]);
        }
    }

    #[test]
    fn what_is_no_cache_is_none() {
        assert!(LdCache::parse(b"").is_none());
        assert!(LdCache::parse(OLD_MAGIC).is_none());
        assert!(LdCache::parse(MAGIC).is_none());
        let mut boastful = newer(&[]);
        boastful[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(LdCache::parse(&boastful).is_none());
    }

    #[test]
    fn the_hosts_own_cache_knows_its_libc() {
        let Ok(bytes) = std::fs::read("/etc/ld.so.cache") else { return };
        let cache = LdCache::parse(&bytes).expect("this host's cache is readable");
        let libc = found(&cache, "libc.so.6", Arch::HOST);
        assert!(libc.first().is_some_and(|path| Path::new(path).is_file()), "{libc:?}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1024), old in any::<bool>()) {
            let mut all = if old { OLD_MAGIC.to_vec() } else { MAGIC.to_vec() };
            all.extend(&bytes);
            for bytes in [&bytes, &all] {
                if let Some(cache) = LdCache::parse(bytes) {
                    let _ = cache.iter().count();
                }
            }
        }

        #[test]
        fn damaged_caches_never_panic(at in 0usize..200, with in any::<[u8; 4]>()) {
            let mut bytes = newer(&[(0x0303, "liba.so", "/lib/liba.so", 0), (0x0303, "libb.so", "/lib/libb.so", 0)]);
            for (to, from) in bytes.iter_mut().skip(at).zip(with) {
                *to = from;
            }
            if let Some(cache) = LdCache::parse(&bytes) {
                let _ = cache.iter().count();
            }
        }
    }
}
