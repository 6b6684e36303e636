// SPDX-License-Identifier: Apache-2.0
//! Docker.

use super::Cases;
use crate::case::{does, exits, shows};

pub(crate) const CASES: Cases = &[
    ("run", &[shows("docker run --rm box look", "Seccomp:\t2")]),
    ("run: exit status", &[exits(7, "docker run --rm box sh -c 'exit 7'")]),
];
