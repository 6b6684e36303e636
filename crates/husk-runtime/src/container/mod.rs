// SPDX-License-Identifier: Apache-2.0
//! Containers that outlive whoever makes them: made, started, signalled, deleted, each by another call that finds in the state
//! what it needs.
//!
//! What a container has on the host is written down before it is made. So whatever ends a call in the middle, `kill -9` included,
//! [`delete`] finds all there is and takes it away, and there is no second way of cleaning up.

mod agent;
mod cgroup;
mod command;
mod create;
mod delete;
mod descriptor_socket;
mod directory;
mod error;
mod exec;
pub(crate) mod hooks;
pub mod notify;
mod pid_file;
mod probe;
pub(crate) mod process;
mod record;
mod resource_group;
mod signal;
mod start;
mod timestamp;

pub use cgroup::{Event, pause, processes, resume, statistics, update, watch};
pub use create::{Making, Then, create, run};
pub use delete::delete;
pub use directory::{Entry, StateRoot};
pub use error::Error;
pub use exec::{Exec, exec};
pub use husk_cgroup::SubCgroup;
pub use husk_cgroup::stats::Stats;
pub use probe::probe;
pub use process::InitProcess;
pub use record::{Condition, Record};
pub use signal::{To, kill};
pub use start::start;
pub use timestamp::now as timestamp;
