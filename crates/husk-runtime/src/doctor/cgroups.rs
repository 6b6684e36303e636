// SPDX-License-Identifier: Apache-2.0
//! Cgroups: which version, which controllers, and how far down they are given to this user.

use husk_plan::survey::{CgroupLevel, CgroupVersion, Cgroups, WANTED};

use super::{Facts, Finding, Group, list};

const CGROUPS: Group = Group::Cgroups;

/// What it costs to have no limits.
const NO_LIMITS: &str =
    "a container runs without a limit of processes, and --memory, --cpus and the like are refused";

/// What it costs to be in a login, whose own cgroup is root's.
const ASKS: &str = "a container runs without a limit of processes, and for --memory, --cpus and the like husk has your systemd make \
                    a scope";

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let cgroups = &facts.survey.cgroups;
    let mut findings = vec![version(cgroups), controllers(cgroups)];
    let is_user = !facts.survey.account.privileged;
    if is_user && !cgroups.levels.is_empty() {
        findings.extend(levels(cgroups.way_down()));
        findings.push(delegation(facts));
    }
    findings
}

fn version(cgroups: &Cgroups) -> Finding {
    let found = match cgroups.version {
        CgroupVersion::V2 => return Finding::good(CGROUPS, "cgroup-version", "version 2"),
        CgroupVersion::Hybrid => "hybrid: the controllers in version 1, a version 2 beside it",
        CgroupVersion::V1 => "version 1",
        CgroupVersion::None => {
            let found = "no cgroup file system is mounted";
            return Finding::limited(CGROUPS, "cgroup-version", found, NO_LIMITS)
                .cure("as root: mount -t cgroup2 none /sys/fs/cgroup");
        }
    };
    Finding::limited(
        CGROUPS,
        "cgroup-version",
        found,
        "only root can set limits: version 1 cannot be given to a user",
    )
    .cure("boot with systemd.unified_cgroup_hierarchy=1")
}

fn controllers(cgroups: &Cgroups) -> Finding {
    let v2 = cgroups.levels.first().map(|top| top.controllers.clone()).unwrap_or_default();
    let has =
        |name: &str| v2.iter().any(|have| have == name) || cgroups.v1.iter().any(|(have, _)| have == name);
    let absent: Vec<_> = WANTED.into_iter().filter(|name| !has(name)).collect();
    if absent.is_empty() {
        return Finding::good(CGROUPS, "controllers", list(&WANTED));
    }
    let found = format!("{} cannot be seen from here", list(&absent));
    Finding::limited(CGROUPS, "controllers", found, NO_LIMITS)
}

/// One finding for each level that does not pass on what limits need.
fn levels(levels: &[CgroupLevel]) -> Vec<Finding> {
    let lacks = |have: &[String]| -> Vec<&str> {
        WANTED.into_iter().filter(|wanted| !have.iter().any(|name| name == wanted)).collect()
    };
    let judged = levels.iter().enumerate().map(|(depth, level)| {
        let id = format!("level:{}", level.path.display());
        let has = if level.controllers.is_empty() {
            "no controllers".to_owned()
        } else {
            level.controllers.join(" ")
        };
        let whose = if level.writable { ", yours to divide" } else { "" };
        let found = format!("{has}{whose}");
        // What a level lacks was not given by the one above it: the fault is told where it is, at the first that lacks it.
        let above = depth.checked_sub(1).map(|above| &levels[above]);
        let lost: Vec<_> = lacks(&level.controllers)
            .into_iter()
            .filter(|name| above.is_some_and(|above| above.controllers.iter().any(|have| have == name)))
            .collect();
        match above {
            Some(above) if !lost.is_empty() => {
                let cost = format!("{} does not give {} on", above.path.display(), list(&lost));
                Finding::limited(CGROUPS, id, found, cost).cure(drop_in(above))
            }
            _ => Finding::good(CGROUPS, id, found),
        }
    });
    judged.collect()
}

/// What makes systemd pass controllers on below `level`.
fn drop_in(level: &CgroupLevel) -> String {
    let path = level.path.to_string_lossy();
    match path.split('/').find(|name| name.starts_with("user@")) {
        // Within the user's own manager it is the manager that gives them on, once a unit asks.
        Some(_) => BY_SYSTEMD.to_owned(),
        None => "as root: mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory \
                 pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload; then log in again"
            .to_owned(),
    }
}

/// How to get below the user's own systemd, which gives on what it has.
const BY_SYSTEMD: &str = "systemd-run --user --scope -p Delegate=yes husk run ...";

fn delegation(facts: &Facts) -> Finding {
    let (cgroups, called) = (&facts.survey.cgroups, facts.survey.account.called());
    let is_own = cgroups.levels.iter().any(|level| level.writable);
    let Some(top) = cgroups.way_down().iter().find(|level| level.writable) else {
        let cure = match cgroups.version {
            CgroupVersion::V2 => {
                "log in by way of systemd-logind, as ssh and login do, then: systemd-run --user --scope -p Delegate=yes husk run ..."
            }
            _ => "boot with systemd.unified_cgroup_hierarchy=1",
        };
        return Finding::limited(CGROUPS, "delegation", format!("no cgroup here is {called}'s"), NO_LIMITS)
            .cure(cure);
    };
    let delegated = cgroups.delegated();
    let absent: Vec<_> = WANTED.into_iter().filter(|name| !delegated.contains(name)).collect();
    let place = top.path.display();
    match absent.as_slice() {
        [] if is_own => {
            Finding::good(CGROUPS, "delegation", format!("{called} may set limits below {place}"))
        }
        [] => {
            let found = format!("{called} may set limits below {place}, but husk runs elsewhere");
            Finding::limited(CGROUPS, "delegation", found, ASKS).cure(BY_SYSTEMD)
        }
        absent => {
            let found = format!("{called} may set limits below {place}, but not of {}", list(absent));
            Finding::limited(CGROUPS, "delegation", found, NO_LIMITS)
        }
    }
}
