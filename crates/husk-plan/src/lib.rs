// SPDX-License-Identifier: Apache-2.0
//! The planner: a compiler from what is asked ([`husk_spec::Config`]) and what is there ([`Host`]) to a [`Plan`].
//!
//! Order, policy and fallbacks are decided here, once. The plan is data: [`explain`] says it, husk-runtime carries
//! it out. Nothing here changes anything, and nothing here needs a privilege.
#![forbid(unsafe_code)]

mod abilities;
mod accounts;
mod arena;
mod compile;
mod error;
pub mod explain;
mod host;
mod plan;
pub mod read_back;
pub mod seccomp;
mod seen;
pub mod shell;
pub mod strace;
pub mod survey;
mod user_namespace;

pub use abilities::Abilities;
pub use arena::Arena;
pub use compile::{command_paths, plan};
pub use error::PlanError;
pub use host::{Found, Host, HostAccounts, IdRange, JoinedUser, MapHelpers, resctrl};
/// The words of an error of the system.
pub use husk_cgroup::in_words;
/// What a seccomp profile may ask for.
pub use husk_seccomp::SUPPORTED as SECCOMP;
pub use plan::{
    Action, Actor, CLONE_FLAGS, CgroupDriver, CgroupPlan, Claim, HostStep, IdMaps, Need, Note, Plan,
    PlannedStep, ReadBack, ResourceGroup, Stage, TreeMaps,
};
pub use seen::Seen;
