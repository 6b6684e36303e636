// SPDX-License-Identifier: Apache-2.0
//! The definition of husk-oci's command line, from which man pages and completions are made too. The rest is the program.
#![forbid(unsafe_code)]

pub mod definition;
