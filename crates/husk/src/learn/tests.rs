// SPDX-License-Identifier: Apache-2.0
//! The way through the lessons, with made-up sights.

use std::time::Duration;

use husk_see::{IdMap, IdRange, Kind, Mount, Namespaces};

use super::lesson::Lesson;
use super::progress::Progress;
use super::sight::{Busybox, Member, RootAt, Sight, Tree};
use super::walk::{Input, Say, Walk};
use super::workshop::Workshop;
use super::{changes, hints, words};

pub(super) fn namespaces(own: &[Kind], inode: u64) -> Namespaces {
    let mut all = Namespaces::default();
    for kind in Kind::ALL {
        all[kind] = Some(if own.contains(&kind) { inode } else { 1 });
    }
    all
}

pub(super) fn mount(point: &str, fs_type: &str, device: u32, propagation: &str) -> Mount {
    Mount {
        id: 1,
        parent: 1,
        device: (0, device),
        root: "/".into(),
        point: point.into(),
        options: "rw".into(),
        propagation: propagation.into(),
        fs_type: fs_type.into(),
        source: "none".into(),
        ..Mount::default()
    }
}

fn workshop() -> Workshop {
    Workshop {
        directory: "/home/ana".into(),
        is_root: true,
        through_sudo: false,
        busybox: Some("/usr/bin/busybox".into()),
        chroot: "chroot".into(),
        shell: "bash",
    }
}

/// A host that systemd has started, and nothing made by hand.
fn nothing() -> Sight {
    let mounts = vec![mount("/", "ext4", 1, "shared:1"), mount("/proc", "proc", 2, "shared:2")];
    let here = Member { pid: 100, namespaces: namespaces(&[], 1), mounts, ..Member::default() };
    Sight { here, host_name: "vm".into(), ..Sight::default() }
}

fn with_tree() -> Sight {
    let tree = Tree { is_there: true, busybox: Busybox::Sound(2 << 20), ..Tree::default() };
    Sight { tree, ..nothing() }
}

const CLASSIC: [Kind; 4] = [Kind::Pid, Kind::Uts, Kind::Ipc, Kind::Mnt];

fn bash() -> Member {
    let mounts = vec![mount("/", "ext4", 1, ""), mount("/proc", "proc", 3, "")];
    let namespaces = namespaces(&CLASSIC, 2);
    let childrens_pid = namespaces[Kind::Pid];
    Member {
        pid: 200,
        inside: 1,
        parent: 199,
        name: "bash".into(),
        namespaces,
        childrens_pid,
        root: RootAt::Host,
        mounts,
        ..Member::default()
    }
}

fn with_container() -> Sight {
    Sight { container: vec![bash()], ..with_tree() }
}

fn with_proc() -> Sight {
    let mut sight = with_container();
    sight.container[0].mounts.push(mount("/home/ana/mycontainer/proc", "proc", 3, ""));
    sight
}

fn with_chroot() -> Sight {
    let mut sight = with_proc();
    let shell = Member {
        pid: 209,
        inside: 9,
        parent: 200,
        name: "sh".into(),
        root: RootAt::Tree,
        is_chroot: true,
        mounts: vec![mount("/proc", "proc", 3, "")],
        ..bash()
    };
    sight.container.push(shell);
    sight
}

/// A person at husk's terminal, whose clock is a second further with each look.
struct Person {
    walk: Walk,
    seconds: u64,
}

impl Person {
    /// Somebody who has done all before this lesson.
    fn before(lesson: Lesson) -> Self {
        let mut progress = Progress::new("/home/ana".into());
        Lesson::ALL.into_iter().filter(|other| *other < lesson).for_each(|other| progress.note_done(other));
        Self::with(progress)
    }

    fn new() -> Self {
        Self::with(Progress::new("/home/ana".into()))
    }

    fn with(progress: Progress) -> Self {
        Self { walk: Walk::new(workshop(), progress), seconds: 0 }
    }

