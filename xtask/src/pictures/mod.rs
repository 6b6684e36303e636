// SPDX-License-Identifier: Apache-2.0

//! The pictures in the documents: husk at work on a made-up machine, as terminals and as a page. The same source makes the same
//! pictures, up to what the browser's fonts are.

mod ansi;
mod svg;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bench::Scratch;
use crate::process::{find, is_root, run as run_command};
use crate::{Result, bench, workspace};

/// Where the pictures lie, from the top of the repository.
const PLACE: &str = "docs/pictures";

const SCENE: &str = include_str!("scene.sh");

/// What the scene and its pictures take.
const NEEDED: [&str; 5] = ["unshare", "tmux", "busybox", "bwrap", "chromium"];

/// What a terminal's picture shows of it: its first rows, or all of them.
const TERMINALS: &[(&str, usize)] = &[("see", usize::MAX), ("explain", 20)];

/// Size of the page's picture in pixels: as much as the drawing of the scene needs.
const PAGE_SIZE: (u32, u32) = (1180, 1130);

/// Blink's numbers for what a page learns as `prefers-color-scheme`.
const SCHEMES: &[(&str, u8)] = &[("dark", 0), ("light", 1)];

/// The verb.
pub(crate) fn run() -> Result {
    if !is_root() {
        return Err("the scene needs namespaces with root's rights: run it as root".into());
    }
    let missing: Vec<_> = NEEDED.into_iter().filter(|name| find(name).is_none()).collect();
    if !missing.is_empty() {
        return Err(format!("{} missing; `cargo xtask setup` installs them", missing.join(", ")).into());
    }
    let husk = bench::husk()?;
    let scratch = Scratch::new()?;
    let place = workspace::root().join(PLACE);
    fs::create_dir_all(&place)?;
    play(&husk, &scratch.0)?;
    for (name, rows) in TERMINALS {
        let captured = fs::read_to_string(scratch.0.join(format!("{name}.ansi")))?;
        let screen = ansi::parse(&captured);
        fs::write(place.join(format!("{name}.svg")), svg::draw(&screen, *rows))?;
    }
    for (scheme, number) in SCHEMES {
        photograph(&scratch.0, &place.join(format!("page-{scheme}.png")), *number)?;
    }
    println!("{PLACE}: look at each before it is committed");
    Ok(())
}

/// Runs the scene to its end; what it captures is in `scratch` afterwards.
fn play(husk: &Path, scratch: &Path) -> Result {
    let scene = scratch.join("scene.sh");
    fs::write(&scene, SCENE)?;
    let namespaces = ["--pid", "--uts", "--mount", "--fork", "--mount-proc", "--kill-child"];
    let mut unshare = Command::new("unshare");
    unshare.args(namespaces).arg("bash").arg(scene).arg(husk).arg(scratch);
    run_command(unshare.stdin(Stdio::null()))
}

/// The scene's page, as a browser shows it.
fn photograph(scratch: &Path, picture: &Path, scheme: u8) -> Result {
    let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]);
    chromium.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    chromium.arg(option("user-data-dir", &scratch.join("profile")));
    chromium.arg(format!("--window-size={},{}", PAGE_SIZE.0, PAGE_SIZE.1));
    chromium.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    chromium.arg(option("screenshot", picture)).arg(scratch.join("page.html"));
    run_command(chromium.env("HOME", scratch).stdin(Stdio::null()).stderr(Stdio::null()))?;
    if picture.exists() { Ok(()) } else { Err(format!("chromium wrote no {}", picture.display()).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever clones the repository loads them, too.
    const MOST_BYTES: u64 = 300_000;

    #[test]
    fn the_pictures_are_small_and_each_is_shown() {
        let texts =
            ["README.md", "docs/see.md", "docs/explain.md"].map(|path| workspace::read(path).unwrap());
        let mut bytes = 0;
        for entry in fs::read_dir(workspace::root().join(PLACE)).unwrap() {
            let entry = entry.unwrap();
            bytes += entry.metadata().unwrap().len();
            let name = format!("pictures/{}", entry.file_name().display());
            assert!(texts.iter().any(|text| text.contains(&name)), "no document shows {name}");
        }
        assert!((1..MOST_BYTES).contains(&bytes), "{bytes} bytes");
    }
}
