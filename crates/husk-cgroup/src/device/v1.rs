// SPDX-License-Identifier: Apache-2.0
//! Device rules for version 1 (`cgroup-v1/devices.rst`).
//!
//! The kernel has a default and a list of exceptions from it. Rules come down to such a list, and a list to the lines that
//! turn another one into it, so that an update never takes away for a moment what is allowed before and after.

use std::collections::BTreeMap;

use super::{Access, Kind, Rule};

/// What an exception is about; all numbers where there is none.
pub(crate) type Devices = (Kind, Option<u32>, Option<u32>);

/// A default and the exceptions from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Whether what no exception is about is allowed.
    default_allow: bool,
    exceptions: BTreeMap<Devices, Access>,
}

/// A rule that version 1 cannot follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cgroup v1 cannot make an exception from an exception: {rule} is part of {wider}, a rule before it; \
     leave that one out and name the devices one by one, or use cgroup v2"
)]
pub struct HoleInRule {
    /// The rule.
    pub rule: String,
    /// What it would be an exception from.
    pub wider: String,
}

/// One line for one of the two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `devices.allow` or `devices.deny`.
    pub file: &'static str,
    /// `c 1:3 rwm`; `a` for everything.
    pub value: String,
}

impl List {
    /// What `rules` come to, one after the other.
    ///
    /// # Errors
    /// A rule that would have to split an earlier one: the kernel would ignore it without a word.
    pub fn new(rules: &[Rule]) -> Result<Self, HoleInRule> {
        let mut list = Self::default();
        for rule in rules {
            list.apply(rule)?;
        }
        Ok(list)
    }

    /// Reads `devices.list`. With a default of allowing the kernel does not tell the exceptions: `None`.
    pub fn read(content: &str) -> Option<Self> {
        let mut list = Self::default();
        for line in content.lines() {
            let (devices, access) = parse(line)?;
            list.add(devices, access);
        }
        Some(list)
    }

    fn apply(&mut self, rule: &Rule) -> Result<(), HoleInRule> {
        if rule.is_about_all() {
            *self = Self { default_allow: rule.allow, exceptions: BTreeMap::new() };
            return Ok(());
        }
        let kinds = rule.kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
        for kind in kinds {
            let devices = (kind, rule.major, rule.minor);
            if rule.allow == self.default_allow {
                self.remove(devices, rule.access)?;
            } else {
                self.add(devices, rule.access);
            }
        }
        Ok(())
    }

    fn add(&mut self, devices: Devices, access: Access) {
        let entry = self.exceptions.entry(devices).or_default();
        *entry = entry.or(access);
    }

    /// Exceptions that `devices` covers wholly go, too: a later rule wins. One that covers more cannot be split.
    fn remove(&mut self, devices: Devices, access: Access) -> Result<(), HoleInRule> {
        let overlapping = |(other, bits): &(&Devices, &Access)| {
            overlap(**other, devices) && !covers(devices, **other) && !bits.and(access).is_empty()
        };
        if let Some((wider, bits)) = self.exceptions.iter().find(overlapping) {
            return Err(HoleInRule { rule: shown(devices, access), wider: shown(*wider, *bits) });
        }
        for (other, bits) in &mut self.exceptions {
            if covers(devices, *other) {
                *bits = bits.without(access);
            }
        }
        self.exceptions.retain(|_, bits| !bits.is_empty());
        Ok(())
    }

    /// That everything is allowed.
    pub(crate) fn open() -> Self {
        Self { default_allow: true, exceptions: BTreeMap::new() }
    }

    /// What is allowed, if that can be told without what is not.
    pub(crate) fn allowed(&self) -> Option<Vec<(Devices, Access)>> {
        match (self.default_allow, self.exceptions.is_empty()) {
            (false, _) => Some(self.exceptions.iter().map(|(devices, access)| (*devices, *access)).collect()),
            (true, true) => Some(Kind::ALL.map(|kind| ((kind, None, None), Access::ALL)).to_vec()),
            (true, false) => None,
        }
    }

