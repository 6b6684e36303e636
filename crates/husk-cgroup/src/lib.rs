// SPDX-License-Identifier: Apache-2.0
//! Cgroups (`cgroups(7)`), version 1 and 2.
//!
//! Pure, for the planner: what is asked for becomes files and values in [`limits`], and device rules in [`device`], without
//! a look at the host. Effects, for the runtime: [`Hierarchies`] finds what is mounted, a [`Place`] is the cgroups of one
//! container, from making to removing them.
#![forbid(unsafe_code)]

pub mod device;
mod error;
mod file;
mod hierarchy;
pub mod limits;
mod place;
pub mod stats;
pub mod systemd;

pub use error::{CgroupError, in_words};
pub use hierarchy::{Hierarchies, Mounted};
pub use place::{
    Directory, Entry, MemoryKills, MemoryLimit, OomEvent, OomWatch, Place, ScopeWatch, SubCgroup,
};
