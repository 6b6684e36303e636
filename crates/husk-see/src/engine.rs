// SPDX-License-Identifier: Apache-2.0
//! Who made a container, as far as that can be known from outside.
//!
//! In this order: the process that it was started by, which is on the host; its cgroup, which an engine chose; the first
//! process's own name, which proves nothing, since whoever is inside can choose it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::cgroup::Cgroup;
use crate::process::Process;
use crate::text::Text;

/// A program that makes containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// husk.
    Husk,
    /// Docker.
    Docker,
    /// Podman, Buildah.
    Podman,
    /// containerd, with another client than Docker.
    Containerd,
    /// CRI-O.
    CriO,
    /// Kubernetes, by whichever of them.
    Kubernetes,
    /// `bwrap`.
    Bubblewrap,
    /// Flatpak.
    Flatpak,
    /// `systemd-nspawn`.
    Nspawn,
    /// A service of systemd's with a sandbox.
    Systemd,
    /// LXC, Incus, LXD.
    Lxc,
    /// Firejail.
    Firejail,
    /// The sandbox of Chrome, Chromium and what is made from them.
    Chrome,
    /// The sandbox of Firefox.
    Firefox,
    /// `unshare`.
    Unshare,
    /// Not known.
    Unknown,
}

impl Engine {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Husk => "husk",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Kubernetes => "kubernetes",
            Self::Bubblewrap => "bwrap",
            Self::Flatpak => "flatpak",
            Self::Nspawn => "nspawn",
            Self::Systemd => "systemd",
            Self::Lxc => "lxc",
            Self::Firejail => "firejail",
            Self::Chrome => "chrome",
            Self::Firefox => "firefox",
            Self::Unshare => "unshare",
            Self::Unknown => "?",
        }
    }
}

/// Who made a container, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The engine.
    pub engine: Engine,
    /// The engine's id of the container.
    pub id: Option<Text>,
    /// The engine's name of it.
    pub name: Option<Text>,
}

impl Maker {
    const UNKNOWN: Self = Self { engine: Engine::Unknown, id: None, name: None };

    fn new(engine: Engine) -> Self {
        Self { engine, ..Self::UNKNOWN }
    }
}

/// Who made the container with this first process.
pub(crate) fn recognise(first: &Process, outside: &[&Process], cgroups: &[Cgroup]) -> Maker {
    let by_cgroup = cgroups.iter().find_map(|cgroup| by_cgroup(&cgroup.path, first));
    let by_maker = outside.iter().find_map(|process| by_process(process));
    let Some(maker) = by_maker else {
        return by_cgroup.or_else(|| by_own_name(first)).unwrap_or(Maker::UNKNOWN);
    };
    match by_cgroup {
        // bwrap is only the hand of Flatpak.
        Some(known) if known.engine == Engine::Flatpak => known,
        Some(known) if maker.id.is_none() && known.engine == maker.engine => {
            Maker { name: maker.name.or(known.name), ..known }
        }
        _ => maker,
    }
}

fn by_process(process: &Process) -> Option<Maker> {
    let program = process.program();
    let words = &process.command;
    let value = |names: &[&str]| names.iter().find_map(|name| option(words, name));
    let with = |engine, id, name| Some(Maker { engine, id, name });
    match &*program.unicode() {
        "husk" => with(Engine::Husk, None, option(husks_options(words)?, "--name")),
        "bwrap" => Some(Maker::new(Engine::Bubblewrap)),
        "unshare" => Some(Maker::new(Engine::Unshare)),
        "conmon" => {
            let is_crio = words.iter().any(|word| word.unicode().contains("crio"));
            let engine = if is_crio { Engine::CriO } else { Engine::Podman };
            with(engine, value(&["-c", "--cid"]), value(&["-n", "--name"]))
        }
        program if program.starts_with("containerd-shim") => {
            let engine = match value(&["-namespace", "--namespace"]) {
                Some(namespace) if namespace.is("moby") => Engine::Docker,
                Some(namespace) if namespace.is("k8s.io") => Engine::Kubernetes,
                _ => Engine::Containerd,
            };
            with(engine, value(&["-id", "--id"]), None)
        }
        "systemd-nspawn" => with(Engine::Nspawn, None, value(&["-M", "--machine"])),
        "lxc-start" | "lxc-execute" => with(Engine::Lxc, None, value(&["-n", "--name"])),
        "firejail" => with(Engine::Firejail, None, value(&["--name"])),
        _ if process.name.is("[lxc monitor]") => Some(Maker::new(Engine::Lxc)),
        _ => None,
    }
}

