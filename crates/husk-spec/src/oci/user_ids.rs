// SPDX-License-Identifier: Apache-2.0
//! Which user ids a container can have, told from its `config.json` without reading the rest of that.

use std::path::PathBuf;

use serde::Deserialize;

use super::{IdMapping, NamespaceKind};

/// Which user ids of the runtime's own user namespace a container can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserIds {
    /// Every one: it is in the runtime's user namespace.
    All,
    /// Those of a new user namespace: first and count.
    Ranges(Vec<(u32, u32)>),
    /// Those of an existing user namespace.
    Of(PathBuf),
}

#[derive(Deserialize)]
struct Config {
    linux: Option<Linux>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
    uid_mappings: Option<Vec<IdMapping>>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: NamespaceKind,
    path: Option<PathBuf>,
}

impl UserIds {
    /// Those of the container that the bytes of a `config.json` describe. All of them if it cannot be read: why not is for
    /// whoever reads it in earnest to say.
    pub fn of_config(config: &[u8]) -> Self {
        let linux = serde_json::from_slice(config).ok().and_then(|config: Config| config.linux);
        let Some(linux) = linux else { return Self::All };
        let namespaces = linux.namespaces.unwrap_or_default();
        let user = namespaces.into_iter().find(|namespace| namespace.kind == NamespaceKind::User);
        match user.map(|user| user.path.filter(|path| !path.as_os_str().is_empty())) {
            None => Self::All,
            Some(Some(path)) => Self::Of(path),
            Some(None) => {
                let maps = linux.uid_mappings.unwrap_or_default();
                Self::Ranges(maps.iter().map(|map| (map.outside, map.size)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UserIds;

    fn of(linux: &str) -> UserIds {
        UserIds::of_config(format!(r#"{{"process": {{"args": ["x"]}}, "linux": {linux}}}"#).as_bytes())
    }

    #[test]
    fn a_container_has_the_ids_of_its_user_namespace() {
        let maps = r#""uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 5000, "size": 9}]"#;
        assert_eq!(of("{}"), UserIds::All);
        assert_eq!(of("null"), UserIds::All);
        assert_eq!(
            of(&format!(r#"{{"namespaces": [{{"type": "pid"}}], {maps}}}"#)),
            UserIds::All,
            "maps of no namespace"
        );
        assert_eq!(
            of(&format!(r#"{{"namespaces": [{{"type": "pid"}}, {{"type": "user", "path": ""}}], {maps}}}"#)),
            UserIds::Ranges(vec![(1000, 1), (5000, 9)])
        );
        let joined = r#"{"namespaces": [{"type": "user", "path": "/proc/7/ns/user"}]}"#;
        assert_eq!(of(joined), UserIds::Of("/proc/7/ns/user".into()));
    }

    #[test]
    fn what_cannot_be_read_is_every_id() {
        for text in [
            "",
            "{",
            "[]",
            r#"{"linux": 7}"#,
            r#"{"linux": {"namespaces": [{"type": "user"}], "uidMappings": 7}}"#,
        ] {
            assert_eq!(UserIds::of_config(text.as_bytes()), UserIds::All, "{text}");
        }
    }
}
