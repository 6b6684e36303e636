// SPDX-License-Identifier: Apache-2.0
//! `clone3`: what its child may do, and what the debug build does about what it may not.
#![forbid(unsafe_code)]

use std::alloc::System;
use std::hint::black_box;
use std::io::{Read, Write};

use husk_sys::{AllocationGuard, Clone, Cloned, clone3, close_all_except, close_in_child, exit};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use rustix::thread::UnshareFlags;

#[global_allocator]
static ALLOCATOR: AllocationGuard<System> = AllocationGuard(System);

fn spawn(child: impl FnOnce() -> std::convert::Infallible) -> Cloned {
    let args =
        Clone { namespaces: UnshareFlags::empty(), cgroup: None, exit_signal: Signal::CHILD.as_raw() as u32 };
    clone3(&args, child).expect("clone3")
}

fn status(cloned: &Cloned) -> Option<i32> {
    let status = waitid(WaitId::PidFd(cloned.pidfd.as_fd()), WaitIdOptions::EXITED).expect("waitid");
    status.and_then(|status| status.exit_status())
}

#[test]
fn the_child_runs_with_a_copy_of_memory_and_its_status_comes_back() {
    let number = 40;
    assert_eq!(status(&spawn(|| exit(number + 2))), Some(42));
}

#[test]
fn a_child_that_allocates_is_ended_and_one_that_does_not_is_not() {
    let allocating = spawn(|| {
        black_box(Box::new(black_box(7)));
        exit(0)
    });
    assert_eq!(status(&allocating), Some(134));
    assert_eq!(status(&spawn(|| exit(0))), Some(0));
    drop(black_box(Box::new(7))); // the parent may go on allocating
}

#[test]
fn a_child_can_close_all_but_what_it_keeps_and_a_parent_cannot() {
    let (mut kept, kept_writer) = std::io::pipe().expect("pipe");
    let (mut closed, closed_writer) = std::io::pipe().expect("pipe");
    let child = spawn(|| {
        let only = close_all_except(0, [kept_writer.as_fd()]).is_ok();
        let written = rustix::io::write(&kept_writer, b"kept").is_ok();
        let gone = rustix::io::write(&closed_writer, b"closed") == Err(Errno::BADF);
        exit(i32::from(only && written && gone))
    });
    assert_eq!(status(&child), Some(1));
    assert_eq!(close_all_except(0, [kept_writer.as_fd()]), Err(Errno::PERM));
    assert_eq!(close_in_child(kept_writer.as_fd()), Err(Errno::PERM));
    (&kept_writer).write_all(b" still open").expect("write");
    drop((kept_writer, closed_writer));
    let mut text = String::new();
    kept.read_to_string(&mut text).expect("read");
    closed.read_to_string(&mut text).expect("read");
    assert_eq!(text, "kept still open");
}
