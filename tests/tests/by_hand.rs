// SPDX-License-Identifier: Apache-2.0
//! The two containers that people build by hand.
#![forbid(unsafe_code)]

use husk_tests::{Outside, Place};

#[test]
fn container_one() {
    let place = Place::new();
    for caller in place.callers() {
        let minimal = caller.new_root("minimal", &["--minimal"]);
        let usual = caller.root("usual");
        let before = Outside::look(&place);
        for root in [&minimal, &usual] {
            assert_eq!(caller.inside(&[], root, "echo $$"), "1\n", "{caller}");
            let _ = root;
        }
        before.is_unchanged(&place);
    }
}
