// SPDX-License-Identifier: Apache-2.0
//! Which user namespace a container gets, and which ids it has there.

use std::ffi::CStr;

use husk_spec::{Given, IdMapping, Origin, UserNamespace};

use crate::host::{Host, IdRange, MapHelpers};
use crate::plan::{Claim, IdMaps, Note};
use crate::{Arena, PlanError};

/// How many ids a container of root gets: as many as programs expect, `nobody` included.
const CLAIM: u32 = 1 << 16;

/// Where they are taken from: the range that systemd sets aside for containers (its UIDS-GIDS document).
const CLAIM_FIRST: u32 = 524_288;
const CLAIM_LAST: u32 = 1_879_048_191;

/// File systems that can be idmapped, by `f_type`, and the kernel since when.
const IDMAPPABLE: &[(u64, (u32, u32))] = &[
    (0xEF53, (5, 12)),      // ext2, ext3, ext4
    (0x4d44, (5, 12)),      // vfat
    (0x5846_5342, (5, 12)), // xfs
    (0x9123_683E, (5, 15)), // btrfs
    (0x7366_746e, (5, 15)), // ntfs3
    (0xF2F5_2010, (5, 18)), // f2fs
    (0xE0F5_E1E2, (5, 19)), // erofs
    (0x7371_7368, (6, 2)),  // squashfs
    (0x0102_1994, (6, 3)),  // tmpfs
    (0x00c3_6400, (6, 7)),  // cephfs
];

/// The user namespace of a plan.
#[derive(Debug)]
pub(crate) struct UserPlan<'a> {
    pub(crate) kind: UserKind<'a>,
    /// Whether husk's own ids are 0 inside already, or have to be taken.
    pub(crate) starts_as_root: bool,
    /// Whether `setgroups(2)` works inside.
    pub(crate) setgroups: bool,
    /// The user ids inside: (first, count).
    pub(crate) uids: Vec<IdRange>,
    /// The group ids inside.
    pub(crate) gids: Vec<IdRange>,
    /// Whether trees of the host are shown through the container's id maps.
    pub(crate) shift: bool,
}

#[derive(Debug)]
pub(crate) enum UserKind<'a> {
    Host,
    Join(&'a CStr),
    New { maps: IdMaps<'a>, claim: Option<Claim<'a>>, origin: Origin },
}

impl UserPlan<'_> {
    pub(crate) fn has_uid(&self, id: u32) -> bool {
        contains(&self.uids, id)
    }

    pub(crate) fn has_gid(&self, id: u32) -> bool {
        contains(&self.gids, id)
    }

    pub(crate) fn is_new(&self) -> bool {
        matches!(self.kind, UserKind::New { .. })
    }

    /// How the container could have more ids.
    pub(crate) fn cure(&self) -> &'static str {
        match &self.kind {
            UserKind::New { claim: None, .. } => CURE,
            UserKind::New { claim: Some(_), .. } | UserKind::Host => {
                "take an id that it has; --userns=host has all ids of the host, and less protection"
            }
            UserKind::Join(_) => "take an id that the joined user namespace has",
        }
    }

    pub(crate) fn is_host(&self) -> bool {
        matches!(self.kind, UserKind::Host)
    }
}

fn contains(ranges: &[IdRange], id: u32) -> bool {
    ranges.iter().any(|(first, count)| id >= *first && id - first < *count)
}

/// Whether a file system can be shown through id maps by this kernel.
pub(crate) fn is_idmappable(file_system: u64, kernel: (u32, u32)) -> bool {
    IDMAPPABLE.iter().any(|(kind, since)| *kind == file_system && kernel >= *since)
}

/// Decides on the user namespace. `root_file_system` is the `f_type` of the root's, if there is a root.
pub(crate) fn decide<'a>(
    arena: &'a Arena,
    asked: &Given<UserNamespace>,
    host: &Host,
    root_file_system: Option<u64>,
    notes: &mut Vec<Note>,
) -> Result<UserPlan<'a>, PlanError> {
    match &asked.value {
        UserNamespace::Host if !host.privileged => Err(PlanError::NeedsRoot {
            origin: asked.origin.clone(),
            what: "a container in the host's own user namespace",
        }),
        UserNamespace::Host => Ok(UserPlan {
            kind: UserKind::Host,
            starts_as_root: true,
            setgroups: !host.setgroups_denied,
            uids: inside(&host.uid_map),
            gids: inside(&host.gid_map),
            shift: false,
        }),
        UserNamespace::Join(path) => Ok(joined(host, UserKind::Join(arena.cstr(path)?))),
        UserNamespace::Mapped { uids, gids } => {
            let maps = given(arena, host, (uids, gids), &asked.origin)?;
            Ok(new(host, maps, None, asked.origin.clone(), (uids, gids), host.privileged))
        }
        UserNamespace::Single => Ok(single(arena, host, asked.origin.clone())),
        UserNamespace::Auto if host.privileged => root(arena, host, root_file_system, notes),
        UserNamespace::Auto => ordinary(arena, host, notes),
    }
}

