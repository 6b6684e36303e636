// SPDX-License-Identifier: Apache-2.0
//! Where a plan's strings and lists live: one block of memory, laid out before `clone3`, so that the steps can borrow and
//! the child need not allocate.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

use bumpalo::Bump;
use husk_init::{StringArray, ThinCStr};

use crate::PlanError;

/// Memory that a [`crate::Plan`] borrows from.
#[derive(Debug, Default)]
pub struct Arena(Bump);

impl Arena {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of `string` with a NUL at its end.
    ///
    /// # Errors
    /// A NUL within `string`.
    pub(crate) fn cstr(&self, string: impl AsRef<OsStr>) -> Result<&CStr, PlanError> {
        let string = string.as_ref();
        let bytes = string.as_bytes();
        let copy = self.0.alloc_slice_fill_with(bytes.len() + 1, |i| bytes.get(i).copied().unwrap_or(0));
        CStr::from_bytes_with_nul(copy)
            .map_err(|_| PlanError::NulByte { text: string.to_string_lossy().into_owned() })
    }

    pub(crate) fn slice<T: Copy>(&self, items: &[T]) -> &[T] {
        self.0.alloc_slice_copy(items)
    }

    /// `strings` in the form that `execve` takes.
    pub(crate) fn string_array<'a>(&'a self, strings: &[&'a CStr]) -> StringArray<'a> {
        let thin = |i: usize| strings.get(i).map(|s| ThinCStr::new(s));
        let array = self.0.alloc_slice_fill_with(strings.len() + 1, thin);
        StringArray::new(array).expect("only the last is None")
    }
}
