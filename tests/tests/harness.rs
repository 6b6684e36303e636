// SPDX-License-Identifier: Apache-2.0
//! The harness itself: it has to fail where a test relies on it to.
#![forbid(unsafe_code)]

use std::fs;
use std::time::Duration;

use husk_tests::{Command, Outside, Place};

/// What is waited for where nothing is to come.
const SOON: Duration = Duration::from_millis(100);

#[test]
#[should_panic(expected = "expected exit status 0")]
fn a_status_that_is_not_0_fails() {
    Command::new("sh").args(["-c", "exit 3"]).run().exits(3).succeeds();
}

#[test]
#[should_panic(expected = "did not end in time")]
fn what_takes_too_long_is_ended() {
    Command::new("sleep").arg("60").timeout(Duration::from_millis(200)).run();
}

#[test]
#[should_panic(expected = "left something behind that holds its output open")]
fn what_is_left_behind_is_noticed_by_its_output() {
    Command::new("sh").args(["-c", "sleep 20 & exit 0"]).timeout(Duration::from_secs(3)).run();
}

#[test]
#[should_panic(expected = "the host's processes")]
fn a_process_that_is_left_behind_is_noticed() {
    let place = Place::new();
    let before = Outside::look(&place);
    let mut running = Command::new("sh").args(["-c", "echo up; read end"]).env("PLACE", place.path()).start();
    running.wait_for("up");
    before.is_unchanged_within(SOON, &place);
}

#[test]
#[should_panic(expected = "the host's processes")]
fn a_process_in_a_root_of_the_test_is_noticed() {
    let place = Place::new();
    let caller = place.callers().pop().expect("somebody");
    let root = caller.root("root");
    let before = Outside::look(&place);
    let mut running = caller.shell(&[], &root, "echo up; read end").start();
    running.wait_for("up");
    before.is_unchanged_within(SOON, &place);
}

#[test]
#[should_panic(expected = "files beside the container's")]
fn a_file_that_is_left_behind_is_noticed() {
    let place = Place::new();
    let before = Outside::look(&place);
    fs::write(place.path().join("left"), "").expect("a file");
    before.is_unchanged_within(SOON, &place);
}

#[test]
fn what_is_unchanged_passes_and_the_place_goes() {
    let place = Place::new();
    let before = Outside::look(&place);
    let output = Command::new("sh").args(["-c", "cat; echo err >&2; exit 4"]).input("in\n").run();
    output.exits(4).prints("in\n").says("err");
    before.is_unchanged(&place);
    let path = place.path().to_owned();
    drop(place);
    assert!(!path.exists());
}
