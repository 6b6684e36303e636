// SPDX-License-Identifier: Apache-2.0
//! How long the profiles of engines take to compile, and how long the programs are: `cargo bench -p husk-seccomp`.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use husk_seccomp::compile;
use husk_spec::oci::{Arch, Seccomp};

const RUNS: usize = 2000;

fn main() {
    let profiles = [
        ("Docker", include_str!("../tests/profiles/docker.json")),
        ("Podman", include_str!("../tests/profiles/podman.json")),
    ];
    for (name, text) in profiles {
        let profile: Seccomp = serde_json::from_str(text).expect("a profile");
        let filter = compile(&profile, Arch::X86_64).expect("a filter");
        let mut times: Vec<_> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                black_box(compile(black_box(&profile), Arch::X86_64)).expect("a filter");
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        let length = filter.instructions.len();
        let line =
            format!("{name}: {length} instructions, least {:?}, median {:?}\n", times[0], times[RUNS / 2]);
        std::io::stdout().write_all(line.as_bytes()).expect("stdout is open");
    }
}
