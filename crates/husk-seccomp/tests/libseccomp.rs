// SPDX-License-Identifier: Apache-2.0
//! The same answers as libseccomp's and runc's filters, for every call and around every condition.
#![forbid(unsafe_code)]

mod oracle;

use std::cell::RefCell;
use std::collections::BTreeSet;

use husk_seccomp::{
    Filter, Instruction, Outcome, Reason, SUPPORTED, SeccompData, SeccompError, call_number, compile,
    explain, run,
};
use husk_spec::oci::{Action, Arch, Argument, Operator, Seccomp, Syscall};
use oracle::{Oracle, is_big_endian};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const DOCKER: &str = include_str!("profiles/docker.json");
const PODMAN: &str = include_str!("profiles/podman.json");
const X32_BIT: u32 = 0x4000_0000;
const ENOSYS: u32 = 0x0005_0026;

fn libseccomp_archs() -> impl Iterator<Item = Arch> {
    SUPPORTED.archs.iter().copied().filter(|arch| *arch != Arch::Loongarch64)
}

fn audit(arch: Arch) -> u32 {
    call_number(arch, "read").expect("every architecture reads").1
}

/// All names of calls, as the filters' table has them.
fn names() -> BTreeSet<&'static str> {
    let numbers = |arch| {
        [0, 4000, 5000, 6000, X32_BIT, 0xf0000]
            .into_iter()
            .flat_map(|base| base..base + 600)
            .map(move |n| (arch, n))
    };
    SUPPORTED
        .archs
        .iter()
        .flat_map(|arch| numbers(*arch))
        .filter_map(|(arch, n)| husk_seccomp::call_name(audit(arch), n))
        .collect()
}

/// A profile with only those calls that this libseccomp can know.
fn known_to(oracle: &mut Oracle, mut profile: Seccomp) -> Seccomp {
    for rule in &mut profile.syscalls {
        rule.names.retain(|name| oracle.resolve(Arch::X86_64, name).is_some());
    }
    profile
}

/// What runc's stub answers before the filter: by its own rule, written down here once more.
struct Stub {
    /// For each architecture: AUDIT_ARCH_*, and the largest number that the profile names.
    last: Vec<(Arch, u32, u32)>,
}

impl Stub {
    fn new(oracle: &mut Oracle, profile: &Seccomp, native: Arch) -> Self {
        if matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace) {
            return Self { last: Vec::new() };
        }
        let archs: BTreeSet<_> =
            std::iter::once(native).chain(profile.architectures.iter().copied()).collect();
        let mut last = Vec::new();
        for arch in archs {
            let names = profile.syscalls.iter().flat_map(|rule| &rule.names);
            // Sockets and IPC have numbers of their own beside socketcall and ipc: runc looks past them (docs/seccomp.md).
            let direct =
                names.clone().filter_map(|name| call_number(arch, name)).map(|(number, _)| number as i32);
            let largest =
                names.filter_map(|name| oracle.resolve(arch, name)).chain(direct).max().unwrap_or(0);
            if largest > 0 {
                last.push((arch, audit(arch), largest as u32));
            }
        }
        Self { last }
    }

    fn answer(&self, data: &SeccompData) -> Option<u32> {
        let side =
            |arch| audit(Arch::X86_64) != data.arch || (arch == Arch::X32) == (data.number & X32_BIT != 0);
        let (arch, _, last) = self.last.iter().find(|(arch, audit, _)| *audit == data.arch && side(*arch))?;
        let setup = matches!(arch, Arch::S390 | Arch::S390x) && data.number == 0;
        (data.number > *last || setup).then_some(ENOSYS)
    }
}

/// Values around those that the profile compares with.
fn interesting(profile: &Seccomp) -> Vec<u64> {
    let args = profile.syscalls.iter().flat_map(|rule| &rule.args);
    let around = args
        .flat_map(|arg| [arg.value, arg.value_two, arg.value & arg.value_two, arg.value | !arg.value_two]);
    let around = around.flat_map(|value| {
        [
            value,
            value.wrapping_sub(1),
            value.wrapping_add(1),
            value ^ (1 << 32),
            value | (7 << 40),
            value & 0xffff_ffff,
        ]
    });
    let values: BTreeSet<u64> = around.chain([0, 1, u64::MAX, 1 << 32]).chain(1..25).collect();
    values.into_iter().collect()
}

