// SPDX-License-Identifier: Apache-2.0
//! What differs between two, in words.

use husk_see::{CapabilitySet, Difference, Text, Topic};

use super::Paint;
use super::lines::hanging;
use crate::output::Screen;

/// The differences by topic; whatever is the same on both sides is left out. `unknown` is what could not be compared, for one of them
/// is planned and does not run.
pub(crate) fn differences(names: [&str; 2], all: &[Difference], unknown: &[&str], screen: Screen) -> String {
    let paint = Paint(screen.colour);
    let [a, b] = names;
    let not_compared = match unknown {
        [] => String::new(),
        unknown => format!("not compared: {}\n", unknown.join("; ")),
    };
    if all.is_empty() {
        return format!("{a} and {b} see the same.\n{not_compared}");
    }
    let mut topics: Vec<Topic> = all.iter().map(|difference| difference.topic).collect();
    topics.dedup();
    let of_topic = |topic: &Topic| {
        let these: Vec<_> = all.iter().filter(|difference| difference.topic == *topic).collect();
        let lines = match topic {
            Topic::Namespaces if unknown.is_empty() => namespaces(names, &these),
            _ => these.into_iter().map(|difference| sentence(names, difference)).collect(),
        };
        let columns = screen.size.map(|(columns, _)| columns);
        // In a column further to the right than it does begin, so that what follows is told from the next line.
        let line = |line: &String| format!("  {}\n", hanging(line, 4, columns));
        let lines: String = lines.iter().map(line).collect();
        format!("{}\n{lines}", paint.strong(topic.name()))
    };
    let shown = topics.iter().map(of_topic).collect::<Vec<_>>().join("\n");
    if not_compared.is_empty() { shown } else { format!("{shown}\n{not_compared}") }
}

/// One line for all, since of two namespaces there is nothing to say but that they are two.
fn namespaces(names: [&str; 2], these: &[&Difference]) -> Vec<String> {
    let (both, unknown): (Vec<&Difference>, Vec<_>) =
        these.iter().partition(|difference| difference.a.is_some() && difference.b.is_some());
    let not_shared: Vec<_> = both.iter().map(|difference| difference.what.to_string()).collect();
    let line = format!("not shared: {}", not_shared.join(" "));
    let line = if both.is_empty() { None } else { Some(line) };
    line.into_iter().chain(unknown.into_iter().map(|difference| sentence(names, difference))).collect()
}

fn sentence(names: [&str; 2], difference: &Difference) -> String {
    let Difference { topic, what, a, b } = difference;
    match (topic, a, b) {
        (Topic::Capabilities, Some(a), Some(b)) => capabilities(names, what, a, b),
        (Topic::Environment, Some(_), None) => format!("{what}: only {} has it", names[0]),
        (Topic::Environment, None, Some(_)) => format!("{what}: only {} has it", names[1]),
        (_, Some(a), Some(b)) => {
            format!("{what}: {} has {}; {} has {}", names[0], shown(a), names[1], shown(b))
        }
        (Topic::Mounts | Topic::Cgroups, Some(a), None) => {
            format!("{what}: only {} has it, {}", names[0], shown(a))
        }
        (Topic::Mounts | Topic::Cgroups, None, Some(b)) => {
            format!("{what}: only {} has it, {}", names[1], shown(b))
        }
        (_, Some(a), None) => {
            format!("{what}: {} has {}; of {} it is not known", names[0], shown(a), names[1])
        }
        (_, None, Some(b)) => {
            format!("{what}: {} has {}; of {} it is not known", names[1], shown(b), names[0])
        }
        (_, None, None) => what.to_string(),
    }
}

fn shown(value: &Text) -> String {
    if value.is_empty() { "nothing".to_owned() } else { value.to_string() }
}

/// What each has, or what only one of them has: whichever is shorter.
fn capabilities(names: [&str; 2], which: &Text, a: &Text, b: &Text) -> String {
    let set = |text: &Text| CapabilitySet::of_names(text.unicode().split(' '));
    let (a, b) = (set(a), set(b));
    let only = |name: &str, set: CapabilitySet| {
        (set != CapabilitySet::default()).then(|| format!("only {name} has {}", set.names().join(" ")))
    };
    let sides = [only(names[0], a.without(b)), only(names[1], b.without(a))];
    let apart = sides.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let both = format!("{} has {a}; {} has {b}", names[0], names[1]);
    format!("{which}: {}", if apart.len() <= both.len() { apart } else { both })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(topic: Topic, what: &str, a: Option<&str>, b: Option<&str>) -> Difference {
        Difference { topic, what: what.into(), a: a.map(Text::from), b: b.map(Text::from) }
    }

    #[test]
    fn differences_in_words() {
        let all = [
            difference(Topic::Namespaces, "mnt", Some("1"), Some("2")),
            difference(Topic::Namespaces, "pid", Some("1"), None),
            difference(Topic::Namespaces, "uts", Some("1"), Some("2")),
            difference(Topic::Mounts, "/srv", Some("ext4 /dev/sda (rw)"), None),
            difference(Topic::Mounts, "/x", Some("a"), Some("")),
            difference(Topic::Capabilities, "effective", Some("CHOWN KILL"), Some("CHOWN BPF")),
            difference(Topic::Confinement, "label", None, Some("x\x1b[m")),
            difference(Topic::Environment, "TERM", None, Some("set")),
        ];
        let text = differences(["host", "web"], &all, &[], Screen::default());
        let expected = "namespaces\n  not shared: mnt uts\n  pid: host has 1; of web it is not known\n\nmounts\n  /srv: only host has it, ext4 /dev/sda (rw)\n  \
            /x: host has a; web has nothing\n\ncapabilities\n  effective: only host has KILL; only web has BPF\n\nconfinement\n  label: web has x\\x1b[m; of host it is not known\n\nenvironment\n  TERM: only web has it\n";
        assert_eq!(text, expected);
        assert_eq!(differences(["a", "b"], &[], &[], Screen::default()), "a and b see the same.\n");
    }
}
