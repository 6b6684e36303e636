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
        println!(
            "{}",
            report(&program).map_err(|error| format!("{}: {error}", program.display()))?
        );
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
        if dynamic
            .iter()
            .any(|entry| entry.d_tag.get(endian) == DT_NEEDED)
        {
            return Ok(Some("it needs a shared library (DT_NEEDED)"));
        }
    }
    Ok(None)
}
