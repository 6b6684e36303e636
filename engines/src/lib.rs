// SPDX-License-Identifier: Apache-2.0
//! Real engines on ground that is thrown away.
//!
//! A [`World`] is a machine in small: processes, mounts, cgroups and network of its own, in which Docker, Podman,
//! containerd and buildah run as they do anywhere, and which is gone without a trace afterwards. In it a [`Case`] is
//! typed, once with a runtime that is the reference and once with the one under test, and the [`Verdict`] compares.
#![forbid(unsafe_code)]

mod case;
mod cases;
mod compare;
mod engine;
mod normal;
mod world;

pub use case::{Case, Step};
pub use compare::{Trial, Verdict, judge};
pub use engine::Engine;
pub use world::{Outcome, Setting, World};

/// What can go wrong here is for a person to read.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
