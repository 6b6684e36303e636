// SPDX-License-Identifier: Apache-2.0
//! What callers type: runc's command line, as Go's flag package reads it.
//!
//! A flag is `--name value`, `--name=value`, or the same with one dash; a switch is `--name` or `--name=false`. Global flags stand
//! before the verb, those of a verb also behind its arguments, but for exec and ps, where they would be the command's. What is not known
//! is an error, loudly: an engine that asks for something must not get something else.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use husk_oci::definition::{Flag, GLOBALS, Verb};
use husk_spec::oci::ContainerId;

use crate::failure::Failure;
use crate::verbs::exec;

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Call {
    Version,
    Help(Option<&'static Verb>),
    Create(Create),
    Run(Run),
    Start { id: ContainerId },
    State { id: ContainerId },
    Kill(Kill),
    Delete { id: ContainerId, force: bool },
    List(List),
    Exec(Box<Exec>),
    Spec { bundle: Option<PathBuf>, rootless: bool },
    Features,
    Ps(Ps),
    Pause { id: ContainerId },
    Resume { id: ContainerId },
    Update(Update),
    Events(Events),
}

/// `ps`.
#[derive(Debug)]
pub(crate) struct Ps {
    pub(crate) id: ContainerId,
    pub(crate) format: ListFormat,
    pub(crate) options: Vec<OsString>,
}

/// `update`: a file with limits, or flags with one each.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) id: ContainerId,
    pub(crate) resources: Option<PathBuf>,
    pub(crate) flags: Vec<(&'static str, String)>,
}

/// `events`.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) id: ContainerId,
    pub(crate) interval: Duration,
    pub(crate) stats: bool,
}

/// `list`.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) format: ListFormat,
    pub(crate) quiet: bool,
}

/// The form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListFormat {
    Table,
    Json,
}

/// `exec`.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) id: ContainerId,
    pub(crate) process: Option<PathBuf>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) user: Option<(u32, Option<u32>)>,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) cwd: Option<String>,
    pub(crate) tty: bool,
    pub(crate) detach: bool,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) pidfd_socket: Option<PathBuf>,
    pub(crate) caps: Vec<String>,
    pub(crate) apparmor: Option<String>,
    pub(crate) process_label: Option<String>,
    pub(crate) no_new_privs: Option<bool>,
    pub(crate) ignore_paused: bool,
    pub(crate) preserve_fds: u32,
    pub(crate) cgroups: Vec<String>,
}

/// The flags before the verb.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    pub(crate) root: Option<PathBuf>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) debug: bool,
    pub(crate) systemd_cgroup: bool,
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// `create`, and what `run` shares with it.
#[derive(Debug)]
pub(crate) struct Create {
    pub(crate) id: ContainerId,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) pidfd_socket: Option<PathBuf>,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) preserve_fds: u32,
}

/// `run`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) create: Create,
    pub(crate) detach: bool,
    pub(crate) keep: bool,
}

/// `kill`.
#[derive(Debug)]
pub(crate) struct Kill {
    pub(crate) id: ContainerId,
    pub(crate) signal: Option<OsString>,
    pub(crate) all: bool,
}

/// Reads the command line, without the program's name. What stands before the verb counts also if the rest is refused: it says
/// where that is logged.
pub(crate) fn parse(arguments: &[OsString]) -> (Globals, Result<Call, Failure>) {
    match parse_globals(arguments) {
        Ok((globals, flags, rest)) => (globals, parse_call(&flags, &rest)),
        Err(failure) => (Globals::default(), Err(failure)),
    }
}

