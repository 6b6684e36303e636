// SPDX-License-Identifier: Apache-2.0
//! What profiles may say, and what they may not: without libseccomp.
#![forbid(unsafe_code)]

use husk_seccomp::{
    FilterFlags, Outcome, Reason, RuleOrigin, SUPPORTED, SeccompData, SeccompError, call_name, call_number,
    compile, explain,
};
use husk_spec::oci::{Arch, Seccomp};
use proptest::prelude::*;

fn profile(text: &str) -> Seccomp {
    serde_json::from_str(text).expect("a profile")
}

fn refusal(text: &str) -> String {
    compile(&profile(text), Arch::X86_64).expect_err("refused").to_string()
}

fn call(arch: Arch, name: &str, args: [u64; 6]) -> SeccompData {
    let (number, arch) = call_number(arch, name).expect("a call");
    SeccompData { number, arch, args, instruction_pointer: 0 }
}

#[test]
fn the_numbers_are_those_of_the_crate_syscalls() {
    fn check<T>(
        arch: Arch,
        base: u32,
        calls: impl Iterator<Item = T>,
        facts: impl Fn(T) -> (i32, &'static str),
    ) {
        let mut seen = 0;
        for (number, name) in calls.map(facts) {
            let (number, name) = (number as u32, name.trim_start_matches("r#"));
            // Two names of one call; 32-bit calls that 64-bit architectures do not have; places left empty.
            let only_narrow = matches!(arch, Arch::Aarch64) && (403..424).contains(&number);
            if name == "fstatat" || only_narrow || name.starts_with("unused") || name.starts_with("reserved")
            {
                continue;
            }
            assert_eq!(
                call_number(arch, name).map(|found| found.0),
                Some(number),
                "{name} on {arch:?} from {base}"
            );
            seen += 1;
        }
        assert!(seen > 290, "{arch:?}: {seen}");
    }
    macro_rules! checked {
        ($($arch:ident $module:ident $base:literal),*) => {
            $(check(Arch::$arch, $base, syscalls::$module::Sysno::iter(), |call| (call.id(), call.name()));)*
        };
    }
    checked!(
        X86_64 x86_64 0, X86 x86 0, Aarch64 aarch64 0, Arm arm 0, Riscv64 riscv64 0, S390x s390x 0, Ppc powerpc 0,
        Ppc64 powerpc64 0, Mips mips 4000, Mips64 mips64 5000
    );
}

#[test]
fn numbers_have_names_in_every_abi() {
    for arch in SUPPORTED.archs {
        let (number, audit) = call_number(*arch, "read").expect("every architecture reads");
        assert_eq!(call_name(audit, number), Some("read"), "{arch:?}");
    }
}

#[test]
fn a_denial_is_named_by_call_and_rule() {
    let profile = profile(include_str!("profiles/docker.json"));
    let verdict =
        |name, args| explain(&profile, Arch::X86_64, &call(Arch::X86_64, name, args)).expect("a verdict");
    let mount = verdict("mount", [0; 6]);
    assert_eq!((mount.call, mount.reason), (Some("mount"), Reason::Default { rules: false }));
    assert_eq!(mount.outcome.to_string(), "SCMP_ACT_ERRNO(1)");
    let clone3 = verdict("clone3", [0; 6]);
    let Reason::Rule(RuleOrigin { syscall, name }) = clone3.reason else { panic!("{clone3:?}") };
    assert_eq!(
        (profile.syscalls[syscall].names[name].as_str(), clone3.outcome.errno()),
        ("clone3", Some(38))
    );
    let clone = verdict("clone", [0x1000_0000, 0, 0, 0, 0, 0]);
    assert_eq!((clone.reason, clone.outcome.lets_pass()), (Reason::Default { rules: true }, false));
    assert!(verdict("clone", [0x11, 0, 0, 0, 0, 0]).outcome.lets_pass());
    let newest = SeccompData { number: 1000, ..call(Arch::X86_64, "read", [0; 6]) };
    let newest = explain(&profile, Arch::X86_64, &newest).expect("a verdict");
    assert!(matches!(newest.reason, Reason::Newer { last: 400..1000 }) && newest.outcome.errno() == Some(38));
    let foreign = explain(&profile, Arch::X86_64, &call(Arch::Aarch64, "read", [0; 6])).expect("a verdict");
    assert_eq!((foreign.reason, foreign.outcome), (Reason::Foreign, Outcome(0)));
}

#[test]
fn refusals_name_the_field_and_the_reason() {
    let notify = refusal(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#);
    assert!(
        notify.starts_with("defaultAction: SCMP_ACT_NOTIFY cannot be used as default action"),
        "{notify}"
    );
    let write = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}]}"#;
    assert!(
        refusal(write)
            .starts_with("syscalls[0].names[1]: SCMP_ACT_NOTIFY cannot be used for the write syscall")
    );
    let index = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG",
        "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}"#;
    assert!(refusal(index).starts_with("syscalls[0].args[0].index: 6: syscalls only have up to 6 arguments"));
    let order = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"]}"#;
    assert!(
        refusal(order)
            .contains("SCMP_ARCH_S390X has another byte order than this machine's SCMP_ARCH_X86_64")
    );
    let unknown = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_SH"]}"#;
    assert!(refusal(unknown).contains("the calls of SCMP_ARCH_SH are not known here"));
    let empty =
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [""], "action": "SCMP_ACT_LOG"}]}"#;
    assert!(refusal(empty).starts_with("syscalls[0].names[0]: empty string is not a valid syscall"));
    let contradiction = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}"#;
    let contradiction = refusal(contradiction);
    assert!(
        contradiction.starts_with(
            "syscalls[1].names[0]: SCMP_ACT_ERRNO(1) for read, but syscalls[0].names[0] wants SCMP_ACT_LOG"
        ),
        "{contradiction}"
    );
}

