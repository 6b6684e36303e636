// SPDX-License-Identifier: Apache-2.0
//! Text that a stranger chose.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Text that the observed have chosen: a name, a command line, a path.
///
/// It may try to move the cursor, to change colours, to reverse the line or to imitate other rows. So `Display` escapes
/// whatever is not plainly visible; who wants the bytes themselves has to ask for them.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Vec<u8>);

impl Text {
    /// These bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes as they are: to compare or to encode, not to print.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As Unicode, with U+FFFD for what is none. Not to be printed either.
    pub fn unicode(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is exactly this.
    pub fn is(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }

    /// What follows the last slash.
    pub fn base_name(&self) -> Self {
        Self::new(self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default())
    }
}

impl<T: Into<Vec<u8>>> From<T> for Text {
    fn from(bytes: T) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\t' => f.write_str("\\t")?,
                    '\0'..=' ' | '\x7f' if c != ' ' => write!(f, "\\x{:02x}", u32::from(c))?,
                    _ if is_invisible(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                    _ => f.write_char(c)?,
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Control characters, marks of direction (CVE-2021-42574 is the trick with them), and characters without a width.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// What is left of the path `path` below `top`, `None` if it is elsewhere.
pub(crate) fn beneath(top: &Text, path: &Text) -> Option<Text> {
    let rest = path.bytes().strip_prefix(top.bytes().strip_suffix(b"/").unwrap_or(top.bytes()))?;
    (rest.is_empty() || rest[0] == b'/').then(|| Text::new(rest.strip_prefix(b"/").unwrap_or(rest)))
}

/// The path `rest` below `top`.
pub(crate) fn join(top: &Text, rest: &Text) -> Text {
    let top = top.bytes().strip_suffix(b"/").unwrap_or(top.bytes());
    match (top, rest.bytes()) {
        (b"", b"") => "/".into(),
        (top, b"") => top.into(),
        (top, rest) => [top, b"/", rest].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_move_the_cursor_is_shown_and_not_obeyed() {
        assert_eq!(Text::from("a\x1b[2J\r\nb\tc").to_string(), "a\\x1b[2J\\x0d\\nb\\tc");
        assert_eq!(Text::from(b"\xff\xc2\x9b1m".to_vec()).to_string(), "\\xff\\u{9b}1m");
        assert_eq!(Text::from("x\u{202e}y\u{200b}").to_string(), "x\\u{202e}y\\u{200b}");
    }

    #[test]
    fn what_is_plain_stays_as_it_is() {
        assert_eq!(Text::from("sh -c 'größe' 容器").to_string(), "sh -c 'größe' 容器");
    }

    #[test]
    fn the_base_name() {
        assert_eq!(Text::from("/usr/bin/husk").base_name(), Text::from("husk"));
        assert_eq!(Text::from("husk").base_name(), Text::from("husk"));
    }

    proptest! {
        #[test]
        fn nothing_invisible_is_ever_shown(bytes: Vec<u8>) {
            prop_assert!(!Text::new(bytes).to_string().chars().any(is_invisible));
        }
    }
}
