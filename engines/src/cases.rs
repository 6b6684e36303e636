// SPDX-License-Identifier: Apache-2.0
//! What people and programs do with each engine.

pub(crate) mod buildah;
pub(crate) mod containerd;
pub(crate) mod docker;
pub(crate) mod kubernetes;
pub(crate) mod podman;
pub(crate) mod remap;
pub(crate) mod rootless;

use crate::Step;

/// The cases of an engine: name and steps.
pub(crate) type Cases = &'static [(&'static str, &'static [Step])];
