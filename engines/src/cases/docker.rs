// SPDX-License-Identifier: Apache-2.0
//! Docker.

mod images;
mod life;
mod setting;

use super::Cases;

pub(crate) const CASES: &[Cases] = &[life::CASES, setting::CASES, images::CASES];
