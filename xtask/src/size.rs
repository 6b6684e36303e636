// SPDX-License-Identifier: Apache-2.0

//! The release programs are single files: how large, and that nothing is loaded beside them.

use std::fs;
use std::path::Path;

use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadRef};

use crate::{Result, workspace};

/// The verb: prints one line for each program, and fails on one that is not static.
pub(crate) fn run() -> Result {
    for program in workspace::build_release()? {
        println!("{}", report(&program).map_err(|error| format!("{}: {error}", program.display()))?);
    }
    Ok(())
}

fn report(program: &Path) -> Result<String> {
    let data = fs::read(program)?;
    if let Some(reason) = loads_something(data.as_slice())? {
        return Err(format!("not static: {reason}").into());
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{name}: {:.2} MB, static", data.len() as f64 / 1e6))
}

/// What makes the kernel or the C library load a second file, if anything does.
fn loads_something<'data>(data: impl ReadRef<'data>) -> Result<Option<&'static str>> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        if segment.p_type(endian) == PT_INTERP {
            return Ok(Some("it asks for a dynamic linker (PT_INTERP)"));
        }
        let dynamic = segment.dynamic(endian, data)?.unwrap_or_default();
        if dynamic.iter().any(|entry| entry.d_tag.get(endian) == DT_NEEDED) {
            return Ok(Some("it needs a shared library (DT_NEEDED)"));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use object::elf::PT_DYNAMIC;

    use super::*;

    /// A 64-bit little-endian program of one segment, which holds `contents`.
    fn program(segment_type: u32, contents: &[u8]) -> Vec<u8> {
        let halves = |values: &[u16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let words = |values: &[u32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let longs = |values: &[u64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let size = contents.len() as u64;
        [
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
            halves(&[2, 62]),                   // e_type, e_machine
            words(&[1]),                        // e_version
            longs(&[0, 64, 0]),                 // e_entry, e_phoff, e_shoff
            words(&[0]),                        // e_flags
            halves(&[64, 56, 1, 64, 0, 0]),     // e_ehsize, e_phentsize, e_phnum, e_sh…
            words(&[segment_type, 0]),          // p_type, p_flags
            longs(&[120, 0, 0, size, size, 8]), // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
            contents.to_vec(),
        ]
        .concat()
    }

    #[test]
    fn a_dynamic_linker_or_a_library_is_found() {
        let reason = |data: Vec<u8>| loads_something(data.as_slice()).unwrap().unwrap_or_default();
        assert!(reason(program(PT_INTERP.0, b"/lib/ld.so\0")).contains("PT_INTERP"));
        assert!(reason(program(PT_DYNAMIC.0, &[[1; 1].as_slice(), &[0; 31]].concat())).contains("DT_NEEDED"));
        assert_eq!(reason(program(PT_DYNAMIC.0, &[0; 16])), "");
    }
}
