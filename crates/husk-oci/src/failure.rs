// SPDX-License-Identifier: Apache-2.0
//! Why a call failed, in the words that callers search for, and the exit status that says so.

use husk_runtime::container;
use husk_runtime::own_binary;
use husk_runtime::why_exec::ExecProblem;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What is said: first what callers search for, then the explanation.
    pub(crate) message: String,
    /// The exit status.
    pub(crate) status: u8,
}

impl Failure {
    /// A failure with the exit status of most.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: 1 }
    }

    pub(crate) fn with_status(self, status: u8) -> Self {
        Self { status, ..self }
    }
}

impl From<container::Error> for Failure {
    fn from(error: container::Error) -> Self {
        let hint = error.hint().map_or(String::new(), |hint| format!(" ({hint})"));
        let message = match &error {
            container::Error::Run(husk_runtime::Error::Exec { problem, .. }) => {
                format!("{}{problem}", searched_for(problem))
            }
            error => error.to_string(),
        };
        Self::new(message + &hint)
    }
}

impl From<own_binary::Unprotected> for Failure {
    fn from(error: own_binary::Unprotected) -> Self {
        Self::new(error.to_string())
    }
}

/// The words by which callers tell the ways of a command that cannot be executed apart.
fn searched_for(problem: &ExecProblem) -> &'static str {
    match problem {
        ExecProblem::NotFound { command, .. } if !command.as_os_str().as_encoded_bytes().contains(&b'/') => {
            "executable file not found in $PATH: "
        }
        ExecProblem::NotFound { .. } | ExecProblem::NotADirectory { .. } | ExecProblem::EmptyRoot => {
            "no such file or directory: "
        }
        _ => "permission denied: ",
    }
}
