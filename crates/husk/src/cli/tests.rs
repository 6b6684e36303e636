// SPDX-License-Identifier: Apache-2.0

use clap::CommandFactory;

use std::ffi::OsStr;

use super::*;

fn words(line: &[&str]) -> Vec<OsString> {
    std::iter::once("husk").chain(line.iter().copied()).map(OsString::from).collect()
}

fn run(line: &[&str]) -> Run {
    match parse(&words(line)) {
        Ok(Request::Run(run)) => run,
        Ok(Request::ExplainRun(explain)) => explain.run,
        Ok(Request::StepRun(step)) => step.run,
        other => panic!("{line:?}: {other:?}"),
    }
}

/// ROOTFS and the command.
fn split(line: &[&str]) -> (Option<String>, String) {
    let run = run(line);
    let text = |word: OsString| word.into_string().expect("UTF-8");
    (run.rootfs.map(text), run.command.into_iter().map(text).collect::<Vec<_>>().join(" "))
}

fn refusal(line: &[&str]) -> (u8, String) {
    let failure = parse(&words(line)).expect_err("a refusal");
    (failure.status, failure.to_string())
}

/// A help text as on a terminal of 80 columns.
fn help(line: &[&str]) -> String {
    match parse_with(Cli::command().term_width(80), &words(line)) {
        Ok(Request::Print(text)) => text.to_string(),
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_first_word_is_always_rootfs_and_the_rest_the_commands() {
    let root = || Some("root".to_owned());
    assert_eq!(split(&["run"]), (None, String::new()));
    assert_eq!(split(&["run", "root"]), (root(), String::new()));
    assert_eq!(split(&["run", "root", "ls"]), (root(), "ls".into()));
    assert_eq!(split(&["run", "root", "ls", "-l", "--color", "-e"]), (root(), "ls -l --color -e".into()));
    assert_eq!(split(&["run", "--name", "x", "root", "--name", "y"]), (root(), "--name y".into()));
    assert_eq!(split(&["run", "root", "sh", "--", "x"]), (root(), "sh -- x".into()));
    assert_eq!(split(&["run", "root", "run", "--help"]), (root(), "run --help".into()));
}

#[test]
fn a_run_that_cannot_be_read_ends_as_one_that_fails() {
    for line in [&["run"][..], &["why", "run"], &["step", "run"]] {
        assert_eq!(refusal(&[line, &["--nope"]].concat()).0, 125, "{line:?}");
    }
    assert_eq!(refusal(&["step", "run", "--as-shell"]).0, 125);
    assert_eq!(refusal(&["explain", "run", "--nope"]).0, 1);
    assert_eq!(refusal(&["diff", "--nope"]).0, 2);
}

/// `husk see` tells by them where the words of a container begin.
#[test]
fn husk_see_knows_which_options_take_no_value() {
    let root = Cli::command();
    let of = |path: &[&str]| {
        let find = |command: &clap::Command, name: &&str| {
            let mut command = command.find_subcommand(name).expect("a command").clone();
            command.build();
            command
        };
        let command = path.iter().fold(root.clone(), |command, name| find(&command, name));
        let flags = command.get_arguments().filter(|argument| !argument.get_action().takes_values());
        let names = |flag: &clap::Arg| {
            let short = flag.get_short().map(String::from);
            flag.get_long().map(str::to_owned).into_iter().chain(short).collect::<Vec<_>>()
        };
        flags.flat_map(names).collect::<Vec<_>>()
    };
    let mut flags: Vec<_> = [&["run"][..], &["why", "run"], &["step", "run"], &["explain", "run"]]
        .into_iter()
        .flat_map(of)
        .collect();
    flags.sort_unstable();
    flags.dedup();
    assert_eq!(flags, husk_see::HUSK_FLAGS);
}

#[test]
fn two_dashes_in_the_place_of_rootfs_mean_the_default_root() {
    assert_eq!(split(&["run", "--"]), (None, String::new()));
    assert_eq!(split(&["run", "--", "ls"]), (None, "ls".into()));
    assert_eq!(split(&["run", "--", "ls", "--", "-l"]), (None, "ls -- -l".into()));
    assert_eq!(split(&["run", "--", "--", "x"]), (None, "-- x".into()));
    assert_eq!(split(&["run", "-it", "--name", "x", "--", "ls", "-l"]), (None, "ls -l".into()));
    assert_eq!(split(&["explain", "run", "--", "ls"]), (None, "ls".into()));
}

#[test]
fn two_dashes_after_rootfs_are_passed_over_once() {
    assert_eq!(split(&["run", "root", "--"]), (Some("root".into()), String::new()));
    assert_eq!(split(&["run", "root", "--", "ls", "-l"]), (Some("root".into()), "ls -l".into()));
    assert_eq!(split(&["run", "root", "--", "--", "ls"]), (Some("root".into()), "-- ls".into()));
}

#[test]
fn options_are_taken_in_every_form_that_people_type() {
    let of = |line: &[&str]| run(line).options;
    for line in
        [&["run", "-it"][..], &["run", "-ti"], &["run", "-i", "-t"], &["run", "--tty", "--interactive"]]
    {
        let options = of(line);
        assert!(options.tty && options.interactive, "{line:?}");
    }
    assert_eq!(of(&["run", "-eA=1", "-e", "B=2", "--env=C=3"]).env, ["A=1", "B=2", "C=3"]);
    assert_eq!(of(&["run", "-h", "sag"]).hostname.as_deref(), Some("sag"));
    assert_eq!(of(&["run", "-w/srv"]).workdir.as_deref(), Some(OsStr::new("/srv")));
    assert_eq!(of(&["run", "--boottime", "-1.5"]).boottime.as_deref(), Some("-1.5"));
    assert_eq!(of(&["run", "--net=host"]).network.as_deref(), Some(OsStr::new("host")));
}

#[test]
fn of_an_option_that_has_one_value_the_last_counts() {
    assert_eq!(run(&["run", "--name", "a", "--name", "b", "-t", "-t"]).options.name.as_deref(), Some("b"));
}

#[test]
fn explain_and_step_take_the_arguments_of_run() {
    let line = ["run", "--tmpfs", "/x", "-v", ".:/y", "root", "ls"];
    for verb in ["explain", "step"] {
        let other: Vec<_> = std::iter::once(verb).chain(line).collect();
        assert_eq!(run(&other), run(&line), "{verb}");
    }
}

#[test]
fn explain_takes_a_running_process_too() {
    let explain = |line: &[&str]| match parse(&words(line)) {
        Ok(Request::ExplainRunning(explain)) => explain,
        other => panic!("{line:?}: {other:?}"),
    };
    let container = Some("web".to_owned());
    assert_eq!(
        explain(&["explain", "web"]),
        ExplainRunning { container: container.clone(), ..Default::default() }
    );
    assert_eq!(
        explain(&["explain", "--format=sh", "web"]),
        ExplainRunning { container, format: Format::Sh, pid: None }
    );
    assert_eq!(explain(&["explain", "--pid", "7"]), ExplainRunning { pid: Some(7), ..Default::default() });
}

#[test]
fn why_takes_a_run_a_command_or_a_container() {
    let why = |line: &[&str]| match parse(&words(line)) {
        Ok(Request::Why(why)) => why,
        other => panic!("{line:?}: {other:?}"),
    };
    assert_eq!(why(&["why"]), Why::Last(None));
    assert_eq!(why(&["why", "web"]), Why::Last(Some("web".to_owned())));
    assert_eq!(
        why(&["why", "run", "-t", "box", "ls", "-l"]),
        Why::Run(Box::new(run(&["run", "-t", "box", "ls", "-l"])))
    );
    assert_eq!(why(&["why", "--", "ls", "-l"]), Why::Run(Box::new(run(&["run", "--", "ls", "-l"]))));
    assert_eq!(why(&["why", "run", "--", "ls"]), Why::Run(Box::new(run(&["run", "--", "ls"]))));
}

#[test]
fn words_need_not_be_utf_8_where_they_are_paths() {
    use std::os::unix::ffi::OsStringExt;
    let mut line = words(&["run", "-v"]);
    line.extend([b"/a\xff:/b".to_vec(), b"r\xff".to_vec(), b"c\xff".to_vec()].map(OsString::from_vec));
    let Ok(Request::Run(run)) = parse(&line) else { panic!("not taken") };
    assert_eq!(run.rootfs, Some(line[4].clone()));
    assert_eq!((run.command[0].clone(), run.options.volume[0].clone()), (line[5].clone(), line[3].clone()));
}

#[test]
fn programs_are_added_to_those_of_the_host() {
    let from = |line: &[&str]| match parse(&words(line)) {
        Ok(Request::RootfsNew(new)) => (new.from, new.add),
        other => panic!("{line:?}: {other:?}"),
    };
    let added = (Some(From::Host), vec!["vim".to_owned(), "less".to_owned()]);
    assert_eq!(from(&["rootfs", "new", "a", "--add", "vim", "less"]), added);
    assert_eq!(from(&["rootfs", "new", "a", "--from", "host", "--add", "vim", "--add", "less"]), added);
    assert_eq!(from(&["rootfs", "new", "a"]), (None, vec![]));
}

#[test]
fn the_help_of_husk_fits_a_screen() {
    let help = help(&["--help"]);
    assert!(help.lines().count() <= 24, "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    insta::assert_snapshot!(help);
}

#[test]
fn husk_alone_prints_its_help() {
    assert_eq!(help(&[]), help(&["--help"]));
}

#[test]
fn the_help_of_every_command() {
    for command in [
        &["run"][..],
        &["explain"],
        &["explain", "run"],
        &["step"],
        &["step", "run"],
        &["rootfs"],
        &["rootfs", "new"],
        &["see"],
        &["diff"],
        &["doctor"],
        &["why"],
        &["learn"],
    ] {
        let line: Vec<_> = command.iter().copied().chain(["--help"]).collect();
        insta::assert_snapshot!(command.join("_"), help(&line));
    }
}

#[test]
fn the_version() {
    let version = help(&["--version"]);
    assert_eq!(version, help(&["-V"]));
    assert_eq!(version, format!("husk {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn refusals() {
    let lines: &[&[&str]] = &[
        &["run", "--nmae", "x"],
        &["run", "-x"],
        &["run", "--name"],
        &["run", "-h"],
        &["run", "--tty=1"],
        &["run", "--name", "-1"],
        &["run", "--privileged"],
        &["run", "-p", "80:80"],
        &["run", "-d"],
        &["explain", "run", "--nope"],
        &["explain", "run", "--format", "xml"],
        &["explain", "run", "--format", "sh", "--timing"],
        &["explain", "rnu", "x"],
        &["explain", "--pid", "x"],
        &["explain", "--pid", "1", "web"],
        &["explain", "--format", "md"],
        &["explain", "web", "--timing"],
        &["step", "run", "--until", "lunch"],
        &["step", "run", "--as-shell"],
        &["rnu"],
        &["--nope"],
        &["rootfs", "new"],
        &["rootfs", "new", "a", "b"],
        &["rootfs", "new", "a", "--from", "image"],
        &["rootfs", "new", "a", "--minimal", "--from", "host"],
        &["rootfs", "new", "a", "--from", "busybox", "--add", "vim"],
        &["see", "--nope"],
        &["see", "--json", "--watch"],
        &["diff", "host"],
        &["diff", "a", "b", "c"],
        &["doctor", "--jsno"],
        &["why", "a", "b"],
        &["why", "run", "--nope"],
        &["learn", "web"],
        &["learn", "--restart", "--check"],
    ];
    let all: Vec<String> = lines
        .iter()
        .map(|line| {
            let (status, message) = refusal(line);
            format!("$ husk {}   # {status}\n{message}\n", line.join(" "))
        })
        .collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_word_that_is_not_text_where_it_must_be() {
    use std::os::unix::ffi::OsStringExt;
    let mut line = words(&["run", "--name"]);
    line.push(OsString::from_vec(vec![0xff]));
    insta::assert_snapshot!(parse(&line).expect_err("a refusal").to_string());
}