#[test]
fn a_profile_that_is_too_long_is_refused_and_one_just_below_is_not() {
    let profile = |rules: u64| {
        let rule = |n: u64| {
            format!(
                r#"{{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{{"index": 0, "value": {n}, "op": "SCMP_CMP_EQ"}}]}}"#
            )
        };
        let rules: Vec<_> = (0..rules).map(rule).collect();
        profile(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}}"#, rules.join(",")))
    };
    assert_eq!(
        compile(&profile(6000), Arch::X86_64).map(|filter| filter.instructions.len()),
        Err(SeccompError::TooLong)
    );
    let filter = compile(&profile(900), Arch::X86_64).expect("a filter");
    for n in [0, 1, 450, 899] {
        assert_eq!(
            filter.decide(&call(Arch::X86_64, "read", [n, 0, 0, 0, 0, 0])).to_string(),
            "SCMP_ACT_LOG"
        );
    }
    assert_eq!(
        filter.decide(&call(Arch::X86_64, "read", [900, 0, 0, 0, 0, 0])).to_string(),
        "SCMP_ACT_ALLOW"
    );
}

#[test]
fn flags_are_the_kernels_and_a_listener_is_asked_for_where_one_is_needed() {
    let flags = r#""flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#;
    let plain =
        compile(&profile(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", {flags}}}"#)), Arch::X86_64)
            .expect("a filter");
    assert_eq!((plain.flags.bits(), plain.notify), (0b110, false));
    let notify = format!(
        r#"{{"defaultAction": "SCMP_ACT_ALLOW", {flags}, "syscalls": [{{"names": ["mknod", "nonsense"], "action": "SCMP_ACT_NOTIFY"}}]}}"#
    );
    let notify = compile(&profile(&notify), Arch::X86_64).expect("a filter");
    assert_eq!((notify.flags.bits(), notify.notify), (0b10_1110, true));
    assert!(notify.flags.contains(FilterFlags::NEW_LISTENER));
    assert_eq!(notify.unknown_calls, [RuleOrigin { syscall: 0, name: 1 }]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_profile_makes_it_panic_and_explanations_are_what_the_program_does(
        rules in proptest::collection::vec((
            proptest::collection::vec(proptest::sample::select(vec!["read", "write", "socket", "semop", "nonsense", "", "clone", "setns"]), 0..4),
            proptest::sample::select(SUPPORTED.actions),
            proptest::option::of(any::<u32>()),
            proptest::collection::vec((0u32..8, any::<u64>(), any::<u64>(), proptest::sample::select(SUPPORTED.operators)), 0..7),
        ), 0..12),
        default in proptest::sample::select(SUPPORTED.actions),
        archs in proptest::collection::vec(proptest::sample::select(vec![Arch::X86, Arch::X86_64, Arch::X32, Arch::Arm, Arch::Sh, Arch::S390x]), 0..4),
        native in proptest::sample::select(SUPPORTED.archs),
        numbers in proptest::collection::vec(any::<u32>(), 1..8),
        args in any::<[u64; 6]>(),
    ) {
        let profile = Seccomp {
            default_action: default,
            default_errno_ret: None,
            architectures: archs,
            flags: Some(Vec::new()),
            listener_path: None,
            listener_metadata: None,
            syscalls: rules.into_iter().map(|(names, action, errno_ret, args)| husk_spec::oci::Syscall {
                names: names.into_iter().map(str::to_owned).collect(),
                action,
                errno_ret,
                args: args.into_iter().map(|(index, value, value_two, op)| husk_spec::oci::Argument { index, value, value_two, op }).collect(),
            }).collect(),
        };
        if let Ok(filter) = compile(&profile, native) {
            let named = ["read", "socket", "clone"].iter().filter_map(|name| call_number(native, name)).map(|(number, _)| number);
            let arch = call_number(native, "read").expect("every architecture reads").1;
            for number in numbers.into_iter().chain(named) {
                let data = SeccompData { number, arch, args, instruction_pointer: 0 };
                prop_assert_eq!(explain(&profile, native, &data).expect("a compiled profile").outcome, filter.decide(&data));
            }
        }
    }
}
