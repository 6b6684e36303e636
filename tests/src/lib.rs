// SPDX-License-Identifier: Apache-2.0
//! The harness of the black-box tests: it runs the real husk, as root and as an ordinary user, and looks from outside.
//!
//! A test makes a [`Place`], asks it for its [`Caller`]s, and runs husk as each of them:
//!
//! ```no_run
//! let place = husk_tests::Place::new();
//! for caller in place.callers() {
//!     let root = caller.root("box");
//!     let output = caller.husk(["run"]).arg(&root).args(["/bin/sh", "-c", "echo $$"]).run();
//!     assert_eq!(output.succeeds().stdout, "1\n");
//! }
//! ```
//!
//! Everything lies in the place's directory and goes with it. Every command has an end: a process that takes too long,
//! or leaves another one behind that holds its output open, is killed and fails the test.
#![forbid(unsafe_code)]

mod binary;
mod browser;
mod by_hand;
mod caller;
mod command;
mod filter;
pub mod oci;
mod output;
mod outside;
mod patience;
mod place;
mod program;
mod running;
mod skip;
mod terminal;

pub use browser::Browser;
pub use by_hand::{classic_pair, command_line, descendant};
pub use caller::Caller;
pub use command::Command;
pub use filter::{cannot_filter, masked, refusing};
pub use output::Output;
pub use outside::Outside;
pub use patience::{PATIENCE, is_idle, until};
pub use place::Place;
pub use program::{copy_program, write_program};
pub use running::Running;
pub use rustix::process::Signal;
pub use skip::{is_root, note_skip};
pub use terminal::Terminal;
