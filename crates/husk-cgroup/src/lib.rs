// SPDX-License-Identifier: Apache-2.0
//! Cgroups (`cgroups(7)`), version 1 and 2.
//!
//! What is asked for becomes files and values in [`limits`] and device rules in [`device`], without a look at the host.
#![forbid(unsafe_code)]

pub mod device;
pub mod limits;