/// The ids that there are inside.
fn inside(map: &[IdMapping]) -> Vec<IdRange> {
    map.iter().map(|m| (m.inside, m.count)).collect()
}

fn written<'a>(arena: &'a Arena, uids: &[IdMapping], gids: &[IdMapping], deny_setgroups: bool) -> IdMaps<'a> {
    IdMaps::Written { uids: arena.slice(uids), gids: arena.slice(gids), deny_setgroups }
}

/// The maps of a configuration: written by who may do that, which for an ordinary user is its own ids alone.
fn given<'a>(
    arena: &'a Arena,
    host: &Host,
    (uids, gids): (&[IdMapping], &[IdMapping]),
    origin: &Origin,
) -> Result<IdMaps<'a>, PlanError> {
    let is_own =
        |map: &[IdMapping], id| matches!(map, [IdMapping { outside, count: 1, .. }] if *outside == id);
    if host.privileged || host.uid == 0 || is_own(uids, host.uid) && is_own(gids, host.gid) {
        return Ok(written(arena, uids, gids, !host.privileged));
    }
    let (_, _, helpers) = subordinate(host).map_err(|missing| PlanError::Contradiction {
        origin: origin.clone(),
        problem: format!("ids other than your own are mapped, and {missing}"),
        hint: CURE.to_owned(),
    })?;
    by_helpers(arena, helpers, (uids, gids))
}

/// The ranges that an ordinary user may map, the first of each kind, and who does that; or what is missing.
fn subordinate(host: &Host) -> Result<(IdRange, IdRange, &MapHelpers), &'static str> {
    match (&host.map_helpers, host.subordinate_uids.first(), host.subordinate_gids.first()) {
        (Some(helpers), Some(uids), Some(gids)) => Ok((*uids, *gids, helpers)),
        (_, None, _) => Err("there is no range for you in /etc/subuid"),
        (_, _, None) => Err("there is no range for you in /etc/subgid"),
        (None, _, _) => Err("newuidmap and newgidmap are not installed"),
    }
}

fn by_helpers<'a>(
    arena: &'a Arena,
    helpers: &MapHelpers,
    (uids, gids): (&[IdMapping], &[IdMapping]),
) -> Result<IdMaps<'a>, PlanError> {
    let helpers = [arena.cstr(&helpers.newuidmap)?, arena.cstr(&helpers.newgidmap)?];
    Ok(IdMaps::ByHelpers { uids: arena.slice(uids), gids: arena.slice(gids), helpers })
}

fn new<'a>(
    host: &Host,
    maps: IdMaps<'a>,
    claim: Option<Claim<'a>>,
    origin: Origin,
    (uids, gids): (&[IdMapping], &[IdMapping]),
    shift: bool,
) -> UserPlan<'a> {
    let is_zero = |map: &[IdMapping], id| map.iter().any(|m| m.inside == 0 && m.outside == id);
    UserPlan {
        kind: UserKind::New { maps, claim, origin },
        starts_as_root: claim.is_none() && is_zero(uids, host.uid) && is_zero(gids, host.gid),
        setgroups: !host.setgroups_denied && !matches!(maps, IdMaps::Written { deny_setgroups: true, .. }),
        uids: inside(uids),
        gids: inside(gids),
        shift,
    }
}

/// An existing one. Where nobody can tell what is mapped in it, id 0 is all that can be counted on.
fn joined<'a>(host: &Host, kind: UserKind<'a>) -> UserPlan<'a> {
    let (uids, gids, setgroups) = match &host.joined {
        Some(user) => (inside(&user.uid_map), inside(&user.gid_map), user.setgroups),
        None => (vec![(0, 1)], vec![(0, 1)], false),
    };
    UserPlan { kind, starts_as_root: false, setgroups, uids, gids, shift: host.privileged }
}

