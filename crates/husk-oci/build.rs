// SPDX-License-Identifier: Apache-2.0
//! Tells the linker where the program begins: at `husk_sys::entry!`, before libc's start. And, for a release, what to leave out.
#![forbid(unsafe_code)]

use std::env::var;

const SCRIPT: &str = "without-unwinding.ld";

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--entry=husk_entry");
    // While it is developed a panic shows how it came about.
    if var("PROFILE").as_deref() == Ok("release") {
        let directory = var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        println!("cargo::rustc-link-arg-bins=-Wl,--script={directory}/{SCRIPT}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SCRIPT}");
}
