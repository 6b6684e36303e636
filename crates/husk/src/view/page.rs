// SPDX-License-Identifier: Apache-2.0
//! A page with a drawing of the nested namespaces.

use husk_see::Machine;

/// The page.
pub(crate) fn page(_machine: &Machine) -> String {
    String::new()
}
