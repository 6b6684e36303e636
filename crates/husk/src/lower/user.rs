// SPDX-License-Identifier: Apache-2.0
//! `--user`: checks the form. Names are looked up later, in the container.

use husk_spec::User;

use super::Problem;

pub(super) fn parse(text: &str) -> Result<User, Problem> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    check("user", user)?;
    group.map_or(Ok(()), |group| check("group", group))?;
    Ok(User::Named(text.to_owned()))
}

fn check(what: &str, word: &str) -> Result<(), Problem> {
    let form = || format!("a {what} is a name or a number");
    if word.is_empty() {
        return Err(Problem::new(format!("{}, and there is none", form()))
            .hint("USER or USER:GROUP: root, 1000:100, www-data:adm"));
    }
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large must not end up as a name, nor as another number (CVE-2024-40635). The last one
        // means "no id" to the kernel.
        return match word.parse::<u32>() {
            Ok(id) if id != u32::MAX => Ok(()),
            _ => Err(Problem::new(format!("{word} is no {what} id")).hint("ids go from 0 to 4294967294")),
        };
    }
    // Whatever else passwd(5) may hold on some system: domain accounts (`DOM\user`), machine accounts (`host$`).
    let legal = |c: char| c.is_alphanumeric() || "_.-@$\\".contains(c);
    if !word.chars().all(legal) || word.starts_with(['-', '.']) || word.len() > 256 {
        return Err(Problem::new(format!("{}, and {word:?} is neither", form())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_ones_stay_as_typed() {
        for text in [
            "0",
            "root",
            "1000:100",
            "www-data:adm",
            "_apt",
            "4294967294",
            "a.b@example",
            "DOM\\user:0",
            "host$",
        ] {
            assert_eq!(parse(text), Ok(User::Named(text.to_owned())));
        }
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in [
            "",
            ":",
            "root:",
            ":0",
            "0:0:0",
            "-1",
            "+1",
            "0:-1",
            "4294967295",
            "4294967296",
            "0:4294967295",
            "99999999999999999999",
            " 0",
            "0 ",
            "0\n",
            "a b",
            "a/b",
            "../x",
            "a,b",
            "\u{202e}toor",
            "0x0+",
            "1.5:,",
            "ro\0ot",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_taken_exactly_if_it_is_an_id(id in 0u64..(1 << 34)) {
            prop_assert_eq!(parse(&id.to_string()).is_ok(), id < u64::from(u32::MAX));
        }

        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
