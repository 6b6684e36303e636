// SPDX-License-Identifier: Apache-2.0
//! husk-oci, the engines' program: an OCI runtime with runc's command line.
//!
//! The library has the definition of the command line. `command_line` is what callers type, `verbs` what is then done, one file each, `log` where errors go, `output` what the caller
//! reads.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), no_main)]

mod bundle;
mod command_line;
mod descriptors;
mod failure;
mod log;
mod output;
mod verbs;

use command_line::{Call, Globals};
use descriptors::Descriptors;
use failure::Failure;
use husk_plan::in_words;

/// Proves, in debug builds, that nothing allocates between `clone3` and `execve`.
#[cfg(debug_assertions)]
#[global_allocator]
static ALLOCATOR: husk_sys::AllocationGuard<std::alloc::System> =
    husk_sys::AllocationGuard(std::alloc::System);

husk_sys::entry!();

#[cfg(not(test))]
husk_sys::program!(run);

/// The exit status, for the caller.
type Status = u8;

const SUCCESS: Status = 0;

#[cfg_attr(test, expect(dead_code, reason = "a test program has another start"))]
fn run() -> Status {
    if husk_sys::is_more_privileged_than_caller() {
        let problem = "husk-oci has a set-user-id or set-group-id bit or file capabilities here, and is not made for that: \
                       take them away (chmod ug-s, setcap -r)";
        return fail(&Globals::default(), &Failure::new(problem));
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (globals, call) = command_line::parse(&arguments);
    // Before anything is opened: what is open now is the caller's.
    let closed = call.and_then(|call| close_descriptors(&call).map(|()| call));
    let ready = log::open(&globals).and(closed);
    match ready.and_then(|call| carry_out(&globals, call)) {
        Ok(status) => status,
        Err(failure) => fail(&globals, &failure),
    }
}

/// Lets nothing that this program executes have descriptors that it happens to have been started with: neither a hook nor the
/// command (CVE-2016-9962, CVE-2024-21626).
fn close_descriptors(call: &Call) -> Result<(), Failure> {
    let passed = match call {
        Call::Create(create) => Descriptors::of_container(create.preserve_fds)?,
        Call::Run(run) => Descriptors::of_container(run.create.preserve_fds)?,
        Call::Exec(exec) => Descriptors::of_exec(exec.preserve_fds)
            .map_err(|failure| failure.with_status(verbs::exec::FAILED))?,
        _ => Descriptors::default(),
    };
    husk_sys::close_range(passed.count.saturating_add(3))
        .map_err(|errno| Failure::new(format!("cannot close inherited descriptors: {}", in_words(errno))))
}

fn carry_out(globals: &Globals, call: Call) -> Result<Status, Failure> {
    match call {
        Call::Version => verbs::version::version(),
        Call::Help(verb) => verbs::help::help(verb),
        Call::Create(create) => verbs::create::create(globals, &create),
        Call::Run(run) => verbs::create::run(globals, &run),
        Call::Start { id } => verbs::start::start(globals, &id),
        Call::State { id } => verbs::state::state(globals, &id),
        Call::Kill(kill) => verbs::kill::kill(globals, &kill),
        Call::Delete { id, force } => verbs::delete::delete(globals, &id, force),
        Call::List(list) => verbs::list::list(globals, &list),
        Call::Ps(ps) => verbs::ps::ps(globals, &ps),
        Call::Pause { id } => verbs::pause::pause(globals, &id),
        Call::Resume { id } => verbs::pause::resume(globals, &id),
        Call::Update(update) => verbs::update::update(globals, &update),
        Call::Events(events) => verbs::events::events(globals, &events),
        Call::Exec(exec) => verbs::exec::exec(globals, &exec),
        Call::Spec { bundle, rootless } => verbs::spec::spec(bundle.as_deref(), rootless),
        Call::Features => verbs::features::features(),
    }
}

/// Says why, in the log for the engine and on standard error for whoever looks, once each.
fn fail(globals: &Globals, failure: &Failure) -> Status {
    log::error(globals, failure);
    output::error(failure);
    failure.status
}
