// SPDX-License-Identifier: Apache-2.0
//! `--cap-add`, `--cap-drop` and `--ulimit`.

use husk_spec::{Capabilities, Capability, Given, Namespaces, Rlimit};

use super::{Problem, Refused, defaults};
use crate::cli::RunOptions;

/// One side of `--cap-add` and `--cap-drop`.
struct Side {
    all: bool,
    named: Capabilities,
}

/// As in Docker and Podman: dropping ALL leaves what is added, adding ALL leaves out what is dropped.
pub(super) fn capabilities(
    options: &RunOptions,
    namespaces: &Namespaces,
) -> Result<Given<Capabilities>, Refused> {
    let default = defaults::capabilities(namespaces);
    if options.cap_add.is_empty() && options.cap_drop.is_empty() {
        return Ok(default);
    }
    let add = side("--cap-add", &options.cap_add)?;
    let drop = side("--cap-drop", &options.cap_drop)?;
    let both = Capabilities::from_bits(add.named.bits() & drop.named.bits());
    if add.all && drop.all || both != Capabilities::NONE {
        let what = if both == Capabilities::NONE { "ALL".to_owned() } else { both.to_string() };
        return Err(Problem::new(format!("{what} cannot be both added and dropped"))
            .hint("--cap-drop ALL --cap-add CAP leaves CAP alone")
            .of_both("--cap-add", "--cap-drop"));
    }
    let base = match (add.all, drop.all) {
        (true, _) => Capabilities::all(),
        (_, true) => Capabilities::NONE,
        _ => default.value,
    };
    let set = Capabilities::from_bits((base.bits() | add.named.bits()) & !drop.named.bits());
    let words: Vec<&str> = [("--cap-add", &options.cap_add), ("--cap-drop", &options.cap_drop)]
        .into_iter()
        .filter(|(_, given)| !given.is_empty())
        .map(|(option, _)| option)
        .collect();
    Ok(Given::argument(set, words.join(", ")))
}

fn side(option: &str, lists: &[String]) -> Result<Side, Refused> {
    let mut side = Side { all: false, named: Capabilities::NONE };
    for list in lists {
        for name in list.split(',') {
            if name.eq_ignore_ascii_case("all") {
                side.all = true;
                continue;
            }
            let known =
                name.parse::<Capability>().map_err(|e| Problem::new(e.to_string()).of(option, list))?;
            side.named.insert(known);
        }
    }
    Ok(side)
}

/// The defaults, and what `--ulimit` puts in their place or adds.
pub(super) fn rlimits(options: &RunOptions) -> Result<Vec<Given<Rlimit>>, Refused> {
    let mut rlimits = defaults::rlimits();
    for word in &options.ulimit {
        let rlimit = rlimit(word).map_err(|problem| problem.of("--ulimit", word))?;
        rlimits.retain(|earlier| earlier.value.resource != rlimit.resource);
        rlimits.push(Given::argument(rlimit, "--ulimit"));
    }
    Ok(rlimits)
}

fn rlimit(word: &str) -> Result<Rlimit, Problem> {
    let form = "NAME=SOFT[:HARD], such as nofile=1024:4096 or core=unlimited";
    let (name, limits) =
        word.split_once('=').ok_or_else(|| Problem::new("there is no limit in it").hint(form))?;
    let resource = name.parse().map_err(|e: husk_spec::UnknownResource| Problem::new(e.to_string()))?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (limit(soft).map_err(|p| p.hint(form))?, limit(hard).map_err(|p| p.hint(form))?);
    let unlimited = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    if unlimited(soft) > unlimited(hard) {
        return Err(Problem::new("the soft limit is above the hard one"));
    }
    Ok(Rlimit { resource, soft, hard })
}

fn limit(word: &str) -> Result<Option<u64>, Problem> {
    if word == "unlimited" || word == "-1" {
        return Ok(None);
    }
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    // The largest number means "unlimited" to the kernel.
    let number = word.parse::<u64>().ok().filter(|number| digits && *number < u64::MAX);
    number.map(Some).ok_or_else(|| Problem::new(format!("{word:?} is neither a number nor unlimited")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(word: &str) -> Option<(&'static str, Option<u64>, Option<u64>)> {
        rlimit(word).ok().map(|rlimit| (rlimit.resource.name(), rlimit.soft, rlimit.hard))
    }

    #[test]
    fn ulimits() {
        assert_eq!(limits("nofile=1024"), Some(("nofile", Some(1024), Some(1024))));
        assert_eq!(limits("nofile=1024:4096"), Some(("nofile", Some(1024), Some(4096))));
        assert_eq!(limits("core=unlimited"), Some(("core", None, None)));
        assert_eq!(limits("core=0:-1"), Some(("core", Some(0), None)));
    }

    #[test]
    fn what_is_none() {
        for word in [
            "",
            "nofile",
            "nofile=",
            "nofile=1:",
            "nofile=:1",
            "nofile=x",
            "nofile=-2",
            "nofile=+1",
            "nofile=1:2:3",
            "nofile=2:1",
            "nofile=unlimited:1",
            "files=1",
            "=1",
            "nofile=18446744073709551615",
            "nofile=18446744073709551616",
            "host",
        ] {
            assert_eq!(limits(word), None, "{word}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(word in "\\PC*") {
            let _ = rlimit(&word);
            let _ = rlimit(&format!("nofile={word}"));
            let _ = side("--cap-add", &[word]);
        }
    }
}
