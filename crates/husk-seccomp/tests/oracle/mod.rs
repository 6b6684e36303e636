// SPDX-License-Identifier: Apache-2.0
//! libseccomp, for tests to compare with: a program of its own, built with the C compiler when a test asks for it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use husk_seccomp::{Instruction, Outcome, arch_name};
use husk_spec::oci::{Action, Arch, Operator, Seccomp, Syscall};

/// The code of an instruction that ends the program.
const RETURN: u8 = 0x06;

/// Numbers that libseccomp gives to names that an architecture does not have are negative.
pub(crate) type Number = i32;

pub(crate) struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _directory: tempfile::TempDir,
}

/// A program that libseccomp has made, or why it has not.
pub(crate) type Answer = Result<Vec<Instruction>, String>;

impl Oracle {
    /// None where there is no C compiler or no libseccomp: then the test `name` is skipped.
    pub(crate) fn start(name: &str) -> Option<Self> {
        match Self::build() {
            Ok(oracle) => Some(oracle),
            Err(reason) => {
                skip(name, &reason);
                None
            }
        }
    }

    fn build() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let program = directory.path().join("oracle");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/libseccomp.c");
        let cc = Command::new("cc").args(["-O1", "-o"]).arg(&program).args([source, "-lseccomp"]).output();
        let cc = cc.map_err(|error| format!("cc: {error}; `cargo xtask setup` installs it"))?;
        if !cc.status.success() {
            return Err("libseccomp's headers are missing; `cargo xtask setup` installs them".into());
        }
        let command = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = command.map_err(|error| error.to_string())?;
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Ok(Self { child, input, output, _directory: directory })
    }

    /// The number of a call; None if libseccomp does not know the name at all.
    pub(crate) fn resolve(&mut self, arch: Arch, call: &str) -> Option<Number> {
        self.ask(&format!("resolve {} {call}\n", scmp_name(arch))).parse().ok()
    }

    /// The program that runc asks libseccomp for, without what runc puts before it.
    pub(crate) fn compile(&mut self, profile: &Seccomp, native: Arch) -> Answer {
        let default = action(profile.default_action, profile.default_errno_ret);
        let mut request = format!("begin {default}\nonly\n");
        for arch in std::iter::once(&native).chain(&profile.architectures) {
            request += &format!("arch {}\n", scmp_name(*arch));
        }
        for rule in &profile.syscalls {
            let action = action(rule.action, rule.errno_ret);
            if action != default {
                request.extend(rule.names.iter().flat_map(|name| requests(rule, name, action)));
            }
        }
        let answer = self.ask(&(request + "end\n"));
        match answer.split_once(' ') {
            Some(("ok", bytes)) => Ok(instructions(bytes, is_big_endian(native))),
            Some(("refused", reason)) => Err(reason.to_owned()),
            _ => panic!("libseccomp's program: {answer:?}"),
        }
    }

    fn ask(&mut self, request: &str) -> String {
        self.input.write_all(request.as_bytes()).expect("the oracle reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the oracle answers");
        line.trim_end().to_owned()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What runc asks for, for one name of a rule.
fn requests(rule: &Syscall, name: &str, action: u32) -> Vec<String> {
    let conditions: Vec<_> = rule
        .args
        .iter()
        .map(|arg| format!(" {} {} {} {}", arg.index, operator(arg.op), arg.value, arg.value_two))
        .collect();
    let repeated = |index| rule.args.iter().filter(|arg| arg.index == index).count() > 1;
    if rule.args.iter().any(|arg| repeated(arg.index)) {
        return conditions.iter().map(|condition| format!("rule {action} {name}{condition}\n")).collect();
    }
    vec![format!("rule {action} {name}{}\n", conditions.concat())]
}

/// SCMP_ACT_* of seccomp.h; EPERM where no error is given.
pub(crate) fn action(action: Action, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(1) & 0xffff;
    match action {
        Action::KillProcess => 0x8000_0000,
        Action::KillThread => 0,
        Action::Trap => 0x0003_0000,
        Action::Errno => 0x0005_0000 | data,
        Action::Notify => 0x7fc0_0000,
        Action::Trace => 0x7ff0_0000 | data,
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    }
}

/// `enum scmp_compare`.
fn operator(operator: Operator) -> u32 {
    match operator {
        Operator::NotEqual => 1,
        Operator::Less => 2,
        Operator::LessOrEqual => 3,
        Operator::Equal => 4,
        Operator::GreaterOrEqual => 5,
        Operator::Greater => 6,
        Operator::MaskedEqual => 7,
    }
}

fn scmp_name(arch: Arch) -> String {
    arch_name(arch).trim_start_matches("SCMP_ARCH_").to_lowercase()
}

pub(crate) fn is_big_endian(arch: Arch) -> bool {
    use Arch::{Mips, Mips64, Mips64N32, Ppc, Ppc64, S390, S390x};
    matches!(arch, Mips | Mips64 | Mips64N32 | Ppc | Ppc64 | S390 | S390x)
}

fn instructions(hex: &str, big_endian: bool) -> Vec<Instruction> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
    let instruction = |bytes: &[u8]| {
        let code = [bytes[0], bytes[1]];
        let k = [bytes[4], bytes[5], bytes[6], bytes[7]];
        let (big, little) = (u32::from_be_bytes(k), u32::from_le_bytes(k));
        // Where libseccomp makes a program for the other byte order, it swaps its copies of a return twice.
        let swapped_twice =
            code == [0, RETURN] && (Outcome(big).action().is_none() || (1..0x10000).contains(&big));
        Instruction {
            code: if big_endian { u16::from_be_bytes(code) } else { u16::from_le_bytes(code) },
            jt: bytes[2],
            jf: bytes[3],
            k: if big_endian && !swapped_twice { big } else { little },
        }
    };
    bytes.chunks_exact(8).map(instruction).collect()
}

/// Says why the test `name` does not test: on standard error, and in the file that collects skips, if there is one.
fn skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("HUSK_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
