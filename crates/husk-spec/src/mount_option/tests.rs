// SPDX-License-Identifier: Apache-2.0
use super::*;

fn parse(words: &str) -> MountOptions {
    let mut options = MountOptions::default();
    words.split(',').for_each(|word| options.apply(word).expect(word));
    options
}

#[test]
fn later_words_win() {
    assert_eq!(parse("ro,rw").flags.set, Attr::empty());
    assert_eq!(parse("rw,ro,nosuid").flags.words(), ["ro", "nosuid"]);
    assert_eq!(parse("noatime,strictatime").flags.words(), ["strictatime"]);
    assert_eq!(parse("rbind,bind").recursive, Some(false));
    assert_eq!(
        parse("sync,lazytime,async").superblock_parameters().collect::<Vec<_>>(),
        ["lazytime", "async"]
    );
}

#[test]
fn an_access_time_clears_the_others() {
    assert_eq!(parse("noatime").flags.clear, Attr::MOUNT_ATTR__ATIME);
    assert_eq!(parse("rnoatime").recursive_flags.clear, Attr::MOUNT_ATTR__ATIME);
}

#[test]
fn an_access_time_taken_back_leaves_another() {
    assert_eq!(parse("noatime,nostrictatime").flags.words(), ["noatime"]);
    assert_eq!(parse("strictatime,atime").flags.words(), ["strictatime"]);
    assert_eq!(parse("noatime,atime").flags, parse("relatime").flags);
    assert_eq!(parse("rstrictatime,rnostrictatime").recursive_flags, parse("rrelatime").recursive_flags);
}

#[test]
fn the_kernel_would_take_every_access_time() {
    for word in MountOptions::names() {
        let options = parse(word);
        for flags in [options.flags, options.recursive_flags] {
            let cleared = flags.clear & Attr::MOUNT_ATTR__ATIME;
            assert!(cleared.is_empty() || cleared == Attr::MOUNT_ATTR__ATIME, "{word}");
            assert!(!flags.set.intersects(Attr::MOUNT_ATTR__ATIME) || !cleared.is_empty(), "{word}");
        }
    }
}

#[test]
fn the_words_for_mount_set_and_clear_the_same() {
    for words in ["ro,nosuid", "rw,suid,exec,nodev", "noatime,dev", "relatime", "ro"] {
        let flags = parse(words).flags;
        assert_eq!(parse(&flags.options().join(",")).flags, flags, "{words}");
    }
    assert_eq!(MountFlags::NONE.options(), Vec::<&str>::new());
}

#[test]
fn a_recursive_word_is_the_other_for_all_mounts() {
    for word in MountOptions::names() {
        let twin = parse(word);
        if let Ok(()) = MountOptions::default().apply(&format!("r{word}")) {
            let recursive = parse(&format!("r{word}"));
            assert_eq!(recursive.recursive_flags, twin.flags, "r{word}");
            assert_eq!(recursive.flags, MountFlags::NONE, "r{word}");
        }
    }
    assert_eq!(parse("rro,rrw,rnoexec").recursive_flags.words(), ["noexec"]);
}

#[test]
fn propagation_keeps_its_order() {
    let both = parse("rslave,shared").propagation;
    assert_eq!(both, [(Propagation::Slave, true), (Propagation::Shared, false)]);
}

#[test]
fn idmap_remount_and_copy() {
    assert_eq!(parse("idmap").idmap, Some(Idmap::Mount));
    assert_eq!(parse("ridmap").idmap, Some(Idmap::Recursive));
    assert!(parse("remount").remount && parse("tmpcopyup").tmpcopyup);
}

#[test]
fn plain_is_what_every_caller_can_carry_out() {
    assert!(parse("rbind,ro,idmap,noatime").is_plain());
    for word in ["rro", "ratime", "sync", "silent", "shared", "ridmap", "remount", "tmpcopyup"] {
        assert!(!parse(word).is_plain(), "{word}");
    }
}

/// The words that the specification's table has as MUST, SHOULD and MAY.
#[test]
fn every_word_of_the_specification_is_known() {
    let words = "async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime nodev \
         nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private \
         ratime rbind rdev rdiratime relatime remount rexec ridmap rnoatime rnodev rnodiratime rnoexec \
         rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave \
         rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync \
         tmpcopyup unbindable";
    assert_eq!(MountOptions::names(), words.split_ascii_whitespace().collect::<Vec<_>>());
}

#[test]
fn unknown_words_are_named() {
    assert_eq!(MountOptions::default().apply("sometimes"), Err(UnknownMountOption("sometimes".into())));
    assert!(MountOptions::default().apply("acl").is_err(), "an option of the file system");
}

#[test]
fn words_that_are_typed_are_none_of_the_specification() {
    for (word, _) in TYPED {
        assert!(MountOptions::default().apply(word).is_err(), "{word}");
        assert!(MountOptions::default().apply_typed(word).is_ok(), "{word}");
    }
    assert!(MountOptions::default().apply_typed("ro").is_ok());
}
