// SPDX-License-Identifier: Apache-2.0
//! `husk see --html`, as a browser shows it: what is drawn, in both colour schemes, on a small screen.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use husk_tests::{Browser, Caller, Place, Running, classic_pair, descendant, skip};
use serde_json::{Value, json};

/// What looks at a page: functions in JavaScript.
const LOOK: &str = include_str!("page/look.js");

/// What text needs to be read by people with weak eyes: level AA of WCAG 2.2, 1.4.3.
const CONTRAST: f64 = 4.5;

/// A small telephone, in pixels.
const NARROW: u32 = 360;

/// A word without a place to break it.
const LONG: &str =
    "a_word_of_nearly_a_hundred_letters_with_no_place_to_break_it_and_wider_than_any_telephone_is";

fn look(browser: &mut Browser, call: &str) -> Value {
    browser.evaluate(&format!("{}.{call}", LOOK.trim_end()))
}

/// The page that husk draws for a caller.
fn drawn(caller: &Caller<'_>) -> PathBuf {
    let page = caller.home().join("page.html");
    caller.husk(["see", "--html"]).arg(&page).run().succeeds();
    page
}

/// A container of two, the second in the first, with a command line that has no end.
fn nested(caller: &Caller<'_>) -> (Running, u32, u32) {
    let user: &[&str] = if caller.is_root() { &[] } else { &["--user", "--map-root-user"] };
    let inner = format!("unshare --uts --net sh -c 'read inner; true' {LONG}; true");
    let outer = ["--pid", "--mount", "--fork", "--mount-proc", "sh", "-c", &inner];
    let running = caller.command("unshare").args(user).args(outer).start();
    let inner = descendant(running.pid(), "sh -c read inner");
    let outer = descendant(running.pid(), "sh -c unshare");
    (running, outer, inner)
}

fn list<'v>(of: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    of[key].as_array().expect("a list").iter()
}

/// The processes of a box, not of those in it: their root, their id inside and on the host.
fn processes(of: &Value) -> Vec<[&str; 3]> {
    let of_root = |root| {
        list(root, "processes").map(move |process| [&root["root"], &process["inside"], &process["host"]])
    };
    list(of, "roots")
        .flat_map(of_root)
        .map(|texts| texts.map(|text| text.as_str().expect("a text")))
        .collect()
}

/// The one box that draws a process of the host, and the box around it.
fn box_of(drawing: &Value, pid: u32) -> (&Value, &Value) {
    let found = boxes_of(drawing, &format!("host {pid}"));
    assert_eq!(found.len(), 1, "process {pid}: {drawing:#}");
    found[0]
}

fn boxes_of<'v>(around: &'v Value, host: &str) -> Vec<(&'v Value, &'v Value)> {
    let of = |inner| {
        let is_in_it = processes(inner).iter().any(|[_, _, its]| *its == host);
        is_in_it.then_some((inner, around)).into_iter().chain(boxes_of(inner, host))
    };
    list(around, "boxes").flat_map(of).collect()
}

#[test]
fn the_drawing_has_each_process_in_its_box() {
    if !Browser::is_possible() {
        skip!("the_drawing_has_each_process_in_its_box", "chromium is not installed");
    }
    let place = Place::new();
    let mut browser = Browser::new();
    for caller in place.callers() {
        let root = caller.root("mycontainer");
        let (unshare, bash, shell) = classic_pair(&caller, &root);
        let (_nested, outer, inner) = nested(&caller);
        browser.open(&drawn(&caller));
        let boxes = json!({"boxes": look(&mut browser, "boxes()")});

        let (pair, around) = box_of(&boxes, bash);
        assert_eq!(around["roots"], Value::Null, "{caller}: the pair is in no other container");
        let its_root = format!("/ is {} (chroot)", root.display());
        let expected =
            [["/ is the host's", "1", &format!("host {bash}")], [&its_root, "9", &format!("host {shell}")]];
        assert_eq!(processes(pair), expected, "{caller}");
        let own: &[&str] = if caller.is_root() { &[] } else { &["user"] };
        assert_eq!(texts(pair, "own"), [own, &["mnt", "pid", "uts", "ipc"]].concat(), "{caller}");
        assert_eq!(texts(pair, "outside"), [format!("host {}", unshare.pid())], "{caller}: unshare waits");

        let (box_inside, around) = box_of(&boxes, inner);
        assert_eq!(texts(box_inside, "own"), ["uts", "net"], "{caller}");
        assert!(
            texts(box_inside, "shared").contains(&format!("pid of {outer}").as_str()),
            "{caller}: {box_inside:#}"
        );
        let expected = [["/ is the host's", "1", &format!("host {outer}")]];
        assert_eq!(processes(around), expected, "{caller}: the one around it");
    }
}