/// The options of husk's runs that take no value, without their dashes.
pub const HUSK_FLAGS: &[&str] = &[
    "allow-setuid",
    "as-shell",
    "chroot",
    "ephemeral",
    "explain",
    "hardened",
    "help",
    "i",
    "init",
    "interactive",
    "no-systemd-cgroup",
    "q",
    "quiet",
    "read-only",
    "rm",
    "systemd-cgroup",
    "t",
    "timing",
    "tty",
];

/// The words of husk's that run a container, up to the root or the `--` in its place: what follows is the container's own. `None` if they
/// run none.
fn husks_options(words: &[Text]) -> Option<&[Text]> {
    let is_at = |index: usize, known: &[&str]| {
        words.get(index).is_some_and(|word| known.iter().any(|known| word.is(known)))
    };
    let first = match () {
        () if is_at(1, &["run"]) => 1,
        () if is_at(1, &["why", "step", "explain"]) && is_at(2, &["run"]) => 2,
        () if is_at(1, &["why"]) && is_at(2, &["--"]) => return Some(&words[..2]),
        () => return None,
    };
    let mut end = first + 1;
    while let Some(word) = words.get(end) {
        end += match word.bytes() {
            b"--" | b"-" => break,
            [b'-', b'-', name @ ..] if name.contains(&b'=') || is_flag(name) => 1,
            [b'-', b'-', ..] => 2,
            // Letters together: the first that takes a value has the others for it, or the next word.
            [b'-', letters @ ..] => match letters.iter().position(|letter| !is_flag(&[*letter])) {
                Some(valued) if valued + 1 == letters.len() => 2,
                _ => 1,
            },
            _ => break,
        };
    }
    words.get(first..end.min(words.len()))
}

fn is_flag(name: &[u8]) -> bool {
    HUSK_FLAGS.iter().any(|flag| flag.as_bytes() == name)
}

/// The value of an option: the word after it, or what follows its `=`.
fn option(words: &[Text], name: &str) -> Option<Text> {
    let mut words = words.iter().skip(1).take_while(|word| !word.is("--"));
    words
        .by_ref()
        .find_map(|word| {
            let rest = word.bytes().strip_prefix(name.as_bytes())?;
            match rest {
                [] => Some(None),
                [b'=', value @ ..] => Some(Some(Text::from(value))),
                _ => None,
            }
        })?
        .or_else(|| words.next().cloned())
        .filter(|value| !value.is_empty())
}

fn by_cgroup(path: &Text, first: &Process) -> Option<Maker> {
    let path = path.unicode();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let named = |engine, name: &str| Some(Maker { engine, id: None, name: Some(name.into()) });
    let numbered = |engine, id: &str| Some(Maker { engine, id: Some(id.into()), name: None });
    let is_kubernetes = parts.iter().any(|part| part.starts_with("kubepods"));
    for (index, part) in parts.iter().enumerate().rev() {
        let scope = part.strip_suffix(".scope").unwrap_or(part);
        let (prefix, id) = scope.rsplit_once('-').unwrap_or(("", scope));
        let above = index.checked_sub(1).map_or("", |above| parts[above]);
        match prefix {
            "docker" if is_id(id) => return numbered(Engine::Docker, id),
            "libpod" if is_id(id) => return numbered(Engine::Podman, id),
            "crio" if is_id(id) => return numbered(Engine::CriO, id),
            _ if is_id(id) && is_kubernetes => return numbered(Engine::Kubernetes, id),
            "cri-containerd" if is_id(id) => return numbered(Engine::Containerd, id),
            _ if is_id(part) && above == "docker" => return numbered(Engine::Docker, part),
            _ => {}
        }
        if let Some(name) = part.strip_prefix("lxc.payload.") {
            return named(Engine::Lxc, name);
        }
        if let Some(app) = scope.strip_prefix("app-flatpak-") {
            return named(Engine::Flatpak, app.rsplit_once('-').map_or(app, |(app, _)| app));
        }
        if let Some(machine) = part.strip_prefix("systemd-nspawn@") {
            return named(Engine::Nspawn, machine.strip_suffix(".service").unwrap_or(machine));
        }
    }
    let service = parts.last().and_then(|part| part.strip_suffix(".service"));
    service.filter(|_| first.parent == 1).and_then(|service| named(Engine::Systemd, service))
}