/// Arguments to try, the same in each run: mixtures of the values.
fn arguments(values: &[u64], how_many: usize) -> Vec<[u64; 6]> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        values[(state % values.len() as u64) as usize]
    };
    (0..how_many).map(|_| std::array::from_fn(|_| next())).collect()
}

/// All numbers of an architecture's calls and beyond, and those where something else may begin.
fn numbers(audit: u32) -> impl Iterator<Item = u32> {
    let base: u32 = match audit {
        0x8 | 0x4000_0008 => 4000,
        0x8000_0008 | 0xc000_0008 => 5000,
        0xa000_0008 | 0xe000_0008 => 6000,
        _ => 0,
    };
    let edges = [X32_BIT - 1, 0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, 0xc000_0000, u32::MAX - 1, u32::MAX];
    let private = 0xf0000..if audit == 0x4000_0028 { 0xf0008 } else { 0xf0001 };
    let x32 = X32_BIT..X32_BIT + if audit == 0xc000_003e { 560 } else { 1 };
    (base..base + 480).chain(base.saturating_sub(1)..base).chain(private).chain(x32).chain(edges)
}

/// What has been compared.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Calls with the same answer.
    same: usize,
    /// Calls that libseccomp answers as no rule says whose conditions hold.
    wrong: usize,
    /// Profiles that both refuse.
    refused: usize,
    /// Profiles that libseccomp alone refuses.
    refused_by_libseccomp: usize,
}

/// Compares answers over all numbers and many arguments.
fn compare(
    oracle: &mut Oracle,
    profile: &Seccomp,
    native: Arch,
    filter: &Filter,
    theirs: &[Instruction],
    tries: usize,
) -> Counts {
    let stub = Stub::new(oracle, profile, native);
    let values = interesting(profile);
    let (few, many) = (arguments(&values, 2), arguments(&values, tries));
    let conditional = conditional(profile);
    let archs: BTreeSet<u32> = std::iter::once(native)
        .chain(profile.architectures.iter().copied())
        .map(audit)
        .chain([0, audit(Arch::Arm)])
        .collect();
    let mut counts = Counts::default();
    for arch in archs {
        for number in numbers(arch) {
            for args in if conditional.contains(&number) { &many } else { &few } {
                let data = SeccompData { number, arch, args: *args, instruction_pointer: 0 };
                let ours = filter.decide(&data);
                let expected = stub.answer(&data).or_else(|| run(theirs, &data, is_big_endian(native)));
                if Some(ours) == expected.map(Outcome) {
                    counts.same += 1;
                } else if readings(profile, &data).is_some_and(|may| {
                    may.contains(&ours.0) && !expected.is_some_and(|theirs| may.contains(&theirs))
                }) {
                    counts.wrong += 1;
                } else {
                    let text = serde_json::to_string(profile).expect("JSON");
                    panic!("{data:x?} on {native:?}: {ours}, libseccomp: {expected:x?} {text}");
                }
            }
        }
    }
    counts
}

/// The numbers of all calls that have conditions.
fn conditional(profile: &Seccomp) -> BTreeSet<u32> {
    let rules = profile.syscalls.iter().filter(|rule| !rule.args.is_empty());
    let names = rules.flat_map(|rule| &rule.names);
    let numbers =
        names.flat_map(|name| SUPPORTED.archs.iter().filter_map(move |arch| call_number(*arch, name)));
    numbers.map(|(number, _)| number).chain([102, 117, 4102, 4117]).collect()
}