fn parse_globals(arguments: &[OsString]) -> Result<(Globals, Flags, Vec<OsString>), Failure> {
    let (flags, rest) = Flags::read("", &[GLOBALS], arguments, Order::FlagsFirst)?;
    check_rootless(&flags)?;
    let globals = Globals {
        root: flags.path("root"),
        log: flags.path("log"),
        log_format: match flags.text("log-format")?.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                return Err(Failure::new(format!("invalid --log-format {other:?}: it is text or json")));
            }
        },
        debug: flags.is_on("debug")?,
        systemd_cgroup: flags.is_on("systemd-cgroup")?,
    };
    Ok((globals, flags, rest))
}

fn parse_call(flags: &Flags, rest: &[OsString]) -> Result<Call, Failure> {
    if flags.is_on("version")? {
        return Ok(Call::Version);
    }
    match rest.split_first() {
        Some((verb, rest)) if !flags.is_on("help")? => parse_verb(verb, rest)
            .map_err(|failure| if verb == "exec" { failure.with_status(exec::FAILED) } else { failure }),
        _ => Ok(Call::Help(None)),
    }
}

/// Whether cgroups may be missing is seen without being told; only the word has to be one of runc's.
fn check_rootless(flags: &Flags) -> Result<(), Failure> {
    match flags.text("rootless")?.as_deref() {
        None | Some("auto") => Ok(()),
        Some(word) if truth(word.as_bytes()).is_some() => Ok(()),
        Some(word) => Err(Failure::new(format!("invalid --rootless {word:?}: it is true, false or auto"))),
    }
}

/// Verbs of runc that this program has not.
const CHECKPOINTS: [&str; 2] = ["checkpoint", "restore"];

fn parse_verb(verb: &OsStr, rest: &[OsString]) -> Result<Call, Failure> {
    let verb = verb.to_string_lossy();
    let verb = verb.as_ref();
    if CHECKPOINTS.contains(&verb) {
        return Err(Failure::new(format!("{verb}: this build of husk-oci has no checkpoint and restore")));
    }
    let Some(known) = Verb::named(verb) else {
        return match verb {
            "help" | "h" => Ok(Call::Help(rest.first().and_then(|word| word.to_str()).and_then(Verb::named))),
            "version" => Ok(Call::Version),
            _ => Err(Failure::new(format!(
                "unknown command {verb:?}: husk-oci --help names those that there are"
            ))),
        };
    };
    let order = if matches!(verb, "exec" | "ps") { Order::FlagsFirst } else { Order::Any };
    let (flags, rest) = Flags::read(verb, known.flags, rest, order)?;
    if flags.is_on("help")? {
        return Ok(Call::Help(Some(known)));
    }
    let rest = rest.as_slice();
    match verb {
        "create" => Ok(Call::Create(create(&flags, only_id(verb, rest)?)?)),
        "run" => Ok(Call::Run(Run {
            create: create(&flags, only_id(verb, rest)?)?,
            detach: flags.is_on("detach")?,
            keep: flags.is_on("keep")?,
        })),
        "start" => Ok(Call::Start { id: only_id(verb, rest)? }),
        "state" => Ok(Call::State { id: only_id(verb, rest)? }),
        "kill" => {
            let (id, signal) = match rest {
                [id] => (id, None),
                [id, signal] => (id, Some(signal.clone())),
                _ => return Err(Failure::new("kill: expected ID [SIGNAL]")),
            };
            Ok(Call::Kill(Kill { id: container_id(id)?, signal, all: flags.is_on("all")? }))
        }
        "delete" => Ok(Call::Delete { id: only_id(verb, rest)?, force: flags.is_on("force")? }),
        "list" => {
            nothing_follows(verb, rest)?;
            Ok(Call::List(List { format: flags.format()?, quiet: flags.is_on("quiet")? }))
        }
        "ps" => {
            let (id, options) = rest.split_first().ok_or_else(|| missing_id(verb))?;
            Ok(Call::Ps(Ps { id: container_id(id)?, format: flags.format()?, options: options.to_vec() }))
        }
        "pause" => Ok(Call::Pause { id: only_id(verb, rest)? }),
        "resume" => Ok(Call::Resume { id: only_id(verb, rest)? }),
        "update" => Ok(Call::Update(Update {
            id: only_id(verb, rest)?,
            resources: flags.path("resources"),
            flags: flags.all_texts()?,
        })),
        "events" => Ok(Call::Events(Events {
            id: only_id(verb, rest)?,
            interval: match flags.text("interval")? {
                None => Duration::from_secs(5),
                Some(text) => duration(&text).filter(|interval| !interval.is_zero()).ok_or_else(|| {
                    Failure::new(format!("events: --interval {text:?}: a time such as 5s is expected"))
                })?,
            },
            stats: flags.is_on("stats")?,
        })),
        "exec" => Ok(Call::Exec(Box::new(exec(&flags, rest)?))),
        "spec" => {
            nothing_follows(verb, rest)?;
            Ok(Call::Spec { bundle: flags.path("bundle"), rootless: flags.is_on("rootless")? })
        }
        _ => {
            nothing_follows(verb, rest)?;
            Ok(Call::Features)
        }
    }
}

