// SPDX-License-Identifier: Apache-2.0
//! Security modules, system call filters, and whether husk is in a container itself.

use husk_plan::survey::Survey;

use super::{Facts, Finding, Group, list};

const SECURITY: Group = Group::Security;

/// The first version of Landlock that can limit the network and abstract sockets too.
const FULL_LANDLOCK: u32 = 6;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let survey = &facts.survey;
    let mut findings = vec![modules(survey)];
    findings.extend(label(survey));
    findings.extend(survey.selinux_enforces.map(selinux));
    findings.extend([landlock(facts), seccomp(survey), actions(survey), nested(survey)]);
    findings
}

fn modules(survey: &Survey) -> Finding {
    let found = match &survey.security_modules {
        Some(modules) if modules.is_empty() => "none".to_owned(),
        Some(modules) => modules.join(" "),
        None => "cannot be read: /sys/kernel/security is not mounted, or not yours to read".to_owned(),
    };
    Finding::good(SECURITY, "modules", found)
}

fn label(survey: &Survey) -> Option<Finding> {
    let label = survey.label.as_deref()?;
    let found = format!("husk runs as {label}");
    if label.starts_with("unconfined") || label.contains("unconfined_t") {
        return Some(Finding::good(SECURITY, "label", found));
    }
    let cost = "its profile may refuse what a container needs: mounts, namespaces, capabilities";
    Some(match label.ends_with("(enforce)") || label.contains(':') {
        true => Finding::limited(SECURITY, "label", found, cost)
            .cure("if something is refused: journalctl -k --grep 'apparmor=|avc:'"),
        false => Finding::good(SECURITY, "label", found),
    })
}

fn selinux(enforces: bool) -> Finding {
    match enforces {
        false => Finding::good(SECURITY, "selinux", "permissive: refuses nothing"),
        true => Finding::limited(
            SECURITY,
            "selinux",
            "enforces its policy",
            "husk labels no files: what a container may read is decided by the labels that they have",
        )
        .cure("if something is refused: ausearch -m avc -ts recent"),
    }
}

fn landlock(facts: &Facts) -> Finding {
    match facts.trials.landlock {
        Some(version) if version >= FULL_LANDLOCK => {
            Finding::good(SECURITY, "landlock", format!("version {version}"))
        }
        Some(version) => Finding::good(
            SECURITY,
            "landlock",
            format!(
                "version {version}, of which the newest kernels have {FULL_LANDLOCK} and more; husk does not use it yet"
            ),
        ),
        None => Finding::good(SECURITY, "landlock", "not there; husk does not use it yet"),
    }
}

fn seccomp(survey: &Survey) -> Finding {
    match survey.seccomp {
        Some(0) => Finding::good(SECURITY, "seccomp", "no filter on husk itself"),
        Some(_) => Finding::limited(
            SECURITY,
            "seccomp",
            "a filter is on husk itself, as inside a container",
            "it may refuse calls that husk or the command needs; the rows of the kernel say which of husk's",
        )
        .cure("for Docker: --security-opt seccomp=unconfined"),
        None => Finding::good(SECURITY, "seccomp", "whether a filter is on husk itself cannot be told"),
    }
}

fn actions(survey: &Survey) -> Finding {
    if survey.seccomp_actions.is_empty() {
        let found = "whether the kernel has seccomp filters cannot be told";
        return Finding::good(SECURITY, "seccomp-actions", found);
    }
    let wanted = ["kill_process", "errno", "user_notif", "log", "allow"];
    let absent: Vec<_> =
        wanted.into_iter().filter(|name| !survey.seccomp_actions.iter().any(|have| have == name)).collect();
    match absent.as_slice() {
        [] => Finding::good(SECURITY, "seccomp-actions", survey.seccomp_actions.join(" ")),
        absent => Finding::good(
            SECURITY,
            "seccomp-actions",
            format!("{}, without {}", survey.seccomp_actions.join(" "), list(absent)),
        ),
    }
}

fn nested(survey: &Survey) -> Finding {
    let mut signs = Vec::new();
    if survey.first_pid_namespace == Some(false) {
        signs.push("a pid namespace of its own".to_owned());
    }
    if survey.first_user_namespace == Some(false) {
        signs.push("a user namespace of its own".to_owned());
    }
    signs.extend(survey.markers.iter().cloned());
    if signs.is_empty() {
        return Finding::good(Group::Nesting, "nested", "no: this is the machine itself");
    }
    let cost = "whatever the outer container refuses, husk cannot give";
    Finding::limited(Group::Nesting, "nested", format!("husk runs in a container: {}", list(&signs)), cost)
}