    /// The lines that make of `current` (`None` if it is not known) this list.
    pub fn lines(&self, current: Option<&Self>) -> Vec<Line> {
        let same_default = current.filter(|list| !list.default_allow && !self.default_allow);
        let mut lines = Vec::new();
        let nothing = BTreeMap::new();
        let old = match same_default {
            Some(list) => &list.exceptions,
            None => {
                lines.push(line(self.default_allow, "a".to_owned()));
                &nothing
            }
        };
        let lost = difference(old, &self.exceptions);
        let gained = difference(&self.exceptions, old);
        lines.extend(lost.map(|value| line(self.default_allow, value)));
        lines.extend(gained.map(|value| line(!self.default_allow, value)));
        lines
    }
}

/// What `one` has and `other` has not.
fn difference<'a>(
    one: &'a BTreeMap<Devices, Access>,
    other: &'a BTreeMap<Devices, Access>,
) -> impl Iterator<Item = String> + 'a {
    one.iter().filter_map(|(devices, access)| {
        let rest = access.without(other.get(devices).copied().unwrap_or_default());
        (!rest.is_empty()).then(|| shown(*devices, rest))
    })
}

fn line(allow: bool, value: String) -> Line {
    Line { file: if allow { "devices.allow" } else { "devices.deny" }, value }
}

fn covers(one: Devices, other: Devices) -> bool {
    let covers = |one: Option<u32>, other| one.is_none() || one == other;
    one.0 == other.0 && covers(one.1, other.1) && covers(one.2, other.2)
}

fn overlap(one: Devices, other: Devices) -> bool {
    let overlap = |one: Option<u32>, other: Option<u32>| one.is_none() || other.is_none() || one == other;
    one.0 == other.0 && overlap(one.1, other.1) && overlap(one.2, other.2)
}

fn shown((kind, major, minor): Devices, access: Access) -> String {
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    format!("{} {}:{} {access}", kind.letter(), number(major), number(minor))
}