fn nothing_follows(verb: &str, rest: &[OsString]) -> Result<(), Failure> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Failure::new(format!("{verb}: {extra:?} follows, and nothing should"))),
    }
}

fn create(flags: &Flags, id: ContainerId) -> Result<Create, Failure> {
    Ok(Create {
        id,
        bundle: flags.path("bundle"),
        pid_file: flags.path("pid-file"),
        console_socket: flags.path("console-socket"),
        pidfd_socket: flags.path("pidfd-socket"),
        no_pivot: flags.is_on("no-pivot")?,
        no_new_keyring: flags.is_on("no-new-keyring")?,
        preserve_fds: flags.number("preserve-fds")?.unwrap_or(0),
    })
}

fn exec(flags: &Flags, rest: &[OsString]) -> Result<Exec, Failure> {
    let (id, args) = rest.split_first().ok_or_else(|| missing_id("exec"))?;
    let process = flags.path("process");
    if process.is_none() && args.is_empty() {
        return Err(Failure::new("exec: a command or --process is needed"));
    }
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| {
            Failure::new(format!("exec: {word:?} is not UTF-8, and a process is described in JSON"))
        })
    };
    Ok(Exec {
        id: container_id(id)?,
        process,
        args: args.iter().map(text).collect::<Result<_, _>>()?,
        env: variables(flags)?,
        user: flags.text("user")?.map(|word| user(&word)).transpose()?,
        additional_gids: flags
            .texts("additional-gids")?
            .iter()
            .map(|word| id_number(word, "--additional-gids"))
            .collect::<Result<_, _>>()?,
        cwd: flags.text("cwd")?,
        tty: flags.is_on("tty")?,
        detach: flags.is_on("detach")?,
        pid_file: flags.path("pid-file"),
        console_socket: flags.path("console-socket"),
        pidfd_socket: flags.path("pidfd-socket"),
        caps: flags.texts("cap")?,
        apparmor: flags.text("apparmor")?,
        process_label: flags.text("process-label")?,
        no_new_privs: flags.choice("no-new-privs")?,
        ignore_paused: flags.is_on("ignore-paused")?,
        preserve_fds: flags.number("preserve-fds")?.unwrap_or(0),
        cgroups: flags.texts("cgroup")?,
    })
}

/// A name alone is not taken from the caller's environment, as some engines have it: a runtime's is not the person's.
fn variables(flags: &Flags) -> Result<Vec<String>, Failure> {
    let variables = flags.texts("env")?;
    let is_one = |text: &&String| text.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    match variables.iter().find(|text| !is_one(text)) {
        None => Ok(variables),
        Some(wrong) => Err(Failure::new(format!("exec: --env {wrong:?}: NAME=VALUE was expected"))),
    }
}

