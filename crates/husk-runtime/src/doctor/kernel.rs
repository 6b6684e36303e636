// SPDX-License-Identifier: Apache-2.0
//! The kernel: its version, system calls, namespaces and file systems.

use husk_plan::explain;
use husk_plan::survey::Survey;
use husk_spec::NamespaceKind;
use husk_sys::Trial;
use rustix::io::Errno;

use super::{Facts, Finding, Group, list};

const KERNEL: Group = Group::Kernel;

/// What husk needs, as docs/kernel.md has it.
const OLDEST: (u32, u32) = (5, 14);

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![version(&facts.survey)];
    findings.extend(facts.trials.calls.iter().map(|(trial, errno)| call(&facts.survey, *trial, *errno)));
    findings.extend(NamespaceKind::ALL.into_iter().map(|kind| namespace(facts, kind)));
    findings.extend([
        filesystems(&facts.survey),
        overlay(&facts.survey),
        overlay_upper(&facts.survey),
        idmap(facts),
    ]);
    findings
}

fn version(survey: &Survey) -> Finding {
    let release = format!("Linux {}", survey.release);
    if survey.kernel >= OLDEST {
        return Finding::good(KERNEL, "version", release).needed();
    }
    let cost = format!("husk needs Linux {}.{} or later", OLDEST.0, OLDEST.1);
    Finding::missing(KERNEL, "version", release, cost).cure("install a newer kernel, then: reboot").needed()
}

fn call(survey: &Survey, trial: Trial, errno: Option<Errno>) -> Finding {
    let cost = "husk has nothing in its place: no container can run";
    let filter =
        "if husk is inside a container, let it through there (for Docker: --security-opt seccomp=unconfined)";
    // Where the kernel asks for a privilege before it looks at anything else, EPERM says nothing about a filter.
    let asks_first = matches!(
        trial,
        Trial::Fsconfig | Trial::Fsmount | Trial::Fsopen | Trial::MoveMount | Trial::OpenTree
    );
    let (found, cure) = match errno {
        Some(Errno::NOSYS) if survey.kernel >= OLDEST => ("not there: a seccomp filter hides it", filter),
        Some(Errno::NOSYS) => ("not there: the kernel is too old", "install a newer kernel, then: reboot"),
        Some(Errno::PERM) if !asks_first => ("refused by a seccomp filter", filter),
        _ => return Finding::good(KERNEL, trial.name(), "there").needed(),
    };
    Finding::missing(KERNEL, trial.name(), found, cost).cure(cure).needed()
}

fn namespace(facts: &Facts, kind: NamespaceKind) -> Finding {
    let name = kind.file_name();
    // Where /proc cannot be read, the trial alone tells.
    let there = facts.survey.namespaces.contains(&kind) || !facts.survey.has_proc;
    match (there, facts.trials.kind(kind)) {
        (false, _) => absent(kind),
        (_, Some(Err(errno))) => {
            let found = format!("refused: {}", explain::errno(errno));
            let cost = format!("a container can only have the host's: husk run --share {name} …");
            let refused = Finding::missing(KERNEL, name, found, cost);
            let limit = format!("user/max_{name}_namespaces");
            match facts.survey.switch(&limit) {
                Some("0") => refused.cure(format!("as root: sysctl user.max_{name}_namespaces=15000")),
                _ => refused
                    .cure("look at `nested`, `seccomp` and `label`: whatever is around husk refuses it"),
            }
        }
        _ => Finding::good(KERNEL, name, format!("{} namespaces", explain::namespace(kind))),
    }
    .needed_if(kind != NamespaceKind::Time)
}

fn absent(kind: NamespaceKind) -> Finding {
    let (name, config) = (kind.file_name(), kind.file_name().to_uppercase());
    let found = format!("the kernel has no {} namespaces", explain::namespace(kind));
    if kind == NamespaceKind::Time {
        let cost = "--boottime and --monotonic cannot work; without them nothing is lost";
        return Finding::limited(KERNEL, name, found, cost).cure("a kernel built with CONFIG_TIME_NS=y");
    }
    let config = if kind == NamespaceKind::Mount { "NAMESPACES".to_owned() } else { format!("{config}_NS") };
    let cost = "husk makes one for each container unless it is shared";
    Finding::missing(KERNEL, name, found, cost).cure(format!("a kernel built with CONFIG_{config}=y"))
}

