// SPDX-License-Identifier: Apache-2.0
//! User namespaces, what works in them, and which ids can be mapped.

use std::path::PathBuf;

use husk_plan::explain;
use husk_plan::survey::{Account, Helper, SWITCHES, Survey};
use rustix::io::Errno;

use super::{Facts, Finding, Group, Tried, list};
use crate::hint::switched_off_in;

const USERS: Group = Group::Users;
const IDS: Group = Group::Ids;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let survey = &facts.survey;
    let mut findings = vec![user_namespaces(facts)];
    findings.extend(ordinary(facts));
    findings.push(limits(survey));
    findings.extend(switch(survey, "userns-clone", "kernel/unprivileged_userns_clone", "0"));
    findings.extend(switch(survey, "apparmor-userns", "kernel/apparmor_restrict_unprivileged_userns", "1"));
    findings.push(inside("map-ids", "an id can be mapped in it", facts.trials.maps, facts));
    findings.push(inside("mounts-inside", "mounts can be changed in it", facts.trials.mounts, facts));
    findings.push(inside("tmpfs", "a new tmpfs can be mounted in it", facts.trials.tmpfs, facts));
    findings.push(
        fresh("new-proc", "/proc", facts.trials.proc, (survey, &survey.over_proc), "--share pid").needed(),
    );
    findings.push(fresh(
        "new-sysfs",
        "/sys",
        facts.trials.sysfs,
        (survey, &survey.over_sys),
        "--share net, or --hardened",
    ));
    findings.extend(ids(&survey.account));
    findings
}

fn user_namespaces(facts: &Facts) -> Finding {
    let cost = "no container can run with husk's defaults";
    match facts.trials.user_namespace {
        Some(Err(errno)) => {
            let found = format!("refused: {}", explain::errno(errno));
            let cure = switched_off_in(&facts.survey).unwrap_or(
                "inside another container, that one must allow them (for Docker: --security-opt seccomp=unconfined, or --privileged)",
            );
            let cost = match facts.survey.account.privileged {
                true => "only --userns=host can work, with which the container's root is root",
                false => cost,
            };
            Finding::missing(USERS, "user-namespaces", found, cost).cure(cure)
        }
        _ => Finding::good(USERS, "user-namespaces", format!("{} may make them", facts.survey.account.called())),
    }
    .needed()
}

/// As root: how it would be for somebody else.
fn ordinary(facts: &Facts) -> Option<Finding> {
    let refused = |errno: Errno, what: &str| {
        let found = format!("{what}: {}", explain::errno(errno));
        let cost = "husk works for root alone on this host";
        let cure = switched_off_in(&facts.survey).unwrap_or("look at the security modules and filters below");
        Finding::missing(USERS, "rootless", found, cost).cure(cure)
    };
    Some(match (facts.trials.ordinary?, facts.trials.ordinary_mounts) {
        (Err(errno), _) => refused(errno, "an ordinary user is refused a user namespace"),
        (Ok(()), Some(Err(errno))) => {
            refused(errno, "an ordinary user may mount nothing in a user namespace")
        }
        (Ok(()), _) => {
            Finding::good(USERS, "rootless", "ordinary users may make user namespaces, and mount in them")
        }
    })
}

fn limits(survey: &Survey) -> Finding {
    let counted = SWITCHES.iter().filter(|name| name.starts_with("user/max_"));
    let of_none = counted.clone().filter(|name| survey.switch(name) == Some("0"));
    let names: Vec<String> = of_none.map(|name| name.replace('/', ".")).collect();
    if names.is_empty() {
        let found = match survey.switch("user/max_user_namespaces") {
            Some(value) => format!("user.max_user_namespaces is {value}"),
            None => "no limit on the number of namespaces can be read".to_owned(),
        };
        return Finding::good(USERS, "max-namespaces", found);
    }
    let set: Vec<_> = names.iter().map(|name| format!("{name}=15000")).collect();
    Finding::missing(
        USERS,
        "max-namespaces",
        format!("{} is 0", list(&names)),
        "none of that kind can be made, by nobody",
    )
    .cure(format!("as root: sysctl {}", set.join(" ")))
}

/// A switch that only some kernels have. What it does to root is nothing.
fn switch(survey: &Survey, id: &str, name: &str, refusing: &str) -> Option<Finding> {
    let value = survey.switch(name)?;
    let found = format!("{} is {value}", name.replace('/', "."));
    if value != refusing {
        return Some(Finding::good(USERS, id, found));
    }
    let cost = "husk does not work for ordinary users";
    let cure = switched_off_in(survey).unwrap_or_default();
    Some(
        match survey.account.privileged {
            true => Finding::limited(USERS, id, found, cost),
            false => Finding::missing(USERS, id, found, cost),
        }
        .cure(cure),
    )
}