/// An engine's id as a name: the first twelve of its digits, or all of what a person has chosen.
pub(crate) fn short(id: &Text) -> Text {
    if is_id(&id.unicode()) { Text::from(&id.bytes()[..12]) } else { id.clone() }
}

/// Where a dockerd with this command line keeps its data, if that says so.
pub(crate) fn docker_data(command: &[Text]) -> Option<Text> {
    ["--data-root", "--graph", "-g"].iter().find_map(|name| option(command, name))
}

/// The name that Docker has for a container, from its file below the daemon's data: `"Name":"/web"`. With a user
/// namespace for all containers there is a directory for its ids between. Readable for root alone.
pub(crate) fn docker_name(data: &Text, id: &Text) -> Option<Text> {
    if !is_id(&id.unicode()) {
        return None;
    }
    let data = Path::new(OsStr::from_bytes(data.bytes()));
    let file = format!("containers/{}/config.v2.json", id.unicode());
    let is_for_ids = |name: &OsStr| name.as_bytes().iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.'));
    let below = fs::read_dir(data).ok()?.flatten().filter(|entry| is_for_ids(&entry.file_name()));
    let mut places = std::iter::once(data.to_owned()).chain(below.map(|entry| entry.path()));
    places.find_map(|place| name_in(&fs::read(place.join(&file)).ok()?))
}

fn name_in(config: &[u8]) -> Option<Text> {
    let key = br#""Name":"/"#;
    let start = config.windows(key.len()).position(|window| window == key)? + key.len();
    let name = config[start..].split(|byte| *byte == b'"').next()?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    (!name.is_empty() && name.iter().all(is_name)).then(|| Text::from(name))
}