/// `UID[:GID]`, by number: a runtime reads no image's passwd.
fn user(word: &str) -> Result<(u32, Option<u32>), Failure> {
    match word.split_once(':') {
        Some((uid, gid)) => Ok((id_number(uid, "--user")?, Some(id_number(gid, "--user")?))),
        None => Ok((id_number(word, "--user")?, None)),
    }
}

/// 2³²−1 is no id: to the system calls it means "leave as it is".
fn id_number(word: &str, flag: &str) -> Result<u32, Failure> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let id = word.parse().ok().filter(|id| digits && *id != u32::MAX);
    id.ok_or_else(|| Failure::new(format!("exec: {flag} {word:?}: an id is a number from 0 to 4294967294")))
}

/// What is wrong with the flags or words of a verb, or with the flags before it, which have none.
fn of_verb(verb: &str, problem: String) -> Failure {
    Failure::new(if verb.is_empty() { problem } else { format!("{verb}: {problem}") })
}

fn missing_id(verb: &str) -> Failure {
    Failure::new(format!("{verb}: the container's ID is missing: see husk-oci {verb} --help"))
}

fn only_id(verb: &str, rest: &[OsString]) -> Result<ContainerId, Failure> {
    match rest {
        [id] => container_id(id),
        [] => Err(missing_id(verb)),
        [_, extra, ..] => {
            Err(Failure::new(format!("{verb}: {extra:?} follows the container's ID, and nothing should")))
        }
    }
}

fn container_id(word: &OsStr) -> Result<ContainerId, Failure> {
    word.to_string_lossy()
        .parse()
        .map_err(|error: husk_spec::oci::InvalidContainerId| Failure::new(error.to_string()))
}

/// The flags that were given, by their first names. The last of several counts.
struct Flags {
    verb: String,
    given: Vec<(&'static str, OsString)>,
}

/// Where flags may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Before everything else.
    FlagsFirst,
    /// Anywhere.
    Any,
}

/// What a word looks like.
enum Word<'w> {
    /// `--`: what follows are no flags.
    End,
    /// One or two dashes, a name, and maybe a value after `=`.
    Flag { name: &'w [u8], attached: Option<&'w [u8]> },
    /// Anything else, also a dash alone.
    Other,
}

impl<'w> Word<'w> {
    fn of(word: &'w OsStr) -> Self {
        let bare = match word.as_bytes() {
            b"--" => return Self::End,
            [b'-', b'-', bare @ ..] | [b'-', bare @ ..] if !bare.is_empty() => bare,
            _ => return Self::Other,
        };
        let mut parts = bare.splitn(2, |byte| *byte == b'=');
        Self::Flag { name: parts.next().unwrap_or_default(), attached: parts.next() }
    }
}