fn inside(id: &str, what: &str, tried: Tried, facts: &Facts) -> Finding {
    match tried {
        Some(Ok(())) => Finding::good(USERS, id, what),
        Some(Err(errno)) => {
            let found = format!("cannot be done in a user namespace: {}", explain::errno(errno));
            let cure = switched_off_in(&facts.survey).unwrap_or(
                "look at the security modules below; inside another container, that one must allow it",
            );
            Finding::missing(USERS, id, found, "no container can run with husk's defaults").cure(cure)
        }
        None => untried(id),
    }
    .needed()
}

fn untried(id: &str) -> Finding {
    let cost = "there is no user namespace to try it in";
    Finding::limited(USERS, id, "could not be tried", cost)
}

/// A new proc or sysfs: the kernel refuses one that would show what is hidden here (`mount_too_revealing`).
fn fresh(id: &str, top: &str, tried: Tried, (survey, over): (&Survey, &[PathBuf]), instead: &str) -> Finding {
    let errno = match tried {
        Some(Ok(())) => return Finding::good(USERS, id, format!("a new {top} can be mounted in it")),
        None => return untried(id),
        Some(Err(errno)) => errno,
    };
    let hidden: Vec<_> = over.iter().map(|path| path.display().to_string()).collect();
    let found = match hidden.as_slice() {
        [] => format!("no new {top} in a user namespace: {}", explain::errno(errno)),
        some => format!(
            "no new {top} in a user namespace, because {} {} a part of it here",
            list(some),
            hide(some)
        ),
    };
    let cure = match (hidden.as_slice(), switched_off_in(survey)) {
        ([], Some(cure)) => cure.to_owned(),
        ([], None) => {
            format!("show {top} where husk runs (for Docker: --security-opt systempaths=unconfined)")
        }
        (some, _) => format!(
            "as root: umount {}; inside another container: show it there (for Docker: --security-opt systempaths=unconfined)",
            some.join(" ")
        ),
    };
    Finding::missing(USERS, id, found, format!("a container has to share the host's: husk run {instead}"))
        .cure(cure)
}

fn hide(what: &[String]) -> &'static str {
    if what.len() == 1 { "hides" } else { "hide" }
}

fn ids(account: &Account) -> Vec<Finding> {
    if account.privileged {
        return vec![as_root(account)];
    }
    let helpers = [("newuidmap", &account.newuidmap), ("newgidmap", &account.newgidmap)];
    let ranges = [("subuid", &account.subordinate_uids), ("subgid", &account.subordinate_gids)];
    let ranges = ranges.map(|(name, ranges)| range(name, ranges, account));
    ranges.into_iter().chain(helpers.map(|(name, found)| helper(name, found.as_ref()))).collect()
}

fn as_root(account: &Account) -> Finding {
    if account.has_all_ids() {
        return Finding::good(IDS, "ids", "each container gets 65536 ids that nobody else has");
    }
    let cost = "a container's root has the id of this root, and may write its files";
    Finding::limited(IDS, "ids", "husk is root of a nested user namespace", cost)
}

/// What it costs to have no ids but one's own.
const OWN_ALONE: &str = "only your own id is mapped: -u and chown to others fail inside";

fn range(name: &str, ranges: &[(u32, u32)], account: &Account) -> Finding {
    let file = format!("/etc/{name}");
    let called = account.called();
    match ranges.first() {
        Some((first, count)) if *count >= 65_536 => {
            Finding::good(IDS, name, format!("{count} ids from {first} on, by {file}"))
        }
        Some((first, count)) => Finding::limited(
            IDS,
            name,
            format!("only {count} ids from {first} on, by {file}"),
            "programs that expect 65536 ids, with nobody as 65534, may fail",
        ),
        None => Finding::limited(IDS, name, format!("there is no range for {called} in {file}"), OWN_ALONE),
    }
    .cure_unless_good(format!("as root: usermod --add-{name}s 100000-165535 {called}"))
}

fn helper(name: &str, found: Option<&Helper>) -> Finding {
    match found {
        Some(helper) if helper.may_map() => {
            let right = if helper.set_user_id { "set-user-id root" } else { "with file capabilities" };
            Finding::good(IDS, name, format!("{}, {right}", helper.path.display()))
        }
        Some(helper) => Finding::limited(
            IDS,
            name,
            format!("{} is neither set-user-id root nor has it file capabilities", helper.path.display()),
            OWN_ALONE,
        )
        .cure(format!("as root: chown root {0} && chmod u+s {0}", helper.path.display())),
        None => {
            Finding::limited(IDS, name, "not installed", OWN_ALONE).cure("as root: apt-get install uidmap")
        }
    }
}

impl Finding {
    fn cure_unless_good(self, cure: String) -> Self {
        if self.cost.is_none() { self } else { self.cure(cure) }
    }
}
