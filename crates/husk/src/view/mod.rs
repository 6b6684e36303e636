// SPDX-License-Identifier: Apache-2.0
//! How containers look: as a table, a tree, in words, as JSON, as a page. Pure: from what was seen to text.

pub(crate) mod detail;
pub(crate) mod difference;
pub(crate) mod json;
pub(crate) mod lessons;
pub(crate) mod lines;
pub(crate) mod overview;
pub(crate) mod page;
pub(crate) mod table;
pub(crate) mod tree;
pub(crate) mod words;

/// Colours for those who want them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// What is looked for first.
    pub(crate) fn strong(self, text: &str) -> String {
        self.with("\x1b[1m", text)
    }

    /// What is there for completeness.
    pub(crate) fn faint(self, text: &str) -> String {
        self.with("\x1b[2m", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("{code}{text}\x1b[0m") } else { text.to_owned() }
    }
}
