// SPDX-License-Identifier: Apache-2.0
//! What each command does once its words are understood.

pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod learn;
pub(crate) mod rootfs;
pub(crate) mod run;
pub(crate) mod see;
pub(crate) mod step;
pub(crate) mod why;
mod why_running;