/// What a profile may be read to say: the outcomes of all rules whose conditions hold, in whatever order they are asked.
fn readings(profile: &Seccomp, data: &SeccompData) -> Option<Vec<u32>> {
    let default = oracle::action(profile.default_action, profile.default_errno_ret);
    let direct = husk_seccomp::call_name(data.arch, data.number)?;
    // What goes through one call has its own number as the first argument, and no other condition on that.
    let through = match (direct, data.args[0] as u32) {
        ("socketcall", 1) => Some("socket"),
        ("socketcall", 3) => Some("connect"),
        ("socketcall", 10) => Some("recv"),
        ("ipc", 2) => Some("semget"),
        ("ipc", 21) => Some("shmat"),
        _ => None,
    };
    let name = through.unwrap_or(direct);
    let first = if through.is_some() { 1 } else { 0 };
    let wide = data.arch & 0x8000_0000 != 0 && data.number & X32_BIT == 0 && data.arch & 0x2000_0000 == 0;
    let rules = profile.syscalls.iter().filter(|rule| rule.names.iter().any(|other| other == name));
    let rules = rules.map(|rule| (&rule.args, oracle::action(rule.action, rule.errno_ret)));
    let rules: Vec<_> = rules.filter(|(_, action)| *action != default).collect();
    let repeated = |args: &[Argument]| {
        args.iter().enumerate().any(|(at, arg)| args[..at].iter().any(|other| other.index == arg.index))
    };
    let matches = |args: &[Argument]| {
        let mut each = args.iter().map(|arg| arg.index < first || holds(arg, &data.args, wide));
        if repeated(args) { each.any(|holds| holds) } else { each.all(|holds| holds) }
    };
    let matching: Vec<_> =
        rules.iter().filter(|(args, _)| matches(args)).map(|(_, action)| *action).collect();
    Some(if matching.is_empty() { vec![default] } else { matching })
}

fn holds(arg: &Argument, args: &[u64; 6], wide: bool) -> bool {
    let seen = |value: u64| if wide { value } else { value & 0xffff_ffff };
    let (argument, value) = (seen(args[arg.index as usize]), seen(arg.value));
    match arg.op {
        NotEqual => argument != value,
        Less => argument < value,
        LessOrEqual => argument <= value,
        Equal => argument == value,
        GreaterOrEqual => argument >= value,
        Greater => argument > value,
        MaskedEqual => argument & value == seen(arg.value_two) & value,
    }
}

fn check_explained(profile: &Seccomp, native: Arch, filter: &Filter) {
    let values = interesting(profile);
    for rule in &profile.syscalls {
        for (number, arch) in rule.names.iter().filter_map(|name| call_number(native, name)) {
            for args in arguments(&values, 20) {
                let data = SeccompData { number, arch, args, instruction_pointer: 0 };
                let verdict = explain(profile, native, &data).expect("a compiled profile");
                assert_eq!(verdict.outcome, filter.decide(&data), "{data:x?}");
                if let Reason::Rule(origin) = verdict.reason {
                    let rule = &profile.syscalls[origin.syscall];
                    assert_eq!(
                        verdict.call.and_then(|name| call_number(native, name)),
                        call_number(native, &rule.names[origin.name])
                    );
                    assert_eq!(verdict.outcome.0, oracle::action(rule.action, rule.errno_ret));
                }
            }
        }
    }
}