fn find(table: &[&'static [Flag]], name: &[u8]) -> Option<&'static Flag> {
    let is_named = |flag: &&Flag| flag.names.iter().any(|known| known.as_bytes() == name);
    table.iter().copied().flatten().find(is_named)
}

fn unknown_flag(verb: &str, word: &OsStr) -> Failure {
    let space = if verb.is_empty() { "" } else { " " };
    let word = word.to_string_lossy();
    let problem = format!("unknown flag {word}: husk-oci{space}{verb} --help names those that there are");
    of_verb(verb, problem)
}

impl Flags {
    /// Reads flags, up to `--` at most, and returns what else there is.
    fn read(
        verb: &str,
        table: &[&'static [Flag]],
        words: &[OsString],
        order: Order,
    ) -> Result<(Self, Vec<OsString>), Failure> {
        let (mut given, mut others) = (Vec::new(), Vec::new());
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            match Word::of(word) {
                Word::End => {
                    rest = after;
                    break;
                }
                Word::Other if order == Order::FlagsFirst => break,
                Word::Other => {
                    others.push(word.clone());
                    rest = after;
                }
                Word::Flag { name, attached } => {
                    let flag = find(table, name).ok_or_else(|| unknown_flag(verb, word))?;
                    let needed = || of_verb(verb, format!("{} needs a value", word.to_string_lossy()));
                    let (value, after) = match (attached, flag.value) {
                        (Some(value), _) => (OsStr::from_bytes(value), after),
                        (None, None) => (OsStr::new("true"), after),
                        (None, Some(_)) => {
                            let (value, after) = after.split_first().ok_or_else(needed)?;
                            (value.as_os_str(), after)
                        }
                    };
                    given.push((flag.names[0], value.to_owned()));
                    rest = after;
                }
            }
        }
        others.extend_from_slice(rest);
        Ok((Self { verb: verb.to_owned(), given }, others))
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_os_str())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.to_str().ok_or_else(|| self.invalid(name, value, "text"))?;
        Ok(Some(text.to_owned()))
    }

    /// Every value of a flag that may stand several times.
    fn texts(&self, name: &str) -> Result<Vec<String>, Failure> {
        let values = self.given.iter().filter(|(given, _)| *given == name);
        let text = |value: &OsString| value.to_str().map(str::to_owned);
        values.map(|(_, value)| text(value).ok_or_else(|| self.invalid(name, value, "text"))).collect()
    }

    /// All of them, by name.
    fn all_texts(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let text = |(name, value): &(&'static str, OsString)| {
            let text = value.to_str().ok_or_else(|| self.invalid(name, value, "text"))?;
            Ok((*name, text.to_owned()))
        };
        self.given.iter().rev().map(text).collect()
    }

    fn format(&self) -> Result<ListFormat, Failure> {
        match self.text("format")?.as_deref() {
            None | Some("table") => Ok(ListFormat::Table),
            Some("json") => Ok(ListFormat::Json),
            Some(other) => {
                Err(Failure::new(format!("{}: invalid --format {other:?}: it is table or json", self.verb)))
            }
        }
    }

    fn is_on(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.choice(name)?.unwrap_or(false))
    }

    /// A switch that, left out, is something else than off.
    fn choice(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        truth(value.as_bytes()).map(Some).ok_or_else(|| self.invalid(name, value, "true or false"))
    }

    fn number(&self, name: &str) -> Result<Option<u32>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.to_str().and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| self.invalid(name, value, "a number"))
    }

    fn invalid(&self, name: &str, value: &OsStr, expected: &str) -> Failure {
        of_verb(&self.verb, format!("--{name} {value:?}: {expected} was expected"))
    }
}

