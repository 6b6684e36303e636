// SPDX-License-Identifier: Apache-2.0
//! Tests of an OCI runtime, whichever it is: `HUSK_OCI` names the program, else it is the workspace's husk-oci.
//!
//! A test opens a [`Site`], changes the [`Bundle`] that it gives, makes a [`Container`] of it, and looks:
//!
//! ```no_run
//! use serde_json::json;
//!
//! fn hostname() {
//!     let site = husk_tests::oci_site!();
//!     let output = site.bundle().change(|spec| spec["hostname"] = json!("inside")).sh("hostname").output();
//!     output.succeeds().prints("inside\n");
//! }
//! ```
//!
//! Every runtime gets the same configuration, so that what differs is the runtime. A site has a state root, a mount
//! namespace and cgroups of its own; when it is dropped, whatever the test has left there is ended and removed.

mod bundle;
mod cgroup;
mod console;
mod contained;
mod container;
mod runtime;
mod site;
mod spec;

pub use bundle::Bundle;
pub use cgroup::{Cgroup, is_unified};
pub use console::{ConsoleSocket, Received};
pub use contained::is_contained;
pub use container::Container;
pub use runtime::Runtime;
pub use site::{Driver, Site, test_name};
pub use spec::{SpecChange, default_spec};