fn texts<'v>(of: &'v Value, key: &str) -> Vec<&'v str> {
    list(of, key).map(|text| text.as_str().expect("a text")).collect()
}

#[test]
fn the_page_loads_nothing_and_has_no_error() {
    if !Browser::is_possible() {
        skip!("the_page_loads_nothing_and_has_no_error", "chromium is not installed");
    }
    let place = Place::new();
    let mut browser = Browser::new();
    for caller in place.callers() {
        let _nested = nested(&caller);
        let page = drawn(&caller);
        browser.open(&page);
        assert_eq!(browser.requests(), [format!("file://{}", page.display())], "{caller}");
        assert_eq!(browser.console(), [""; 0], "{caller}");
    }
}

#[test]
fn the_page_can_be_read_in_light_and_dark() {
    if !Browser::is_possible() {
        skip!("the_page_can_be_read_in_light_and_dark", "chromium is not installed");
    }
    let place = Place::new();
    let mut browser = Browser::new();
    for caller in place.callers() {
        let root = caller.root("mycontainer");
        let _containers = (classic_pair(&caller, &root), nested(&caller));
        browser.open(&drawn(&caller));
        look(&mut browser, "addEveryKind()");
        let papers = ["light", "dark"].map(|scheme| {
            browser.set_colour_scheme(scheme);
            let pale = pale(&mut browser);
            assert!(pale.is_empty(), "{caller}, {scheme}: {pale:#?}");
            browser.evaluate("getComputedStyle(document.body).backgroundColor")
        });
        assert_ne!(papers[0], papers[1], "{caller}: dark is not light");
    }
}

/// Texts that are too pale to be read.
fn pale(browser: &mut Browser) -> Vec<Value> {
    let contrasts = look(browser, "contrasts()");
    let contrasts = contrasts.as_array().expect("a list");
    assert!(!contrasts.is_empty(), "a page without text");
    contrasts.iter().filter(|text| text["ratio"].as_f64().expect("a number") < CONTRAST).cloned().collect()
}

#[test]
fn nothing_is_wider_than_a_telephone() {
    if !Browser::is_possible() {
        skip!("nothing_is_wider_than_a_telephone", "chromium is not installed");
    }
    let place = Place::new();
    let mut browser = Browser::new();
    browser.set_telephone(NARROW);
    for caller in place.callers() {
        let root = caller.root(LONG);
        let _containers = (classic_pair(&caller, &root), nested(&caller));
        let named = caller.shell(&["-q", "--name", &LONG[..60]], &root, "echo up; read end").start();
        browser.open(&drawn(&caller));
        assert_eq!(browser.evaluate("document.documentElement.clientWidth"), NARROW);
        assert_eq!(look(&mut browser, "overflowing()"), json!([]), "{caller}");
        drop(named);
    }
}

/// What the tests above look for is found where it is.
#[test]
fn a_bad_page_is_found_to_be_bad() {
    if !Browser::is_possible() {
        skip!("a_bad_page_is_found_to_be_bad", "chromium is not installed");
    }
    let place = Place::new();
    let page = place.path().join("bad.html");
    let text = "<!DOCTYPE html><title>bad</title><meta name='viewport' content='width=device-width'><body style='background: #fff'>\
        <p style='color: #777'>4.48</p><p style='color: #767676'>4.54</p>\
        <p style='color: #333; opacity: .5'>faded</p><p style='width: 400px'>wide</p>\
        <p style='width: 100px; overflow: hidden'>awordthatiscutoffinitsmiddle</p>\
        <img src='http://127.0.0.1:9/picture.png'>";
    fs::write(&page, text).expect("a page can be written");
    let mut browser = Browser::new();
    browser.set_telephone(NARROW);
    browser.open(&page);
    assert_eq!(browser.requests()[1..], ["http://127.0.0.1:9/picture.png"]);
    assert_eq!(browser.console().len(), 1, "{:?}", browser.console());
    let pale = pale(&mut browser);
    assert_eq!(pale.iter().map(|text| &text["text"]).collect::<Vec<_>>(), ["4.48", "faded"]);
    let wide = look(&mut browser, "overflowing()");
    assert_eq!(wide, json!(["the page", "p.: wide", "p.: awordthatiscutoffinitsmiddle"]));
}
