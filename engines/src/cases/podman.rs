// SPDX-License-Identifier: Apache-2.0
//! Podman.

mod groups;
mod life;
mod setting;

use super::Cases;

pub(crate) const CASES: &[Cases] = &[life::CASES, setting::CASES, groups::CASES];
