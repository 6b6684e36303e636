// SPDX-License-Identifier: Apache-2.0
//! Many containers at once.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use husk_tests::{Outside, Place, Running, is_root, skip};

const MANY: usize = 16;

#[test]
fn sixteen_at_once_have_ids_of_their_own() {
    if !is_root() {
        skip!("sixteen_at_once_have_ids_of_their_own", "an ordinary user's containers share the user's ids");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("root");
    let before = Outside::look(&place);
    let script =
        "read inside outside count < /proc/self/uid_map; echo $inside $outside $count up; read end; exit 0";
    let mut running: Vec<_> = (0..MANY).map(|_| caller.shell(&[], &root, script).start()).collect();
    running.iter_mut().for_each(|container| container.wait_for("up"));
    let mut firsts = BTreeSet::new();
    for output in end(running) {
        let words: Vec<_> = output.split_whitespace().collect();
        assert_eq!((words[0], words[2]), ("0", "65536"), "{output}");
        firsts.insert(words[1].parse::<u32>().expect("an id"));
    }
    assert_eq!(firsts.len(), MANY, "each its own: {firsts:?}");
    let apart = firsts.iter().zip(firsts.iter().skip(1)).all(|(one, next)| next - one >= 65536);
    assert!(apart, "they do not overlap: {firsts:?}");
    before.is_unchanged(&place);
}

#[test]
fn many_of_everybody_start_and_end_at_once() {
    let place = Place::new();
    for caller in place.callers() {
        // The default root too, which the first of them builds.
        let before = Outside::look(&place);
        let start = |number: usize| {
            let words = ["run", "-q", "--", "/bin/sh", "-c", "echo $$; echo $0 > /own; cat /own"];
            caller.husk(words).arg(number.to_string()).start()
        };
        let running: Vec<_> = (0..MANY).map(start).collect();
        for (number, output) in end(running).iter().enumerate() {
            assert_eq!(*output, format!("1\n{number}\n"), "{caller}");
        }
        before.is_unchanged(&place);
    }
}

/// Ends all of them and returns what they have printed.
fn end(running: Vec<Running>) -> Vec<String> {
    running.into_iter().map(|container| container.finish().succeeds().stdout.clone()).collect()
}