    fn types(&mut self, input: Input, sight: &Sight) -> Vec<Say> {
        self.seconds += 1;
        self.walk.advance(sight, input, Duration::from_secs(self.seconds))
    }

    fn sees(&mut self, sight: &Sight) -> Vec<Say> {
        self.types(Input::Nothing, sight)
    }

    /// What is said in so many seconds without a change.
    fn waits(&mut self, seconds: u32, sight: &Sight) -> Vec<Say> {
        (0..seconds).flat_map(|_| self.sees(sight)).collect()
    }
}

fn tasks(said: &[Say]) -> Vec<Lesson> {
    let lesson = |say: &Say| match say {
        Say::Task { lesson, .. } => Some(*lesson),
        _ => None,
    };
    said.iter().filter_map(lesson).collect()
}

fn hint(said: &[Say]) -> &str {
    match said {
        [Say::Hint(text)] => text,
        other => panic!("no hint: {other:?}"),
    }
}

#[test]
fn one_lesson_after_the_other() {
    let mut person = Person::new();
    assert_eq!(tasks(&person.sees(&nothing())), [Lesson::Tree]);
    assert_eq!(person.sees(&nothing()), []);
    let mut half = nothing();
    half.tree = Tree { is_there: true, lacks: vec!["proc"], ..Tree::default() };
    assert_eq!(person.sees(&half), [], "still typing");
    let said = person.sees(&Sight { tree: Tree { unnamed: vec!["sh"], ..with_tree().tree }, ..nothing() });
    assert!(
        matches!(&said[..], [Say::Done(_), Say::Already(Lesson::Busybox, _), Say::Task { .. }]),
        "{said:?}"
    );
    assert_eq!(tasks(&person.sees(&with_tree())), [Lesson::Unshare]);

    // What unshare does by itself is to be seen, not to be done.
    assert_eq!(tasks(&person.sees(&with_container())), [Lesson::Private]);
    assert!(person.walk.is_by_eye());
    assert_eq!(person.sees(&with_container()), []);
    assert_eq!(tasks(&person.types(Input::Enter, &with_container())), [Lesson::Proc]);
    assert_eq!(tasks(&person.sees(&with_proc())), [Lesson::Chroot]);
    assert_eq!(tasks(&person.sees(&with_chroot())), [Lesson::Numbers]);
}

#[test]
fn mounts_that_are_shared_are_a_lesson() {
    let mut person = Person::new();
    let mut sight = with_container();
    sight.container[0].mounts[0].propagation = "shared:1".into();
    assert_eq!(tasks(&person.sees(&sight)), [Lesson::Private]);
    // With others than the host they do no harm.
    sight.container[0].mounts[0].propagation = "shared:77 master:1".into();
    assert_eq!(tasks(&person.sees(&sight)), [Lesson::Proc]);
}

#[test]
fn only_the_person_knows_the_name_inside() {
    let mut person = Person::before(Lesson::Numbers);
    person.sees(&with_chroot());
    let mut sight = with_chroot();
    sight.container.push(Member { name: "sleep".into(), pid: 210, inside: 10, ..sight.container[1].clone() });
    assert_eq!(tasks(&person.sees(&sight)), [Lesson::HostName]);
    assert_eq!(person.sees(&sight), []);
    let renamed = Sight { host_name: "sag".into(), ..sight.clone() };
    assert!(hint(&person.types(Input::Enter, &renamed)).contains("`hostname vm`"), "it was the wrong shell");
    assert_eq!(tasks(&person.types(Input::Enter, &sight)), [Lesson::Escape]);
}

