// SPDX-License-Identifier: Apache-2.0
//! Lists of numbers such as `0-3,7`, by which processors and memory nodes are named (`cpuset(7)`, "List format").

use std::fmt;
use std::str::FromStr;

/// Bits in a word.
const WORD: usize = u64::BITS as usize;
const WORDS: usize = 16;

/// A set of numbers from 0 to [`NumberSet::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberSet([u64; WORDS]);

impl NumberSet {
    /// The highest number: kernels are built for at most 1024 nodes, and masks of processors have that length in C libraries.
    pub const MAX: usize = WORDS * WORD - 1;

    /// The set as a mask, as system calls take it.
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// The set that `words` are the mask of; what is above [`NumberSet::MAX`] is left out.
    pub fn from_words(words: &[u64]) -> Self {
        let mut set = Self::default();
        set.0.iter_mut().zip(words).for_each(|(own, word)| *own = *word);
        set
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    fn contains(&self, number: usize) -> bool {
        self.0.get(number / WORD).is_some_and(|word| word & 1 << (number % WORD) != 0)
    }
}

/// A text that is no such list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no list of numbers up to {max}: such as 0-3,7", max = NumberSet::MAX)]
pub struct InvalidNumberSet(pub String);

impl FromStr for NumberSet {
    type Err = InvalidNumberSet;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<usize>().ok().filter(|number| digits && *number <= Self::MAX)
        };
        let mut set = Self::default();
        for part in list.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
            let (first, last) = range.ok_or_else(|| InvalidNumberSet(list.to_owned()))?;
            (first..=last).for_each(|number| set.0[number / WORD] |= 1 << (number % WORD));
        }
        Ok(set)
    }
}

impl fmt::Display for NumberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut number = 0;
        while number <= Self::MAX {
            if !self.contains(number) {
                number += 1;
                continue;
            }
            let last = (number..).take_while(|next| self.contains(*next)).last().unwrap_or(number);
            match last == number {
                true => write!(f, "{comma}{number}")?,
                false => write!(f, "{comma}{number}-{last}")?,
            }
            (comma, number) = (",", last + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written() {
        for (text, written) in
            [("0", "0"), ("0-3,7", "0-3,7"), ("7, 1,2", "1-2,7"), ("63-65", "63-65"), ("1023", "1023")]
        {
            let set: NumberSet = text.parse().expect(text);
            assert_eq!(set.to_string(), written);
            assert_eq!(NumberSet::from_words(set.words()), set);
        }
        assert_eq!("0-1,64".parse::<NumberSet>().map(|set| (set.words()[0], set.words()[1])), Ok((3, 1)));
        assert!(NumberSet::default().is_empty() && NumberSet::default().to_string().is_empty());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "a", "1-", "-1", "3-1", "1,,2", "+1", "1024", "0-1024", "99999999999999999999"] {
            assert_eq!(text.parse::<NumberSet>(), Err(InvalidNumberSet(text.to_owned())), "{text}");
        }
    }
}
