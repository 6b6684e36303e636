// SPDX-License-Identifier: Apache-2.0
//! The first line of a script, read as the kernel reads it (`fs/binfmt_script.c`, execve(2) under
//! "Interpreter scripts").

/// The kernel looks at this many bytes (`BINPRM_BUF_SIZE`).
pub const HEAD: usize = 256;

/// A `#!` line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shebang<'a> {
    /// The line without its newline, as it stands in the file.
    pub line: &'a [u8],
    /// The program that is to run the script. A trailing CR is part of it, to the kernel.
    pub interpreter: &'a [u8],
    /// All the rest of the line, as one argument.
    pub argument: Option<&'a [u8]>,
}

/// Takes apart the `#!` line of a file of which `head` is the beginning. None where the kernel would say
/// ENOEXEC: no `#!`, no interpreter after it, or one that may go on beyond the bytes that the kernel looks
/// at.
pub fn parse(head: &[u8]) -> Option<Shebang<'_>> {
    let head = &head[..head.len().min(HEAD)];
    let rest = head.strip_prefix(b"#!")?;
    let end = rest.iter().position(|&b| b == b'\n');
    let text = trim(&rest[..end.unwrap_or(rest.len())]);
    let cut = text.iter().position(|&b| is_blank(b) || b == 0);
    let interpreter = &text[..cut.unwrap_or(text.len())];
    let truncated = end.is_none() && cut.is_none() && head.len() == HEAD;
    if interpreter.is_empty() || truncated {
        return None;
    }
    let argument = cut.map(|at| trim(&text[at..])).filter(|argument| !argument.is_empty());
    Some(Shebang { line: &head[..2 + end.unwrap_or(rest.len())], interpreter, argument })
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        let found = parse(b"#! /usr/bin/env  -S python3 -u \necho\n").unwrap();
        assert_eq!(found.interpreter, b"/usr/bin/env");
        assert_eq!(found.argument, Some(&b"-S python3 -u"[..]));
        assert_eq!(found.line, b"#! /usr/bin/env  -S python3 -u ");
    }

    #[test]
    fn a_carriage_return_belongs_to_the_interpreter() {
        assert_eq!(parse(b"#!/bin/sh\r\n").unwrap().interpreter, b"/bin/sh\r");
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        assert_eq!(parse(b"#!/bin/sh").unwrap().interpreter, b"/bin/sh");
    }

    #[test]
    fn nothing_to_run_is_no_script() {
        for head in [&b""[..], b"#", b"#!", b"#!\n/bin/sh", b"#! \t\n", b"echo hello\n", b" #!/bin/sh"] {
            assert_eq!(parse(head), None, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn an_interpreter_that_may_be_truncated_is_refused() {
        let mut long = b"#!/".to_vec();
        long.resize(HEAD + 10, b'a');
        assert_eq!(parse(&long), None);
        long[HEAD - 2] = b' ';
        assert!(parse(&long).is_some(), "the interpreter ends in sight; only its argument may be cut");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(rest in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&rest);
            let mut head = b"#!".to_vec();
            head.extend(&rest);
            if let Some(found) = parse(&head) {
                prop_assert!(!found.interpreter.is_empty() && found.line.starts_with(b"#!"));
            }
        }
    }
}
