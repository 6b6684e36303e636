// SPDX-License-Identifier: Apache-2.0
//! An ordinary user: what works with nothing prepared, and what with subordinate ids.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use husk_tests::{Outside, Place, skip};

/// The maps inside, without the kernel's padding.
const MAPS: &str = "for map in uid_map gid_map; do while read inside outside count; do echo $inside $outside $count; \
                    done < /proc/self/$map; done; cat /proc/self/setgroups";

#[test]
fn with_nothing_prepared_the_caller_is_root_inside() {
    let place = Place::new();
    let caller = place.ordinary();
    if caller.has_many_ids() {
        skip!("with_nothing_prepared_the_caller_is_root_inside", "this user has subordinate ids");
    }
    let root = caller.root("root");
    let before = Outside::look(&place);
    let (uid, gid) = (caller.uid(), caller.gid());
    let maps = format!("0 {uid} 1\n0 {gid} 1\ndeny\n");
    let output = caller.run(&[], &root, MAPS);
    output.succeeds().prints(&maps).says("note: ").says("only your own ids are mapped");
    assert!(caller.run(&["-q"], &root, "true").succeeds().stderr.is_empty(), "--quiet");
    caller.run(&["--userns=single"], &root, MAPS).succeeds().prints(&maps);
    for user in ["1000", "nobody", "0:5"] {
        let output = caller.run(&["-u", user], &root, "true");
        output.exits(125).says("is not mapped").says("subuid");
    }
    caller.run(&["-u", "root"], &root, "id -u").succeeds().prints("0\n");
    fs::write(root.join("etc/group"), "root:x:0:\nadm:x:4:root\n").expect("groups");
    caller.run(&["-u", "root"], &root, "id -u").succeeds().prints("0\n");
    before.is_unchanged(&place);
}

#[test]
fn with_subordinate_ids_all_of_them_are_mapped() {
    let place = Place::new();
    let caller = match place.with_subordinate_ids() {
        Ok(caller) => caller,
        Err(reason) => skip!("with_subordinate_ids_all_of_them_are_mapped", "{reason}"),
    };
    let root = caller.root("root");
    let before = Outside::look(&place);
    let (uid, gid) = (caller.uid(), caller.gid());
    let [uids, gids] = caller.ranges().expect("this caller has them");
    let maps = format!("0 {uid} 1\n1 {} {}\n0 {gid} 1\n1 {} {}\nallow\n", uids.0, uids.1, gids.0, gids.1);
    let output = caller.run(&[], &root, MAPS);
    output.succeeds().prints(&maps);
    assert!(output.stderr.is_empty(), "nothing is missing: {output}");
    let own = format!("0 {uid} 1\n0 {gid} 1\ndeny\n");
    caller.run(&["--userns=single"], &root, MAPS).succeeds().prints(&own);

    let script = "id -u; id -g; grep -E 'Groups|CapEff' /proc/self/status; touch /tmp/x; stat -c %u /tmp/x";
    let expected = "1000\n1000\nGroups:\t \nCapEff:\t0000000000000000\n1000\n";
    assert_eq!(caller.inside(&["-u", "1000:1000"], &root, script), expected);
    caller.inside(&[], &root, "touch /given /own && chown 1000:100 /given");
    let owner =
        |name: &str| fs::metadata(root.join(name)).map(|data| (data.uid(), data.gid())).expect("a file");
    assert_eq!(owner("own"), (uid, gid), "root inside is the user outside");
    assert_eq!(owner("given"), (uids.0 + 999, gids.0 + 99), "the others are of the range");
    assert_eq!(caller.inside(&["-u", "nobody"], &root, "id -u"), "65534\n");
    caller.run(&["-u", "70000"], &root, "true").exits(125).says("is not mapped");
    caller.inside(
        &["--ephemeral"],
        &root,
        "chown 1000 /etc/passwd; rmdir /home; mkdir /home; chown 5:6 /home",
    );
    before.is_unchanged(&place);
}