#[test]
fn the_table_of_calls_is_libseccomps() {
    let Some(mut oracle) = Oracle::start("the_table_of_calls_is_libseccomps") else { return };
    let names = names();
    assert!(names.len() > 450, "{}", names.len());
    let mut compared = 0;
    for name in names {
        for arch in libseccomp_archs() {
            // A name that this version does not know yet is no difference.
            let Some(theirs) = oracle.resolve(arch, name) else { continue };
            let ours = call_number(arch, name).map(|(number, _)| number);
            // libseccomp numbers sockets and IPC by its own numbers where they go through one call.
            let multiplexed = (-224..=-101).contains(&theirs);
            if !multiplexed {
                assert_eq!(ours, u32::try_from(theirs).ok(), "{name} on {arch:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 7000, "{compared}");
}

#[test]
fn the_profiles_of_engines_get_the_answers_that_runc_gives() {
    let Some(mut oracle) = Oracle::start("the_profiles_of_engines_get_the_answers_that_runc_gives") else {
        return;
    };
    for text in [DOCKER, PODMAN] {
        let profile: Seccomp = serde_json::from_str(text).expect("a profile");
        let profile = known_to(&mut oracle, profile);
        let filter = compile(&profile, Arch::X86_64).expect("a filter");
        let theirs = oracle.compile(&profile, Arch::X86_64).expect("libseccomp's filter");
        assert!(
            filter.instructions.len() < theirs.len() / 2,
            "{} of {}",
            filter.instructions.len(),
            theirs.len()
        );
        let counts = compare(&mut oracle, &profile, Arch::X86_64, &filter, &theirs, 200);
        assert!(counts.same > 5000 && counts.wrong == 0, "{counts:?}");
        check_explained(&profile, Arch::X86_64, &filter);
    }
}

#[test]
fn a_profile_gets_the_same_answers_on_every_architecture() {
    let Some(mut oracle) = Oracle::start("a_profile_gets_the_same_answers_on_every_architecture") else {
        return;
    };
    let docker: Seccomp = serde_json::from_str(DOCKER).expect("a profile");
    let docker = known_to(&mut oracle, docker);
    let mut compared = 0;
    for native in libseccomp_archs() {
        let neighbours = libseccomp_archs().filter(|arch| is_big_endian(*arch) == is_big_endian(native));
        for architectures in [Vec::new(), neighbours.collect()] {
            let profile = Seccomp { architectures, ..docker.clone() };
            let filter = compile(&profile, native).expect("a filter");
            // libseccomp cannot make some of these programs on a machine of another architecture.
            let Ok(theirs) = oracle.compile(&profile, native) else { continue };
            let counts = compare(&mut oracle, &profile, native, &filter, &theirs, 10);
            assert_eq!(counts.wrong, 0, "{native:?}");
            compared += 1;
        }
    }
    assert!(compared >= 24, "{compared}");
}

const CALLS: &[&str] = &[
    "read",
    "write",
    "personality",
    "clone",
    "socket",
    "connect",
    "ioctl",
    "semget",
    "shmat",
    "prctl",
    "openat",
    "recv",
    "_llseek",
];
use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
const ALL: &[Operator] = &[NotEqual, Less, LessOrEqual, Equal, GreaterOrEqual, Greater, MaskedEqual];
const UNORDERED: &[Operator] = &[Equal, MaskedEqual];

fn any_action() -> impl Strategy<Value = (Action, Option<u32>)> {
    let plain = |action| Just((action, None));
    prop_oneof![
        4 => plain(Action::Allow),
        3 => proptest::option::of(0u32..4096).prop_map(|errno| (Action::Errno, errno)),
        1 => plain(Action::Log),
        1 => plain(Action::Trap),
        1 => plain(Action::KillProcess),
        1 => plain(Action::KillThread),
        1 => proptest::option::of(0u32..70000).prop_map(|message| (Action::Trace, message)),
    ]
}

fn any_value() -> impl Strategy<Value = u64> {
    let chosen = [0x7e02_0000u64, 0xffff_ffff, 0x1_0000_0000, 0x5_0000_0003, u64::MAX];
    prop_oneof![4 => 0u64..6, 2 => proptest::sample::select(chosen.to_vec()), 1 => any::<u64>(), 1 => any::<u32>().prop_map(u64::from)]
}

fn any_argument(operators: &'static [Operator]) -> impl Strategy<Value = Argument> {
    (0u32..4, any_value(), any_value(), proptest::sample::select(operators))
        .prop_map(|(index, value, value_two, op)| Argument { index, value, value_two, op })
}

/// Profiles; `one_action` for such in which all rules with conditions want the same.
fn any_profile(operators: &'static [Operator], one_action: bool) -> impl Strategy<Value = (Seccomp, Arch)> {
    let args = proptest::collection::vec(any_argument(operators), 0..4);
    let names = proptest::collection::vec(proptest::sample::select(CALLS), 1..4);
    let rules = proptest::collection::vec((names, any_action(), args), 0..8);
    let arch = || proptest::sample::select(libseccomp_archs().collect::<Vec<_>>());
    let archs = proptest::collection::vec(arch(), 0..3);
    (rules, any_action(), any_action(), archs, arch()).prop_map(
        move |(rules, default, same, archs, native)| {
            let rule = |(names, own, args): (Vec<&str>, _, Vec<Argument>)| {
                let (action, errno_ret) = if one_action && !args.is_empty() { same } else { own };
                Syscall { names: names.into_iter().map(str::to_owned).collect(), action, errno_ret, args }
            };
            let profile = Seccomp {
                default_action: default.0,
                default_errno_ret: default.1,
                architectures: archs
                    .into_iter()
                    .filter(|arch| is_big_endian(*arch) == is_big_endian(native))
                    .collect(),
                flags: Some(Vec::new()),
                listener_path: None,
                listener_metadata: None,
                syscalls: rules.into_iter().map(rule).collect(),
            };
            (profile, native)
        },
    )
}

/// As many as the variable says that proptest's own configuration knows, for a long run.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

fn compare_random(oracle: Oracle, operators: &'static [Operator], one_action: bool) -> Counts {
    let state = RefCell::new((oracle, Counts::default()));
    let config =
        Config { cases: cases(), failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let outcome = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)).run(
        &any_profile(operators, one_action),
        |(profile, native)| {
            let (oracle, sum) = &mut *state.borrow_mut();
            match (compile(&profile, native), oracle.compile(&profile, native)) {
                (Ok(filter), Ok(theirs)) => {
                    let counts = compare(oracle, &profile, native, &filter, &theirs, 60);
                    sum.same += counts.same;
                    sum.wrong += counts.wrong;
                    check_explained(&profile, native, &filter);
                }
                (Err(SeccompError::Conflict { .. }), Err(_)) => sum.refused += 1,
                (Ok(_), Err(_)) => sum.refused_by_libseccomp += 1,
                (ours, theirs) => panic!("{ours:?}, libseccomp: {theirs:?} for {profile:#?} on {native:?}"),
            }
            Ok(())
        },
    );
    outcome.unwrap_or_else(|error| panic!("{error}"));
    state.into_inner().1
}

#[test]
fn random_profiles_in_which_rules_agree_get_the_answers_that_they_say() {
    let Some(oracle) = Oracle::start("random_profiles_in_which_rules_agree_get_the_answers_that_they_say")
    else {
        return;
    };
    let counts = compare_random(oracle, ALL, true);
    assert!(counts.same > 1000 * counts.wrong.max(1), "{counts:?}");
}

#[test]
fn random_profiles_in_which_rules_differ_get_the_same_answers() {
    let Some(oracle) = Oracle::start("random_profiles_in_which_rules_differ_get_the_same_answers") else {
        return;
    };
    let counts = compare_random(oracle, UNORDERED, false);
    assert!(counts.same > 1000 * counts.wrong.max(1), "{counts:?}");
}

#[test]
fn libseccomp_goes_wrong_where_the_document_says_so() {
    let Some(mut oracle) = Oracle::start("libseccomp_goes_wrong_where_the_document_says_so") else { return };
    let [allow, eperm] = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO(1)"];
    let cases = [
        (
            r#"[{"index":0,"value":1,"op":"SCMP_CMP_GE"}]"#,
            r#"[{"index":0,"value":0,"op":"SCMP_CMP_LE"},{"index":1,"value":1,"op":"SCMP_CMP_LT"}]"#,
            [0, 1, 0, 0, 0, 0],
            eperm,
            allow,
        ),
        (
            r#"[{"index":0,"value":0,"op":"SCMP_CMP_LT"}]"#,
            r#"[{"index":0,"value":4294967296,"op":"SCMP_CMP_LT"}]"#,
            [10, 0, 0, 0, 0, 0],
            allow,
            eperm,
        ),
    ];
    for (first, second, args, ours, theirs) in cases {
        let rule = |args| format!(r#"{{"names":["read"],"action":"SCMP_ACT_ALLOW","args":{args}}}"#);
        let text =
            format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{},{}]}}"#, rule(first), rule(second));
        let profile: Seccomp = serde_json::from_str(&text).expect("a profile");
        let filter = compile(&profile, Arch::X86_64).expect("a filter");
        let program = oracle.compile(&profile, Arch::X86_64).expect("libseccomp's filter");
        let data = SeccompData { number: 0, arch: audit(Arch::X86_64), args, instruction_pointer: 0 };
        assert_eq!(filter.decide(&data).to_string(), ours);
        assert_eq!(
            run(&program, &data, false).map(|answer| Outcome(answer).to_string()).as_deref(),
            Some(theirs)
        );
    }
}