/// The caller's own ids and no other: what anybody can have without being given anything.
fn single<'a>(arena: &'a Arena, host: &Host, origin: Origin) -> UserPlan<'a> {
    let uids = [IdMapping { inside: 0, outside: host.uid, count: 1 }];
    let gids = [IdMapping { inside: 0, outside: host.gid, count: 1 }];
    let maps = written(arena, &uids, &gids, true);
    new(host, maps, None, origin, (&uids, &gids), false)
}

/// For root: ids that nobody has, and the files shown through the maps so that they keep their owners on disk.
fn root<'a>(
    arena: &'a Arena,
    host: &Host,
    root_file_system: Option<u64>,
    notes: &mut Vec<Note>,
) -> Result<UserPlan<'a>, PlanError> {
    if !host.has_all_ids() {
        notes.push(Note {
            what: "husk is root of a nested user namespace, so the container's root has this root's ids and may write \
                   its files"
                .to_owned(),
            cure: None,
        });
        return Ok(same_ids(arena, host, "husk runs in a nested user namespace"));
    }
    if root_file_system.is_some_and(|kind| !is_idmappable(kind, host.kernel)) {
        notes.push(Note {
            what: "this kernel cannot idmap the root's file system, so the container's root has the host's user id 0, \
                   though not its capabilities, and may write root's files that it can reach, such as volumes"
                .to_owned(),
            cure: Some("put the root on ext4, xfs, btrfs or, from Linux 6.3 on, tmpfs".to_owned()),
        });
        return Ok(same_ids(arena, host, "the root's file system cannot be idmapped"));
    }
    let mut taken = host.subordinate_uids.clone();
    taken.extend(&host.subordinate_gids);
    let claim = Claim { count: CLAIM, first: CLAIM_FIRST, last: CLAIM_LAST, taken: arena.slice(&taken) };
    let inside = [IdMapping { inside: 0, outside: CLAIM_FIRST, count: CLAIM }];
    let maps = IdMaps::Claimed { count: CLAIM };
    let origin = Origin::Default("a user namespace of its own");
    Ok(new(host, maps, Some(claim), origin, (&inside, &inside), true))
}

/// The ids that husk's own namespace has, as they are.
fn same_ids<'a>(arena: &'a Arena, host: &Host, reason: &str) -> UserPlan<'a> {
    let same = |map: &[IdMapping]| -> Vec<IdMapping> {
        let limit = |m: &IdMapping| m.count.min(CLAIM.saturating_sub(m.inside));
        map.iter()
            .filter(|m| limit(m) > 0)
            .map(|m| IdMapping { inside: m.inside, outside: m.inside, count: limit(m) })
            .collect()
    };
    let (uids, gids) = (same(&host.uid_map), same(&host.gid_map));
    let maps = written(arena, &uids, &gids, false);
    new(host, maps, None, Origin::Because(reason.to_owned()), (&uids, &gids), false)
}

/// For an ordinary user: the subordinate ids, if there are any and the helpers that may map them; else the own ids alone.
fn ordinary<'a>(arena: &'a Arena, host: &Host, notes: &mut Vec<Note>) -> Result<UserPlan<'a>, PlanError> {
    let origin = Origin::Default("a user namespace of its own");
    let missing = match subordinate(host) {
        Ok((uids, gids, helpers)) => {
            let map = |own: u32, (first, count): IdRange| {
                [
                    IdMapping { inside: 0, outside: own, count: 1 },
                    IdMapping { inside: 1, outside: first, count },
                ]
            };
            let (uids, gids) = (map(host.uid, uids), map(host.gid, gids));
            let maps = by_helpers(arena, helpers, (&uids, &gids))?;
            return Ok(new(host, maps, None, origin, (&uids, &gids), false));
        }
        Err(missing) => missing,
    };
    notes.push(Note {
        what: format!("only your own ids are mapped, so -u and chown to others fail inside: {missing}"),
        cure: Some(CURE.to_owned()),
    });
    Ok(single(arena, host, origin))
}

/// How an ordinary user gets a whole range of ids.
const CURE: &str = "to have 65536 more, as root: apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, with a range that nobody else has in /etc/subuid and /etc/subgid";
