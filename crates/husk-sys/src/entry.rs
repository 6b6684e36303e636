// SPDX-License-Identifier: Apache-2.0
//! The very first instructions of a program that has to run from a read-only mount of its own file, before libc.
//!
//! A runtime that a container's root could overwrite (CVE-2019-5736) executes itself once more from a detached read-only mount.
//! What the first run does until then is done for nothing: libc alone asks the processor about itself for 0.3 to 0.45 ms in a
//! virtual machine, whose every such question (CPUID) is answered by the host. So the way there comes first, as the entry point of the
//! file, with nothing but system calls. It decides nothing: where it does not apply or something fails it does nothing, and whether
//! the program runs from a safe place is for the program to check.
//!
//! Nothing is set up yet here. No relocation is applied, so no address may be in memory (no table of strings, no panic that is
//! reached); libc's functions for memory are chosen by the processor later, so slices must not be compared or copied.

use core::ffi::{CStr, c_char, c_void};
use core::mem::{MaybeUninit, size_of};
use core::ptr::read_volatile;

use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, MOUNT_ATTR_RDONLY, O_CLOEXEC, O_PATH, O_RDONLY, OPEN_TREE_CLONE, mount_attr,
    statfs,
};
use syscalls::{Sysno, syscall};

/// The mount is read-only (`ST_RDONLY` of `statvfs(3)`).
const ST_RDONLY: u64 = 1;

/// `FS_IOC_GETFLAGS` and `FS_IMMUTABLE_FL` (`linux/fs.h`).
const GET_FLAGS: u64 = 0x8008_6601;
const IMMUTABLE: u64 = 0x10;

/// Makes the entry point of a program: [`move_to_read_only_mount`], then libc's own `_start`. The linker has to be told its name,
/// `husk_entry`.
#[macro_export]
macro_rules! entry {
    () => {
        /// Where the kernel begins. The stack is as it left it again when libc starts.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn husk_entry() -> ! {
            #[cfg(target_arch = "x86_64")]
            core::arch::naked_asm!(
                "xor ebp, ebp",
                "mov r12, rsp",
                "mov r13, rdx",
                "mov rdi, rsp",
                "and rsp, -16",
                "call {first}",
                "mov rsp, r12",
                "mov rdx, r13",
                "jmp _start",
                first = sym $crate::move_to_read_only_mount,
            );
            #[cfg(target_arch = "aarch64")]
            core::arch::naked_asm!(
                "mov x19, sp",
                "mov x20, x0",
                "mov x0, sp",
                "bl {first}",
                "mov sp, x19",
                "mov x0, x20",
                "b _start",
                first = sym $crate::move_to_read_only_mount,
            );
        }
    };
}

/// Executes this program again from a detached read-only mount of its file, if root starts it to get into a container: one of its arguments
/// is `create`, `run` or `exec`. Returns if that is not so or cannot be, and if it runs from such a place already.
///
/// # Safety
/// `stack` is what the kernel leaves a new program: the number of its arguments, their addresses, a null, the addresses of its
/// environment, a null (`elf_create_tables` in `fs/binfmt_elf.c`).
pub unsafe extern "C" fn move_to_read_only_mount(stack: *const usize) {
    // SAFETY: as the caller promises.
    let count = unsafe { *stack };
    let argv = stack.wrapping_add(1).cast::<*const c_char>();
    let envp = argv.wrapping_add(count + 1);
    // SAFETY: as the caller promises.
    if unsafe { enters_container(argv) } && is_root() {
        // SAFETY: as the caller promises.
        unsafe { execute_again(argv, envp) };
    }
}

/// # Safety
/// `argv` is a null-terminated array of C strings.
unsafe fn enters_container(mut argv: *const *const c_char) -> bool {
    loop {
        // SAFETY: the loop ends at the null.
        let argument = unsafe { *argv };
        if argument.is_null() {
            return false;
        }
        // SAFETY: both are C strings.
        let is = |word: &CStr| unsafe { same(argument, word.as_ptr()) };
        if is(c"create") || is(c"run") || is(c"exec") {
            return true;
        }
        argv = argv.wrapping_add(1);
    }
}

/// Byte by byte and volatile, so that no call of libc's comes of it.
///
/// # Safety
/// Both are C strings.
unsafe fn same(mut a: *const c_char, mut b: *const c_char) -> bool {
    loop {
        // SAFETY: it is not beyond its NUL: the loop ends at the first difference, or there.
        let x = unsafe { read_volatile(a) };
        // SAFETY: as above.
        let y = unsafe { read_volatile(b) };
        if x != y {
            return false;
        }
        if x == 0 {
            return true;
        }
        (a, b) = (a.wrapping_add(1), b.wrapping_add(1));
    }
}

/// By its real and its effective id: a program with a set-user-id bit goes on to the check that refuses it.
fn is_root() -> bool {
    // SAFETY: no arguments.
    let real = unsafe { syscall!(Sysno::getuid) };
    // SAFETY: no arguments.
    let effective = unsafe { syscall!(Sysno::geteuid) };
    matches!((real, effective), (Ok(0), Ok(0)))
}

/// # Safety
/// Both are null-terminated arrays of C strings.
unsafe fn execute_again(argv: *const *const c_char, envp: *const *const c_char) {
    let Some(file) = open_own(O_PATH) else { return };
    if !is_read_only(file) && !is_immutable() {
        let flags = OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH;
        // SAFETY: the path is a C string.
        if let Ok(mount) = unsafe { syscall!(Sysno::open_tree, file, c"".as_ptr(), flags) } {
            if make_read_only(mount) {
                // SAFETY: the path is a C string; for the arrays, the caller's promise. Returns only if it fails.
                let _ = unsafe { syscall!(Sysno::execveat, mount, c"".as_ptr(), argv, envp, AT_EMPTY_PATH) };
            }
            close(mount);
        }
    }
    close(file);
}

fn open_own(flags: u32) -> Option<usize> {
    let path = c"/proc/self/exe".as_ptr();
    // SAFETY: the path is a C string.
    unsafe { syscall!(Sysno::openat, AT_FDCWD, path, flags | O_CLOEXEC) }.ok()
}

fn is_read_only(file: usize) -> bool {
    // SAFETY: zeroes are a struct statfs.
    let mut found = unsafe { MaybeUninit::<statfs>::zeroed().assume_init() };
    // SAFETY: the kernel writes one struct statfs.
    let done = unsafe { syscall!(Sysno::fstatfs, file, &raw mut found) };
    done.is_ok() && found.f_flags as u64 & ST_RDONLY != 0
}

fn is_immutable() -> bool {
    let Some(file) = open_own(O_RDONLY) else { return false };
    let mut flags = 0u64;
    // SAFETY: the kernel writes an int, and has room for a long.
    let done = unsafe { syscall!(Sysno::ioctl, file, GET_FLAGS, &raw mut flags) };
    close(file);
    done.is_ok() && flags & IMMUTABLE != 0
}

fn make_read_only(mount: usize) -> bool {
    let change =
        mount_attr { attr_set: u64::from(MOUNT_ATTR_RDONLY), attr_clr: 0, propagation: 0, userns_fd: 0 };
    let (change, size) = ((&raw const change).cast::<c_void>(), size_of::<mount_attr>());
    // SAFETY: the path is a C string, and `change` a mount_attr of the size given.
    unsafe { syscall!(Sysno::mount_setattr, mount, c"".as_ptr(), AT_EMPTY_PATH, change, size) }.is_ok()
}

fn close(fd: usize) {
    // SAFETY: it was opened here, and has no other owner.
    let _ = unsafe { syscall!(Sysno::close, fd) };
}