/// 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn by_own_name(first: &Process) -> Option<Maker> {
    let program = first.program();
    let engine = match &*program.unicode() {
        "bwrap" => Engine::Bubblewrap,
        "unshare" => Engine::Unshare,
        "chrome" | "chromium" | "msedge" | "brave" | "electron" | "opera" | "vivaldi-bin" => Engine::Chrome,
        _ if first.command.iter().any(|word| word.bytes().starts_with(b"--type=zygote")) => Engine::Chrome,
        "firefox" | "firefox-esr" | "firefox-bin" => Engine::Firefox,
        _ => return None,
    };
    Some(Maker::new(engine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn process(command: &[&str]) -> Process {
        let command = command.iter().map(|word| Text::from(*word)).collect();
        Process { pid: 5, parent: 1, command, ..Process::default() }
    }

    fn made(outside: &[&str], path: &str) -> (Engine, Option<String>, Option<String>) {
        let (first, outside) = (process(&["/bin/sh"]), process(outside));
        let cgroup = Cgroup { controllers: Text::default(), path: path.into() };
        let Maker { engine, id, name } = recognise(&first, &[&outside], &[cgroup]);
        let text = |text: Option<Text>| text.map(|text| text.to_string());
        (engine, text(id), text(name))
    }

    #[test]
    fn the_process_that_started_it_tells() {
        let id = || Some(ID.to_owned());
        let name = |name: &str| Some(name.to_owned());
        let shim = ["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", ID, "-address", "x"];
        assert_eq!(made(&shim, "/"), (Engine::Docker, id(), None));
        let conmon = ["/usr/bin/conmon", "--api-version", "1", "-c", ID, "-u", ID, "-n", "web"];
        assert_eq!(made(&conmon, "/"), (Engine::Podman, id(), name("web")));
        assert_eq!(made(&["/x/husk", "run", "--name=box", "root"], "/"), (Engine::Husk, None, name("box")));
        assert_eq!(made(&["/x/husk", "run", "root", "--", "--name", "x"], "/"), (Engine::Husk, None, None));
        for line in ["husk see", "husk", "husk why", "husk why web", "husk explain --pid 7", "husk step"] {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(made(&words, "/"), (Engine::Unknown, None, None), "{line}");
        }
        assert_eq!(made(&["unshare", "--pid", "--fork"], "/"), (Engine::Unshare, None, None));
        assert_eq!(made(&["systemd-nspawn", "-M", "m1"], "/"), (Engine::Nspawn, None, name("m1")));
    }

    #[test]
    fn a_husk_is_known_by_each_word_that_runs_and_its_container_by_its_own_options() {
        let name = |line: &str| {
            let (engine, _, name) = made(&line.split(' ').collect::<Vec<_>>(), "/");
            assert_eq!(engine, Engine::Husk, "{line}");
            name
        };
        for run in ["run", "why run", "step run --until root", "explain run --timing"] {
            for before in
                ["", " -q", " -itq -m 64m", " -m64m -e A=1 -qe A", " --memory=1g --tty", " --user --rm"]
            {
                for (options, its) in [(" --name web", Some("web")), (" --name=web", Some("web")), ("", None)]
                {
                    let own =
                        [" root", " -- sh", ""].map(|rest| format!("husk {run}{before}{options}{rest}"));
                    for line in own {
                        assert_eq!(name(&line).as_deref(), its, "{line}");
                    }
                    let line = format!("husk {run}{before}{options} root prog --name other -n");
                    assert_eq!(name(&line).as_deref(), its, "{line}");
                }
            }
        }
        assert_eq!(name("husk why -- prog --name other"), None);
        // One that is about to end, or that has not begun.
        let silent = Process { name: "husk".into(), ..process(&[]) };
        assert_eq!(recognise(&process(&["/bin/sh"]), &[&silent], &[]), Maker::UNKNOWN);
    }

    #[test]
    fn a_chosen_id_is_a_name_and_a_long_one_is_shortened() {
        assert_eq!(short(&ID.into()), "0123456789ab".into());
        assert_eq!(short(&"web".into()), "web".into());
    }

    #[test]
    fn where_docker_keeps_its_data() {
        let data = |words: &[&str]| {
            let words: Vec<Text> = words.iter().map(|word| Text::from(*word)).collect();
            docker_data(&words)
        };
        assert_eq!(data(&["dockerd", "--data-root=/data"]), Some("/data".into()));
        assert_eq!(data(&["dockerd", "-g", "/old"]), Some("/old".into()));
        assert_eq!(data(&["dockerd", "-H", "unix:///x"]), None);
    }

    #[test]
    fn the_name_in_dockers_file() {
        assert_eq!(name_in(br#"{"State":{},"Name":"/web-1","Driver":"x"}"#), Some("web-1".into()));
        assert_eq!(name_in(br#"{"Name":"/a b"}"#), None);
        assert_eq!(name_in(b"{}"), None);
    }

    #[test]
    fn the_cgroup_tells() {
        let by = |path: String| made(&["sh"], &path);
        let id = || Some(ID.to_owned());
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(by(format!("/system.slice/docker-{ID}.scope")), (Engine::Docker, id(), None));
        assert_eq!(by(format!("/docker/{ID}")), (Engine::Docker, id(), None));
        assert_eq!(by(format!("/machine.slice/libpod-{ID}.scope/container")), (Engine::Podman, id(), None));
        let pod = format!("/kubepods.slice/kubepods-burstable.slice/cri-containerd-{ID}.scope");
        assert_eq!(by(pod), (Engine::Kubernetes, id(), None));
        assert_eq!(by("/lxc.payload.web/init.scope".into()), (Engine::Lxc, None, name("web")));
        let flatpak = "/user.slice/app.slice/app-flatpak-org.gimp.GIMP-4711.scope";
        assert_eq!(by(flatpak.into()), (Engine::Flatpak, None, name("org.gimp.GIMP")));
        assert_eq!(made(&["bwrap"], flatpak), (Engine::Flatpak, None, name("org.gimp.GIMP")));
        assert_eq!(by("/system.slice/chrony.service".into()), (Engine::Systemd, None, name("chrony")));
        assert_eq!(by(format!("/user.slice/{ID}")), (Engine::Unknown, None, None));
    }

    proptest! {
        #[test]
        fn no_command_line_does_harm(words in vec("husk|run|why|step|--|-[a-z]{0,3}|--[a-z]{0,3}=?|\\PC*", 0..6)) {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let _ = made(&words, "/");
            let _ = made(&[&["husk"], words.as_slice()].concat(), "/");
        }
    }
}
