// SPDX-License-Identifier: Apache-2.0
//! Names for containers that were given none: an adjective and an animal, easy to say and to remember.

use std::hash::{BuildHasher, RandomState};

const ADJECTIVES: [&str; 64] = [
    "able", "amber", "apt", "awake", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "clear",
    "clever", "cosy", "curious", "daring", "deft", "eager", "early", "easy", "fair", "fond", "frank", "free",
    "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "jolly", "keen", "kind",
    "lively", "lucid", "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble", "patient", "plain",
    "polite", "proud", "quick", "quiet", "ready", "rosy", "sharp", "silver", "sincere", "smart", "snug",
    "steady", "sunny", "swift", "tidy", "warm", "wise", "witty",
];

const ANIMALS: [&str; 64] = [
    "alpaca", "badger", "bat", "beaver", "bee", "bison", "bream", "buzzard", "camel", "carp", "cat", "cod",
    "crane", "crow", "deer", "dingo", "dove", "duck", "eel", "egret", "elk", "falcon", "ferret", "finch",
    "fox", "frog", "gecko", "goose", "grouse", "gull", "hare", "heron", "ibex", "ibis", "jay", "kite",
    "koala", "lark", "lemur", "llama", "lynx", "marten", "mole", "moose", "newt", "ocelot", "orca", "otter",
    "owl", "panda", "perch", "puffin", "quail", "raven", "robin", "seal", "shrew", "stoat", "stork", "swan",
    "tapir", "toad", "trout", "wren",
];

/// A name of these random bits.
pub(crate) fn name_of(random: u64) -> String {
    let [adjective, animal] = [random, random >> 32].map(|bits| (bits % 64) as usize);
    format!("{}-{}", ADJECTIVES[adjective], ANIMALS[animal])
}

/// A random name. Not a secret: it costs one `getrandom(2)`, by way of the keys that std makes for its hash maps.
pub(crate) fn random() -> String {
    name_of(RandomState::new().hash_one(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_word_can_come_up_and_none_twice() {
        let names: HashSet<String> =
            (0..64).flat_map(|a| (0..64).map(move |b| name_of(a << 32 | b))).collect();
        assert_eq!(names.len(), 64 * 64);
    }

    #[test]
    fn two_are_seldom_the_same() {
        let names: HashSet<String> = (0..20).map(|_| random()).collect();
        assert!(names.len() > 10, "{names:?}");
    }
}