fn parse(line: &str) -> Option<(Devices, Access)> {
    let mut words = line.split(' ');
    let letter = words.next()?;
    let kind = Kind::ALL.into_iter().find(|kind| letter == kind.letter().to_string())?;
    let (major, minor) = words.next()?.split_once(':')?;
    let number = |word: &str| if word == "*" { Some(None) } else { word.parse().ok().map(Some) };
    Some(((kind, number(major)?, number(minor)?), Access::parse(words.next()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DEFAULT;

    fn rule(allow: bool, text: &str) -> Rule {
        if text == "a" {
            return Rule { allow, kind: None, major: None, minor: None, access: Access::ALL };
        }
        let ((kind, major, minor), access) = parse(text).expect("a rule");
        Rule { allow, kind: Some(kind), major, minor, access }
    }

    fn list(rules: &[(bool, &str)]) -> Result<List, HoleInRule> {
        List::new(&rules.iter().map(|(allow, text)| rule(*allow, text)).collect::<Vec<_>>())
    }

    fn lines(target: &List, current: Option<&List>) -> Vec<String> {
        let lines = target.lines(current);
        lines.iter().map(|line| format!("{} {}", &line.file["devices.".len()..], line.value)).collect()
    }

    #[test]
    fn a_new_cgroup_is_closed_first() {
        let target = list(&[(false, "a"), (true, "c 1:3 rwm"), (true, "b 8:0 r")]).expect("a list");
        assert_eq!(lines(&target, None), ["deny a", "allow b 8:0 r", "allow c 1:3 rwm"]);
        let open = list(&[(true, "a"), (false, "b *:* w")]).expect("a list");
        assert_eq!(lines(&open, None), ["allow a", "deny b *:* w"]);
        assert_eq!(lines(&target, Some(&open))[0], "deny a", "what is open is closed first, too");
    }

    #[test]
    fn an_update_writes_the_difference() {
        let old = List::read("c 1:3 rwm\nc 1:5 rw\nb *:* m\n").expect("a list");
        let new = list(&[(true, "c 1:3 rwm"), (true, "c 1:5 rm"), (true, "c 10:229 rwm"), (true, "b *:* m")]);
        let new = new.expect("a list");
        assert_eq!(lines(&new, Some(&old)), ["deny c 1:5 w", "allow c 1:5 m", "allow c 10:229 rwm"]);
        assert!(lines(&old, Some(&old)).is_empty());
        assert_eq!(lines(&list(&[(true, "a")]).expect("a list"), Some(&old)), ["allow a"]);
    }

    #[test]
    fn what_allows_by_default_does_not_tell_its_exceptions() {
        assert_eq!(List::read("a *:* rwm\n"), None);
        assert_eq!(List::read(""), Some(List::default()));
    }

    #[test]
    fn later_rules_win() {
        let target =
            list(&[(true, "c 1:3 rwm"), (true, "c 1:5 rwm"), (false, "c 1:3 w"), (false, "c 1:5 rwm")]);
        assert_eq!(lines(&target.expect("a list"), None), ["deny a", "allow c 1:3 rm"]);
        let wide = list(&[(true, "c 1:3 rwm"), (true, "c 2:1 rwm"), (false, "c 1:* rwm")]).expect("a list");
        assert_eq!(lines(&wide, None), ["deny a", "allow c 2:1 rwm"]);
        let reset = list(&[(true, "c 1:3 rwm"), (false, "a")]).expect("a list");
        assert_eq!(lines(&reset, None), ["deny a"]);
    }

    #[test]
    fn a_hole_in_a_wider_rule_is_refused() {
        for (wider, hole) in [
            ("c 1:* rwm", "c 1:3 w"),
            ("c *:3 r", "c 1:3 r"),
            ("b *:* rwm", "b 8:0 m"),
            ("c 1:* r", "c *:3 r"),
        ] {
            let error = list(&[(true, wider), (false, hole)]).expect_err("an error");
            assert_eq!((error.rule.as_str(), error.wider.as_str()), (hole, wider));
        }
        assert!(list(&[(true, "c 1:* r"), (false, "c 1:3 w")]).is_ok(), "no bit in common");
        assert!(list(&[(true, "c 1:* r"), (false, "b 1:3 r")]).is_ok(), "another kind");
    }

    /// What `devices.list` of a container of runc 1.1.5 says, with Docker's rules; but for `c 10:200 rwm`, tun, which runc
    /// has left out since 1.2.
    #[test]
    fn the_list_of_a_container() {
        let docker = [
            (false, "a"),
            (true, "c 1:5 rwm"),
            (true, "c 1:3 rwm"),
            (true, "c 1:9 rwm"),
            (true, "c 1:8 rwm"),
            (true, "c 5:0 rwm"),
            (true, "c 5:1 rwm"),
            (false, "c 10:229 rwm"),
        ];
        let rules: Vec<_> = docker.iter().map(|(allow, text)| rule(*allow, text)).chain(DEFAULT).collect();
        let expected = "c 1:5 rwm\nc 1:3 rwm\nc 1:9 rwm\nc 1:8 rwm\nc 5:0 rwm\nc 5:1 rwm\nc *:* m\nb *:* m\n\
                        c 1:7 rwm\nc 136:* rwm\nc 5:2 rwm\n";
        assert_eq!(List::new(&rules).expect("a list"), List::read(expected).expect("a list"));
    }

    #[test]
    fn a_rule_for_both_kinds_is_two_exceptions() {
        let reading = Rule { allow: true, kind: None, major: None, minor: None, access: Access::READ };
        let target = List::new(&[reading]).expect("a list");
        assert_eq!(lines(&target, None), ["deny a", "allow b *:* r", "allow c *:* r"]);
    }
}