fn filesystems(survey: &Survey) -> Finding {
    let wanted = ["proc", "sysfs", "tmpfs", "devpts", "mqueue"];
    if !survey.has_proc {
        return Finding::limited(
            KERNEL,
            "filesystems",
            "cannot be told without /proc",
            "husk needs the host's /proc",
        )
        .cure("as root: mount -t proc proc /proc");
    }
    let absent: Vec<_> = wanted.into_iter().filter(|name| !survey.has_filesystem(name)).collect();
    if absent.is_empty() {
        return Finding::good(KERNEL, "filesystems", list(&wanted)).needed();
    }
    let found = format!("the kernel lacks {}", list(&absent));
    Finding::missing(KERNEL, "filesystems", found, "a container has them mounted by default")
        .cure("install a kernel that has them, as those of distributions do")
        .needed()
}

fn overlay(survey: &Survey) -> Finding {
    let cost = "neither the default root nor --ephemeral can work: name a root, whose files then change";
    if survey.has_proc && !survey.has_filesystem("overlay") {
        return Finding::missing(KERNEL, "overlay", "the kernel lacks overlayfs", cost)
            .cure("as root: modprobe overlay; or: husk rootfs new box && husk run box");
    }
    if !survey.has_proc {
        return Finding::limited(KERNEL, "overlay", "cannot be told without /proc", cost)
            .cure("as root: mount -t proc proc /proc");
    }
    match survey.account.privileged {
        // For root the layers are shown through id maps.
        true if survey.kernel < (5, 19) => Finding::limited(
            KERNEL,
            "overlay",
            "no overlays on idmapped layers before Linux 5.19",
            "for root the default root and --ephemeral need --userns=host",
        )
        .cure("husk run --userns=host …"),
        _ if survey.filesystems.contains("overlay") => {
            Finding::good(KERNEL, "overlay", "overlayfs, also in user namespaces")
        }
        _ => Finding::good(KERNEL, "overlay", "overlayfs, a module that the kernel loads when asked"),
    }
}

fn overlay_upper(survey: &Survey) -> Finding {
    if survey.account.privileged || survey.kernel >= (6, 6) {
        return Finding::good(KERNEL, "overlay-upper", "the writes of an overlay can be in memory");
    }
    let cost = "in the default root and with --ephemeral, a directory that is removed and made again may show its old files";
    Finding::limited(KERNEL, "overlay-upper", "no user extended attributes on tmpfs before Linux 6.6", cost)
        .cure("run as root, or install Linux 6.6 or later")
}

fn idmap(facts: &Facts) -> Finding {
    let place = facts
        .places
        .default_root
        .as_ref()
        .map_or("the default root".into(), |path| path.display().to_string());
    match facts.trials.idmap {
        Some(Ok(())) => Finding::good(KERNEL, "idmap", format!("works on the file system of {place}")),
        None if !facts.survey.account.privileged => {
            Finding::good(KERNEL, "idmap", "not needed by an ordinary user: files belong to whom they belong")
        }
        None => Finding::limited(KERNEL, "idmap", "could not be tried", "no user namespace to try it with"),
        Some(Err(errno)) => Finding::limited(
            KERNEL,
            "idmap",
            format!("refused on the file system of {place}: {}", explain::errno(errno)),
            "containers with a root there have the host's user id 0 for their root",
        )
        .cure("put roots on ext4, xfs, btrfs or, from Linux 6.3 on, tmpfs: XDG_DATA_HOME=DIR moves the default one"),
    }
}

impl Finding {
    fn needed_if(self, needed: bool) -> Self {
        Self { needed, ..self }
    }
}