#[test]
fn the_escape_and_the_pivot() {
    let mut person = Person::before(Lesson::Escape);
    assert_eq!(tasks(&person.sees(&with_chroot())), [Lesson::Escape]);
    // Another shell beside the first has not come from inside.
    let mut sight = with_chroot();
    sight.container.push(Member { pid: 220, inside: 20, ..bash() });
    sight.container[2].parent = 200;
    assert_eq!(person.sees(&sight), []);
    sight.container[2].parent = 209;
    let said = person.sees(&sight);
    let Some(Say::Task { lesson: Lesson::Pivot, commands, .. }) = said.last() else { panic!("{said:?}") };
    assert_eq!(commands.iter().filter(|command| *command == "exit").count(), 2, "two shells to leave");

    let mut sight = with_proc();
    assert_eq!(person.sees(&sight), [], "having left them is no loss");
    let init = &mut sight.container[0];
    init.root = RootAt::Tree;
    init.mounts =
        vec![mount("/", "ext4", 1, ""), mount("/proc", "proc", 3, ""), mount("/old", "ext4", 1, "")];
    init.mounts[0].root = "/home/ana/mycontainer".into();
    assert_eq!(person.sees(&sight), [], "the old root is still there");
    assert!(hint(&person.types(Input::Hint, &sight)).contains("umount -l /old"));
    sight.container[0].mounts.pop();
    assert_eq!(tasks(&person.sees(&sight)), [Lesson::Network]);
}

#[test]
fn what_is_gone_is_made_again_and_what_was_shown_is_not() {
    let mut person = Person::before(Lesson::Ids);
    assert_eq!(tasks(&person.sees(&with_tree())), [Lesson::Unshare]);
    assert_eq!(tasks(&person.sees(&with_container())), [Lesson::Proc]);
    assert_eq!(
        tasks(&person.sees(&with_proc())),
        [Lesson::Pivot],
        "the pivot has taken the place of the chroot"
    );
    let mut sight = with_proc();
    sight.container[0].root = RootAt::Tree;
    sight.container[0].mounts = vec![mount("/proc", "proc", 3, "")];
    assert_eq!(tasks(&person.sees(&sight)), [Lesson::Ids]);

    assert_eq!(person.sees(&with_tree()), [], "between two commands it may be gone for a moment");
    let said = person.sees(&with_tree());
    assert!(matches!(&said[..], [Say::Lost(_), Say::Task { lesson: Lesson::Unshare, .. }]), "{said:?}");
}

#[test]
fn a_hint_comes_when_something_looks_wrong_for_a_while() {
    let mut person = Person::new();
    person.sees(&nothing());
    let mut half = nothing();
    half.tree = Tree { is_there: true, lacks: vec!["proc"], ..Tree::default() };
    assert_eq!(person.waits(5, &half), []);
    assert!(hint(&person.sees(&half)).contains("mkdir mycontainer/proc"));
    assert_eq!(person.waits(30, &half), [], "once is enough");
    assert!(hint(&person.types(Input::Enter, &half)).contains("mkdir mycontainer/proc"), "unless asked for");
    assert!(
        hint(&person.waits(200, &half)).contains("the other terminal"),
        "and after a long silence the usual"
    );
}

#[test]
fn what_others_build_on_cannot_be_skipped() {
    let mut person = Person::new();
    person.sees(&nothing());
    assert_eq!(hint(&person.types(Input::Skip, &nothing())), words::CANNOT_SKIP);
    let mut person = Person::before(Lesson::Numbers);
    let mut sight = with_chroot();
    assert_eq!(tasks(&person.sees(&sight)), [Lesson::Numbers]);
    for next in [Lesson::HostName, Lesson::Escape, Lesson::Pivot, Lesson::Network, Lesson::Ids] {
        assert_eq!(tasks(&person.types(Input::Skip, &sight)), [next]);
    }
    sight.tree.owner_of_mine = Some(0);
    person.sees(&sight);
    person.types(Input::Skip, &sight);
    assert_eq!(person.types(Input::Skip, &sight), [Say::End]);
    // A pivot that was passed over does not come back when the container has to be made again.
    assert_eq!(tasks(&Person::with(person.walk.progress().clone()).sees(&with_proc())), [Lesson::Chroot]);
}

