// SPDX-License-Identifier: Apache-2.0

use super::Cases;
use crate::case::does;

pub(crate) const CASES: Cases = &[("run", &[does("true")])];
