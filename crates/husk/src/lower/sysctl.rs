// SPDX-License-Identifier: Apache-2.0
//! `--sysctl NAME=VALUE`: kernel parameters that belong to a namespace of the container's own.

use husk_spec::{Given, Namespace, NamespaceKind, Namespaces, Sysctl};

use super::namespaces::owns_user_namespace;
use super::{Problem, Refused, defaults};
use crate::cli::RunOptions;

pub(super) fn lower(options: &RunOptions, namespaces: &Namespaces) -> Result<Vec<Given<Sysctl>>, Refused> {
    let mut sysctls = Vec::new();
    if namespaces.network.value == Namespace::New {
        sysctls.extend(defaults::NETWORK_SYSCTLS.iter().map(|(name, value)| {
            let sysctl = Sysctl { name: (*name).to_owned(), value: (*value).to_owned() };
            Given::default(sysctl, "the network's sysctls")
        }));
    }
    for word in &options.sysctl {
        let sysctl = parse(word).and_then(|sysctl| check(sysctl, namespaces));
        let sysctl = sysctl.map_err(|problem| problem.of("--sysctl", word))?;
        sysctls.retain(|earlier: &Given<Sysctl>| earlier.value.name != sysctl.name);
        sysctls.push(Given::argument(sysctl, "--sysctl"));
    }
    Ok(sysctls)
}

fn parse(word: &str) -> Result<Sysctl, Problem> {
    let form = "NAME=VALUE, such as net.ipv4.ip_forward=1";
    let (name, value) = word.split_once('=').ok_or_else(|| Problem::new("there is no value").hint(form))?;
    let (name, value) = (dotted(name.trim()), value.trim());
    // In a dotted name a slash stands for a dot (an interface `eth0.1`); a part that begins with one could be `..`.
    let legal = |part: &str| {
        !part.is_empty()
            && !part.starts_with('/')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/*:@".contains(&byte))
    };
    if !name.split('.').all(legal) {
        return Err(Problem::new(format!("{name:?} is no name of a kernel parameter")).hint(form));
    }
    if value.is_empty() || value.contains(['\0', '\n']) {
        return Err(Problem::new("the value is one line of text").hint(form));
    }
    Ok(Sysctl { name, value: value.to_owned() })
}

/// `net/ipv4/ip_forward` as `net.ipv4.ip_forward`: the first separator decides which it is (`sysctl(8)`).
fn dotted(name: &str) -> String {
    let slashed = name.find(['.', '/']).is_some_and(|first| name[first..].starts_with('/'));
    if !slashed {
        return name.to_owned();
    }
    name.chars()
        .map(|c| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        })
        .collect()
}

fn check(sysctl: Sysctl, namespaces: &Namespaces) -> Result<Sysctl, Problem> {
    let Some(kind) = sysctl.namespace() else {
        return Err(Problem::new("it belongs to the whole machine, not to a namespace")
            .hint("set it on the host: sysctl -w"));
    };
    if sysctl.name == "kernel.hostname" {
        return Err(Problem::new("the host name has an option of its own").hint("--hostname NAME"));
    }
    let user = (owns_user_namespace(namespaces), &namespaces.user.origin);
    let of = |namespace: &'_ Given<Namespace>| namespace.value == Namespace::New;
    let (own, origin) = match kind {
        NamespaceKind::Network => (of(&namespaces.network), &namespaces.network.origin),
        NamespaceKind::Ipc => (of(&namespaces.ipc), &namespaces.ipc.origin),
        NamespaceKind::Uts => (of(&namespaces.uts), &namespaces.uts.origin),
        _ => user,
    };
    if own {
        return Ok(sysctl);
    }
    let why = format!(
        "it belongs to the {} namespace, which is not the container's own ({})",
        kind.file_name(),
        origin
    );
    Err(Problem::new(why).hint("leave one of the two out"))
}
