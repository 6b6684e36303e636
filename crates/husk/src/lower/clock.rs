// SPDX-License-Identifier: Apache-2.0
//! Distances in time: `3600`, `-0.5`, `1d12h`.

use husk_spec::TimeOffset;

use super::Problem;

const NANOSECONDS: i128 = 1_000_000_000;

/// The kernel refuses clocks beyond `KTIME_SEC_MAX / 2` (`proc_timens_set_offset`), 146 years.
const LIMIT: i128 = (i64::MAX as i128) / NANOSECONDS / 2 * NANOSECONDS;

/// The units, from the largest; each may come up once, in this order.
const UNITS: [(char, i128); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

pub(super) fn parse(text: &str) -> Result<TimeOffset, Problem> {
    let (negative, distance) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let nanoseconds = decimal(distance).or_else(|| with_units(distance)).ok_or_else(|| {
        Problem::new("not a distance in time")
            .hint("seconds, with at most nine decimals, or days, hours, minutes: 3600, -0.5, 1d12h, 90m")
    })?;
    if nanoseconds > LIMIT {
        return Err(Problem::new("the kernel sets no clock further than 146 years"));
    }
    let signed = if negative { -nanoseconds } else { nanoseconds };
    // Nanoseconds add to the seconds, so -0.5 s is -1 s and half a second.
    Ok(TimeOffset {
        seconds: signed.div_euclid(NANOSECONDS) as i64,
        nanoseconds: signed.rem_euclid(NANOSECONDS) as u32,
    })
}

/// `12` or `12.5`, times 10⁹.
fn decimal(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 15) || !digits(fraction, 9) {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some(whole * NANOSECONDS + fraction)
}

fn with_units(text: &str) -> Option<i128> {
    let mut rest = text;
    let mut sum = 0;
    for (unit, seconds) in UNITS {
        if let Some((number, after)) = rest.split_once(unit) {
            sum += decimal(number)? * seconds;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<(i64, u32)> {
        parse(text).ok().map(|offset| (offset.seconds, offset.nanoseconds))
    }

    #[test]
    fn seconds_and_units() {
        assert_eq!(parsed("3600"), Some((3600, 0)));
        assert_eq!(parsed("+1.5"), Some((1, 500_000_000)));
        assert_eq!(parsed("-1.5"), Some((-2, 500_000_000)));
        assert_eq!(parsed("-0.000000001"), Some((-1, 999_999_999)));
        assert_eq!(parsed("1d12h"), Some((129_600, 0)));
        assert_eq!(parsed("-1h30m"), Some((-5400, 0)));
        assert_eq!(parsed("1.5h2s"), Some((5402, 0)));
        assert_eq!(parsed("4611686018"), Some((4_611_686_018, 0)));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "-",
            "--1",
            "+-1",
            "1,5",
            ".5",
            "1.",
            "1e3",
            "0x10",
            "h",
            "1h1h",
            "1m1h",
            "1h1",
            "١",
            " 1",
            "0.0000000001",
            "4611686019",
            "-4611686019",
            "999999999999999",
            "9999999999999999",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn a_printed_distance_is_read_back(seconds in -4_611_686_017i64..4_611_686_017, nanoseconds in 0u32..1_000_000_000) {
            let total = i128::from(seconds) * NANOSECONDS + i128::from(nanoseconds);
            let sign = if total < 0 { "-" } else { "" };
            let (whole, fraction) = (total.abs() / NANOSECONDS, total.abs() % NANOSECONDS);
            prop_assert_eq!(parsed(&format!("{sign}{whole}.{fraction:09}")), Some((seconds, nanoseconds)));
        }
    }
}
