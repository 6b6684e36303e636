// SPDX-License-Identifier: Apache-2.0
//! Breaking lines between words.

/// `parts` one after the other, with two spaces between them, from column `start` on; where a word would go beyond `width` a new
/// line begins in column `indent`. A word that is longer than a line stays whole, so that it can be copied.
pub(super) fn flow(parts: &[&str], start: usize, indent: usize, width: Option<usize>) -> Vec<String> {
    let width = width.unwrap_or(usize::MAX);
    let (mut column, mut gap) = (start, 0);
    let flow_part = |part: &&str| {
        let mut flown = String::new();
        for (index, word) in part.split(' ').enumerate() {
            let length = word.chars().count();
            if length > 0 && gap > 0 && column > indent && column + gap + length > width {
                flown.push('\n');
                flown.extend(std::iter::repeat_n(' ', indent));
                column = indent;
                gap = 0;
            } else if index > 0 && length == 0 {
                gap += 1;
                continue;
            }
            flown.extend(std::iter::repeat_n(' ', gap));
            flown.push_str(word);
            column += gap + length;
            gap = 1;
        }
        // The next part stands a little apart.
        gap = 2;
        flown
    };
    parts.iter().map(flow_part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_parts() {
        let flown = |width| flow(&["one two  three", "[four]"], 4, 6, width).concat();
        assert_eq!(flown(None), "one two  three  [four]");
        assert_eq!(flown(Some(26)), "one two  three  [four]");
        assert_eq!(flown(Some(25)), "one two  three\n      [four]");
        assert_eq!(flown(Some(12)), "one two\n      three\n      [four]");
        assert_eq!(flown(Some(1)), "one\n      two\n      three\n      [four]");
    }

    #[test]
    fn no_line_is_longer_than_it_must_be() {
        let text = "a word and anotherone and some more of them until there are many";
        for width in 12..40 {
            let flown = flow(&[text], 3, 2, Some(width)).concat();
            let first = 3 + flown.lines().next().map_or(0, str::len);
            assert!(
                first <= width && flown.lines().skip(1).all(|line| line.len() <= width),
                "{width}: {flown}"
            );
            assert_eq!(flown.split_whitespace().collect::<Vec<_>>().join(" "), text);
        }
    }
}