/// A time as Go's time.ParseDuration reads it: `5s`, `1m30s`, `250ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// The words that Go's strconv.ParseBool knows.
fn truth(word: &[u8]) -> Option<bool> {
    match word {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(Globals, Call), Failure> {
        let (globals, call) = parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        call.map(|call| (globals, call))
    }

    #[test]
    fn flags_come_in_all_forms_of_go() {
        for line in [
            "--root /r --log-format json create --bundle /b c",
            "-root=/r -log-format=json create -bundle=/b c",
            "--root=/r --log-format=json create -b /b c",
        ] {
            let (globals, call) = parsed(line).expect(line);
            assert_eq!((globals.root, globals.log_format), (Some("/r".into()), LogFormat::Json), "{line}");
            let Call::Create(create) = call else { panic!("{line}") };
            assert_eq!((create.bundle, create.id.as_str()), (Some("/b".into()), "c"), "{line}");
        }
    }

    #[test]
    fn a_switch_can_be_off() {
        let force = |line: &str| match parsed(line) {
            Ok((_, Call::Delete { force, .. })) => force,
            other => panic!("{other:?}"),
        };
        assert!(force("delete --force c") && force("delete -f c") && force("delete --force=true c"));
        assert!(!force("delete --force=false c") && !force("delete c"));
    }

    #[test]
    fn flags_of_a_verb_may_follow_but_those_of_a_command_are_its_own() {
        assert!(matches!(parsed("delete c --force"), Ok((_, Call::Delete { force: true, .. }))));
        assert!(matches!(parsed("kill c 9 -a"), Ok((_, Call::Kill(Kill { all: true, .. })))));
        let Ok((_, Call::Exec(exec))) = parsed("exec -e A=b --env=C=d c ls -e x") else { panic!("exec") };
        assert_eq!(
            (exec.args, exec.env),
            (["ls", "-e", "x"].map(Into::into).into(), ["A=b", "C=d"].map(Into::into).into())
        );
    }

    #[test]
    fn behind_two_dashes_and_as_one_dash_nothing_is_a_flag() {
        let state = |line: &str| match parsed(line) {
            Ok((_, Call::State { id })) => id.to_string(),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!((state("state -"), state("state -- -h")), ("-".to_owned(), "-h".to_owned()));
        assert_eq!(state("--root /r -- state c"), "c");
        let Ok((_, Call::Exec(exec))) = parsed("exec -t -- c -e") else { panic!("exec") };
        assert_eq!((exec.tty, exec.args), (true, vec!["-e".to_owned()]));
        assert!(parsed("state ---x c").is_err_and(|failure| failure.message.contains("unknown flag ---x")));
    }

    #[test]
    fn a_choice_that_is_left_out_is_neither() {
        let choice = |line: &str| match parsed(line) {
            Ok((_, Call::Exec(exec))) => exec.no_new_privs,
            other => panic!("{other:?}"),
        };
        assert_eq!(choice("exec c true"), None);
        assert_eq!(choice("exec --no-new-privs c true"), Some(true));
        assert_eq!(choice("exec --no-new-privs=false c true"), Some(false));
        assert!(parsed("--rootless auto state c").is_ok() && parsed("--rootless=false state c").is_ok());
        assert!(parsed("--rootless perhaps state c").is_err());
    }

    #[test]
    fn every_verb_of_the_definition_is_read() {
        for verb in husk_oci::definition::VERBS {
            let words = verb.arguments.split_whitespace().take(1).map(|_| "c");
            let command = if verb.name == "exec" { " true" } else { "" };
            let line = format!("{} {}{command}", verb.name, words.collect::<String>());
            parsed(&line).unwrap_or_else(|failure| panic!("{line}: {}", failure.message));
            let help = format!("{} --help", verb.name);
            assert!(matches!(parsed(&help), Ok((_, Call::Help(Some(of)))) if of.name == verb.name), "{help}");
        }
        for verb in CHECKPOINTS {
            let line = format!("{verb} --image-path /x c");
            assert!(parsed(&line).is_err_and(|failure| failure.message.contains("no checkpoint")), "{line}");
        }
    }

    #[test]
    fn times_are_read_as_go_reads_them() {
        let millis = |text: &str| duration(text).map(|time| time.as_millis());
        assert_eq!(millis("5s"), Some(5000));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("250ms"), Some(250));
        assert_eq!(millis("1.5s"), Some(1500));
        assert_eq!([millis(""), millis("5"), millis("s"), millis("5x")], [None; 4]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in [
            "--wat create c",
            "create --wat c",
            "create --force c",
            "frobnicate",
            "create",
            "create a b",
            "create ../a",
            "exec -e A c true",
            "exec -e =a c true",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert_eq!(
            parsed("create --wat c").map(drop).map_err(|f| f.message),
            Err("create: unknown flag --wat: husk-oci create --help names those that there are".into())
        );
        assert_eq!(
            parsed("--wat create c").map(drop).map_err(|f| f.message),
            Err("unknown flag --wat: husk-oci --help names those that there are".into())
        );
        assert_eq!(parsed("--root").map(drop).map_err(|f| f.message), Err("--root needs a value".into()));
        assert_eq!(
            parsed("start").map(drop).map_err(|f| f.message),
            Err("start: the container's ID is missing: see husk-oci start --help".into())
        );
    }
}
