// SPDX-License-Identifier: Apache-2.0
//! `bpf(2)`, as far as device programs of cgroups need it.

use core::mem::size_of;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io;
use syscalls::{Sysno, syscall};

use crate::errno;

/// An instruction, in the byte order of the machine.
pub type BpfInstruction = [u8; 8];

/// Commands and constants of `linux/bpf.h`.
const PROG_LOAD: u32 = 5;
const PROG_ATTACH: u32 = 8;
const PROG_DETACH: u32 = 9;
const PROG_GET_FD_BY_ID: u32 = 13;
const OBJ_GET_INFO_BY_FD: u32 = 15;
const PROG_QUERY: u32 = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 1 << 1;
const F_REPLACE: u32 = 1 << 2;

/// How long a program's name may be, with its final zero.
const NAME_LENGTH: usize = 16;

/// The start of `union bpf_attr` for `BPF_PROG_LOAD`. The kernel takes the rest for zero.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; NAME_LENGTH],
}

/// The same for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct Attach {
    target_fd: i32,
    attach_bpf_fd: i32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: i32,
}

/// The same for `BPF_PROG_QUERY`.
#[repr(C)]
struct Query {
    target_fd: i32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
    /// `prog_attach_flags`, `link_ids`, `link_attach_flags` and `revision`, the last of which newer kernels write.
    tail: [u64; 4],
}

/// The same for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The same for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoByFd {
    bpf_fd: i32,
    info_len: u32,
    info: u64,
}

/// The start of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    head: [u64; 8],
    name: [u8; NAME_LENGTH],
}

/// One command. `attr` must be what the kernel expects for `command`, and what it points to must be live.
///
/// # Safety
/// The kernel reads and writes where `attr` points to, as `command` has it.
unsafe fn bpf<T>(command: u32, attr: &mut T) -> io::Result<usize> {
    // SAFETY: `attr` is live and its size is given; the caller answers for the pointers in it.
    unsafe { syscall!(Sysno::bpf, command, &raw mut *attr, size_of::<T>()) }.map_err(errno)
}

/// Takes the descriptor that a command returned.
fn owned(fd: usize) -> OwnedFd {
    // SAFETY: the kernel has just made the descriptor, for the caller alone.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Loads a program that decides about access to devices (`BPF_PROG_TYPE_CGROUP_DEVICE`, Linux 4.15). `name` is cut to 15
/// bytes, and may have letters, digits, `_` and `.`. What the kernel's verifier says goes into `log`, ended by a zero, if
/// there is room for at least 128 bytes.
///
/// # Errors
/// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`, or `CAP_SYS_ADMIN`, in the first user namespace; `EINVAL`, `EACCES` for a
/// program that the verifier refuses; `ENOSPC` if `log` is too small.
pub fn load_device_program(program: &[BpfInstruction], name: &[u8], log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut prog_name = [0; NAME_LENGTH];
    for (to, from) in prog_name.iter_mut().take(NAME_LENGTH - 1).zip(name) {
        *to = *from;
    }
    let has_log = log.len() >= 128;
    let mut attr = Load {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: has_log.into(),
        log_size: if has_log { log.len() as u32 } else { 0 },
        log_buf: if has_log { log.as_mut_ptr() as u64 } else { 0 },
        kern_version: 0,
        prog_flags: 0,
        prog_name,
    };
    // SAFETY: instructions, licence and log are live across the call and as long as the attribute says.
    let fd = unsafe { bpf(PROG_LOAD, &mut attr) }?;
    Ok(owned(fd))
}

/// Attaches a program to a cgroup, beside those of others, or in place of `replaced`, in one step (Linux 5.6).
///
/// # Errors
/// Those of `bpf(2)`: `EPERM`; `ENOENT` if `replaced` is not attached.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: cgroup.as_raw_fd(),
        attach_bpf_fd: program.as_raw_fd(),
        attach_type: CGROUP_DEVICE,
        attach_flags: if replaced.is_some() { F_ALLOW_MULTI | F_REPLACE } else { F_ALLOW_MULTI },
        replace_bpf_fd: replaced.map_or(0, |fd| fd.as_raw_fd()),
    };
    // SAFETY: the attribute holds numbers only.
    unsafe { bpf(PROG_ATTACH, &mut attr) }?;
    Ok(())
}

/// Takes a program from a cgroup.
///
/// # Errors
/// Those of `bpf(2)`: `EPERM`; `ENOENT` if it is not attached.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: cgroup.as_raw_fd(),
        attach_bpf_fd: program.as_raw_fd(),
        attach_type: CGROUP_DEVICE,
        attach_flags: 0,
        replace_bpf_fd: 0,
    };
    // SAFETY: the attribute holds numbers only.
    unsafe { bpf(PROG_DETACH, &mut attr) }?;
    Ok(())
}

/// The ids of the device programs that are attached to a cgroup itself, written into `ids`. Returns how many.
///
/// # Errors
/// Those of `bpf(2)`: `EPERM`; `ENOSPC` if there are more than fit.
pub fn attached_device_programs(cgroup: BorrowedFd<'_>, ids: &mut [u32]) -> io::Result<usize> {
    let mut attr = Query {
        target_fd: cgroup.as_raw_fd(),
        attach_type: CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        padding: 0,
        tail: [0; 4],
    };
    // SAFETY: the kernel writes at most `prog_cnt` numbers into `ids`, which is live across the call.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    Ok((attr.prog_cnt as usize).min(ids.len()))
}

/// Opens a loaded program.
///
/// # Errors
/// Those of `bpf(2)`: `ENOENT` if it is gone; `EPERM` without `CAP_SYS_ADMIN`.
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = ById { id, next_id: 0, open_flags: 0 };
    // SAFETY: the attribute holds numbers only.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &mut attr) }?;
    Ok(owned(fd))
}

/// The name that a program was loaded with, padded with zeros.
///
/// # Errors
/// Those of `bpf(2)`.
pub fn program_name(program: BorrowedFd<'_>) -> io::Result<[u8; NAME_LENGTH]> {
    let mut info = ProgInfo::default();
    let mut attr = InfoByFd {
        bpf_fd: program.as_raw_fd(),
        info_len: size_of::<ProgInfo>() as u32,
        info: &raw mut info as u64,
    };
    // SAFETY: the kernel writes at most `info_len` bytes into `info`, which is live across the call; zeros in it ask for no
    // further buffers to be filled.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info.name)
}
