// SPDX-License-Identifier: Apache-2.0
//! Users and groups by the container's own `passwd(5)` and `group(5)`, whose contents nobody vouches for.

use husk_spec::{Given, User};

use crate::PlanError;

/// A user as the container knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: Option<String>,
}

struct PasswdLine<'t> {
    name: &'t str,
    uid: u32,
    gid: u32,
    home: &'t str,
}

fn passwd_lines(text: &str) -> impl Iterator<Item = PasswdLine<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
        let home = fields.nth(1)?;
        Some(PasswdLine { name, uid, gid, home })
    })
}

struct GroupLine<'t> {
    name: &'t str,
    gid: u32,
    members: &'t str,
}

fn group_lines(text: &str) -> impl Iterator<Item = GroupLine<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, gid) = (fields.next()?, fields.next()?, id(fields.next()?)?);
        Some(GroupLine { name, gid, members: fields.next().unwrap_or("") })
    })
}

/// An id, if all of `text` is one. 2³²-1 is none: to the system calls it means "leave as it is".
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

/// Finds `user` in the texts of the container's `passwd` and `group`.
pub(crate) fn find(user: &Given<User>, passwd: &str, group: &str) -> Result<Account, PlanError> {
    let home_of = |uid: u32| {
        passwd_lines(passwd).find(|l| l.uid == uid).map(|l| l.home.to_owned()).filter(|h| h.starts_with('/'))
    };
    let typed = match &user.value {
        User::Numeric { uid, gid, groups } => {
            return Ok(Account { uid: *uid, gid: *gid, groups: groups.clone(), home: home_of(*uid) });
        }
        User::Named(typed) => typed,
    };
    let (name, group_name) = match typed.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (typed.as_str(), None),
    };
    let line = passwd_lines(passwd).find(|line| match id(name) {
        Some(uid) => line.uid == uid,
        None => line.name == name,
    });
    let uid = match (id(name), &line) {
        (Some(uid), _) => uid,
        (None, Some(line)) => line.uid,
        (None, None) if name == "root" => 0,
        (None, None) => {
            return Err(PlanError::NoSuchUser { origin: user.origin.clone(), name: name.to_owned() });
        }
    };
    let (gid, groups) = match group_name {
        Some(name) => (group_id(user, name, group)?, Vec::new()),
        None => {
            let gid = line.as_ref().map_or(0, |l| l.gid);
            let member = line.as_ref().map_or(name, |l| l.name);
            let groups = group_lines(group)
                .filter(|l| l.gid != gid && l.members.split(',').any(|m| m == member))
                .map(|l| l.gid)
                .take(64)
                .collect();
            (gid, groups)
        }
    };
    Ok(Account { uid, gid, groups, home: home_of(uid) })
}

fn group_id(user: &Given<User>, name: &str, group: &str) -> Result<u32, PlanError> {
    id(name)
        .or_else(|| group_lines(group).find(|line| line.name == name).map(|line| line.gid))
        .or_else(|| (name == "root").then_some(0))
        .ok_or_else(|| PlanError::NoSuchGroup { origin: user.origin.clone(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34::/srv:/bin/sh\nodd:x:-1:0::/:\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:web,other\ntty:x:5:other\nweb:x:34:web\n";

    fn account(typed: &str) -> Result<(u32, u32, Vec<u32>, Option<String>), PlanError> {
        find(&Given::argument(User::Named(typed.to_owned()), "-u"), PASSWD, GROUP)
            .map(|a| (a.uid, a.gid, a.groups, a.home))
    }

    #[test]
    fn names_and_numbers_as_docker_reads_them() {
        assert_eq!(account("web"), Ok((33, 34, vec![4], Some("/srv".into()))));
        assert_eq!(account("33"), Ok((33, 34, vec![4], Some("/srv".into()))));
        assert_eq!(account("web:tty"), Ok((33, 5, vec![], Some("/srv".into()))));
        assert_eq!(account("33:7"), Ok((33, 7, vec![], Some("/srv".into()))));
        assert_eq!(account("1000"), Ok((1000, 0, vec![], None)));
    }

    #[test]
    fn a_number_never_falls_back_to_a_name() {
        assert!(matches!(account("nobody"), Err(PlanError::NoSuchUser { .. })));
        assert!(matches!(account("odd"), Err(PlanError::NoSuchUser { .. })));
        assert!(matches!(account("4294967295"), Err(PlanError::NoSuchUser { .. })));
        assert!(matches!(account("+33"), Err(PlanError::NoSuchUser { .. })));
        assert!(matches!(account("web:none"), Err(PlanError::NoSuchGroup { .. })));
    }

    #[test]
    fn root_needs_no_passwd() {
        let root = Given::argument(User::Named("root".to_owned()), "-u");
        assert_eq!(find(&root, "", "").map(|a| (a.uid, a.gid)), Ok((0, 0)));
    }
}
