// SPDX-License-Identifier: Apache-2.0

//! The release programs are single files: how large, and that nothing is loaded beside them.

use std::fs;

use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadRef};

use crate::{Result, workspace};

/// The programs, and what each may have at most, in bytes.
const PROGRAMS: &[(&str, Option<usize>)] = &[("husk", None), ("husk-oci", Some(2_500_000))];

/// The verb: prints one line for each program, and fails on one that is not static or is too large.
pub(crate) fn run() -> Result {
    let packages: Vec<_> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    let built = workspace::build_release_of(&packages)?;
    for (name, most) in PROGRAMS {
        let program = built.iter().find(|program| program.ends_with(name));
        let program = program.ok_or_else(|| format!("cargo built no {name}"))?;
        let report = report(name, &fs::read(program)?, *most);
        println!("{}", report.map_err(|error| format!("{}: {error}", program.display()))?);
    }
    Ok(())
}

fn report(name: &str, data: &[u8], most: Option<usize>) -> Result<String> {
    if let Some(reason) = loads_something(data)? {
        return Err(format!("not static: {reason}").into());
    }
    if let Some(most) = most.filter(|most| data.len() >= *most) {
        return Err(format!("{} bytes are too many: fewer than {most} are allowed", data.len()).into());
    }
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

    #[test]
    fn a_program_is_refused_from_the_bound_on() {
        let data = program(PT_DYNAMIC.0, &[0; 16]);
        let report = |most| report("husk-oci", &data, most).map_err(|error| error.to_string());
        assert_eq!(report(None).unwrap(), "husk-oci: 0.00 MB, static");
        assert!(report(Some(data.len() + 1)).is_ok());
        assert_eq!(
            report(Some(data.len())).unwrap_err(),
            "136 bytes are too many: fewer than 136 are allowed"
        );
    }
}
