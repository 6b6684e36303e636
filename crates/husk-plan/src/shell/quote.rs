// SPDX-License-Identifier: Apache-2.0
//! Quoting for bash: the only function of husk that does.

use std::fmt::Write as _;

/// `word` as bash reads it back, byte for byte, whatever its locale: bare where nothing in it means anything to bash, in
/// single quotes where they can hold it, else in `$'…'` with everything escaped that is not plain ASCII.
///
/// A NUL, which no word of bash can have, is the caller's to keep out.
pub fn quote(word: &[u8]) -> String {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(byte);
    let printable = |byte: &u8| (b' '..=b'~').contains(byte);
    if !word.is_empty() && word.iter().all(bare) {
        return word.iter().map(|byte| char::from(*byte)).collect();
    }
    if word.iter().all(printable) {
        let text: String = word.iter().map(|byte| char::from(*byte)).collect();
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let escaped = word.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'\n' => text.push_str(r"\n"),
            b'\t' => text.push_str(r"\t"),
            b'\'' | b'\\' => text.extend(['\\', char::from(*byte)]),
            byte if printable(byte) => text.push(char::from(*byte)),
            // Always two digits: bash would take a third one, if it were there, for itself alone.
            byte => {
                let _ = write!(text, r"\x{byte:02x}");
            }
        }
        text
    });
    format!("$'{escaped}'")
}

/// `words`, each quoted, with a space between.
pub fn quote_all<'w>(words: impl IntoIterator<Item = &'w [u8]>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_no_more_than_it_needs() {
        for (word, quoted) in [
            (&b"/srv/box-1.0"[..], "/srv/box-1.0"),
            (b"", "''"),
            (b"two words", "'two words'"),
            (b"it's", r"'it'\''s'"),
            (b"$(id)", "'$(id)'"),
            (b"~", "'~'"),
            (b"a\nb'\\", r"$'a\nb\'\\'"),
            (b"\xc3\xa91\x7f", r"$'\xc3\xa91\x7f'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }
}
