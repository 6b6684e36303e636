// SPDX-License-Identifier: Apache-2.0
//! The completions, in the shells that they are for: typed into a terminal, with the tabulator key.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use husk_tests::{Place, Terminal, skip};

/// A shell without a person's settings, and how it loads what it would find by itself once that is installed.
struct Shell {
    name: &'static str,
    start: &'static str,
    load: &'static str,
}

const BASH: Shell = Shell {
    name: "bash",
    start: "PS1='READY> ' exec bash --norc --noprofile",
    load: "source share/bash-completion/completions/husk",
};

const ZSH: Shell = Shell {
    name: "zsh",
    start: "PS1='READY> ' exec zsh -f",
    load: "fpath=($PWD/share/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D",
};

const FISH: Shell = Shell {
    name: "fish",
    start: "exec fish --no-config --init-command 'function fish_prompt; echo -n \"READY> \"; end'",
    load: "source share/fish/vendor_completions.d/husk.fish",
};

/// What is typed before the key, and what then stands there.
const COMPLETED: [(&str, &str); 5] = [
    ("husk ru", "husk run"),
    ("husk run --net", "husk run --network"),
    ("husk explain run --cap-a", "husk explain run --cap-add"),
    ("husk see --tr", "husk see --tree"),
    ("husk run -v sit", "husk run -v site"),
];

fn completes(shell: &Shell, test: &str) {
    if !Path::new("/usr/bin").join(shell.name).exists() {
        skip!(test, "{} is not installed", shell.name);
    }
    if !Terminal::is_possible() {
        skip!(test, "tmux is not installed");
    }
    let place = Place::new();
    let caller = place.callers().remove(0);
    husk_manual::write(&caller.home().join("share")).expect("completions can be written");
    fs::create_dir(caller.home().join("site")).expect("a directory to complete");
    let terminal = Terminal::new(&caller);
    // There has to be a program of this name; and fish keeps files in the directories that are named last.
    let path = place.path().display();
    terminal.type_line(&format!("export PATH={path}:$PATH HOME=$PWD XDG_RUNTIME_DIR=$PWD/runtime"));
    // Where others could read, fish would not write, but take /tmp.
    terminal.type_line("mkdir -m 700 runtime");
    terminal.type_line(shell.start);
    terminal.wait_for_prompt("READY>");
    terminal.type_line(shell.load);
    terminal.type_line("clear");
    for (typed, completed) in COMPLETED {
        terminal.wait_for_screen("READY>");
        terminal.type_text(typed);
        terminal.press("Tab");
        terminal.wait_for(&format!("READY> {completed}"));
        // fish shows also what it merely suggests: only what stands before the next letter has been taken.
        terminal.type_text("+");
        terminal.wait_for("+");
        let screen = terminal.screen();
        let taken = screen.strip_prefix("READY> ").and_then(|line| line.strip_suffix('+'));
        assert_eq!(taken.map(|taken| taken.trim_end_matches([' ', '/', '='])), Some(completed), "{screen}");
        terminal.press("C-u");
    }
}

#[test]
fn bash_completes() {
    completes(&BASH, "bash_completes");
}

#[test]
fn zsh_completes() {
    completes(&ZSH, "zsh_completes");
}

#[test]
fn fish_completes() {
    completes(&FISH, "fish_completes");
}
