// SPDX-License-Identifier: Apache-2.0
//! Tells the linker where the program begins: at `husk_sys::entry!`, before libc's start.
#![forbid(unsafe_code)]

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--entry=husk_entry");
    println!("cargo::rerun-if-changed=build.rs");
}
