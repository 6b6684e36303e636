// SPDX-License-Identifier: Apache-2.0
//! What is quoted is what bash reads: asked of bash itself.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::{Command, Stdio};

use husk_plan::shell::quote;
use proptest::prelude::*;

/// What bash, in this locale, makes of `words` as arguments, one script for all of them.
fn read_by_bash(words: &[Vec<u8>], locale: &str) -> Vec<Vec<u8>> {
    let script: String = words.iter().map(|word| format!("printf '%s\\0' {}\n", quote(word))).collect();
    let mut bash = Command::new("bash")
        .args(["--norc", "-s"])
        .env("LC_ALL", locale)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash");
    let mut stdin = bash.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = bash.wait_with_output().expect("the end of bash");
    writer.join().expect("no panic").expect("bash reads");
    let mut read: Vec<Vec<u8>> = output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    assert_eq!(read.pop(), Some(Vec::new()), "every word ends in a NUL");
    read
}

fn check(words: &[Vec<u8>]) {
    for locale in ["C", "C.UTF-8"] {
        assert_eq!(read_by_bash(words, locale), words, "{locale}");
    }
}

/// One word of arbitrary bytes, one of what means most to bash.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(1..=u8::MAX, 0..40);
    let nasty = prop::sample::select(&b"'\"\\$`!#&|;<>(){}[]*?~=-\n\t\r x0\xff\xc3\xa9\x01"[..]);
    prop_oneof![bytes, prop::collection::vec(nasty, 0..20)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn bash_reads_back_what_was_quoted(words in prop::collection::vec(word(), 1..200)) {
        check(&words);
    }
}

#[test]
fn bash_reads_back_every_byte_alone_and_beside_a_digit() {
    let bytes = (1..=u8::MAX).flat_map(|byte| [vec![byte], vec![byte, b'0'], vec![b'\'', byte]]);
    check(&bytes.collect::<Vec<_>>());
}