#[test]
fn what_is_wrong_with_an_unshare() {
    let diagnose = |sight: &Sight| {
        hints::diagnose(Lesson::Unshare, sight, &workshop(), "vm", &[300]).unwrap_or_default()
    };
    assert_eq!(diagnose(&with_tree()), "");
    let stray = |childrens_pid| Member {
        namespaces: namespaces(&[Kind::Uts, Kind::Mnt], 2),
        childrens_pid: Some(childrens_pid),
        ..bash()
    };
    let with = |stray| Sight { stray: Some(stray), ..with_tree() };
    assert!(diagnose(&with(stray(1))).contains("(mnt and uts), but none for process numbers"));
    assert!(diagnose(&with(stray(2))).contains("--fork"));
    let mut less = with_container();
    less.container[0].namespaces = namespaces(&[Kind::Pid, Kind::Mnt], 2);
    assert!(diagnose(&less).contains("shares uts and ipc with the host"));
    let mut old_proc = with_container();
    old_proc.container[0].mounts = nothing().here.mounts;
    assert!(diagnose(&old_proc).contains("mount -t proc proc /proc"));
    let elsewhere = |pid| Sight { others: vec![(pid, "/tmp".into())], ..with_tree() };
    assert!(diagnose(&elsewhere(301)).contains("it is in /tmp, and the lessons are in /home/ana"));
    assert_eq!(diagnose(&elsewhere(300)), "", "it was there before");
    let of_root = |pid| Sight { of_root: vec![pid], ..with_tree() };
    assert!(diagnose(&of_root(301)).contains("sudo husk learn"));
    assert_eq!(diagnose(&of_root(300)), "");
}

#[test]
fn the_commands_are_those_of_the_person() {
    let command = |workshop: &Workshop| words::commands(Lesson::Unshare, &nothing(), workshop).concat();
    let rest = "--pid --uts --ipc --mount --fork --mount-proc";
    assert_eq!(command(&workshop()), format!("unshare {rest} bash"));
    let sudo = Workshop { through_sudo: true, ..workshop() };
    assert_eq!(command(&sudo), format!("sudo unshare {rest} bash"));
    let user = Workshop { is_root: false, shell: "sh", ..workshop() };
    assert_eq!(command(&user), format!("unshare --user --map-root-user {rest} sh"));
    let strange = Workshop { directory: "/home/a b".into(), busybox: None, ..workshop() };
    assert_eq!(words::commands(Lesson::Tree, &nothing(), &strange)[0], "cd '/home/a b'");
    assert_eq!(
        words::commands(Lesson::Busybox, &nothing(), &strange).len(),
        2,
        "it has to be installed first"
    );
}

/// Every text that can be said, to be read.
#[test]
fn all_that_is_said() {
    let mut sight = with_chroot();
    let map = IdMap(vec![IdRange { inside: 0, outside: 1000, count: 1 }]);
    sight.container.push(Member { name: "sleep".into(), pid: 210, inside: 10, ..sight.container[1].clone() });
    sight.container.push(Member { pid: 212, inside: 12, parent: 209, ..bash() });
    sight.container.iter_mut().for_each(|member| member.uid_map = Some(map.clone()));
    sight.tree.owner_of_mine = Some(1000);
    let user = Workshop { is_root: false, ..workshop() };
    let mut all = String::new();
    for lesson in Lesson::ALL {
        let parts = [
            ("task", words::task(lesson, &sight, &user)),
            ("type", words::commands(lesson, &sight, &user)),
            ("done", changes::done(lesson, &sight, &user)),
            ("hint", vec![hints::usual(lesson, &sight, &user)]),
        ];
        all += &format!("{} {}\n", lesson.number(), words::title(lesson));
        for (name, lines) in parts {
            all.extend(lines.iter().map(|line| format!("  {name}: {line}\n")));
        }
    }
    insta::assert_snapshot!(all);
}
