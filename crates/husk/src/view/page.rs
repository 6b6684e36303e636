// SPDX-License-Identifier: Apache-2.0
//! A page with a drawing of the nested namespaces: a box in a box for each container in another. One file, that loads
//! nothing and runs nothing; whatever processes have chosen is escaped twice, for people and for HTML.

use std::fmt::Write;

use husk_see::{Container, Kind, Machine, Rooted, Seen};

use super::words;

const STYLE: &str = include_str!("page.css");

/// How many processes of a root are drawn before the others are folded away.
const DRAWN: usize = 8;

/// The page.
pub(crate) fn page(machine: &Machine) -> String {
    let host = escaped(&machine.host.name.to_string());
    let count = machine.containers.len();
    let plural = if count == 1 { "" } else { "s" };
    let kernel = escaped(&machine.host.kernel.to_string());
    let inside = match count {
        0 => "<p>There is no container on this machine. To make one: <code>husk run</code></p>".to_owned(),
        _ => format!("<div class=\"grid\">\n{}</div>", boxes(machine, None)),
    };
    // The policy is for the case that an escape is forgotten: nothing is fetched and nothing runs.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Containers of {host}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>Containers of {host}</h1><p>{count} container{plural}, Linux {kernel}</p></header>\n{}\n\
         <main class=\"host\">\n<h2>the host</h2>\n{inside}\n</main>\n\
         <footer>{}A box is a set of processes that share a set of namespaces; a box in a box is a container in a \
         container. Drawn by <code>husk see --html</code>.</footer>\n</body>\n</html>\n",
        legend(),
        unreadable(machine),
    )
}

fn legend() -> String {
    let row = |class: &str, label: &str, meaning: &str| {
        format!("<span><i class=\"kind mnt {class}\">{label}</i> {meaning}</span>")
    };
    format!(
        "<div class=\"legend\">{}{}{}{}<span><b>PID 1</b> in the container, <span class=\"outside\">host 4711</span> \
         the same process outside</span></div>",
        row("own", "mnt", "a namespace of its own"),
        row("shared", "mnt of web", "shared with another container"),
        row("hosts", "mnt", "the host's"),
        row("unknown", "mnt ?", "not to be seen"),
    )
}

fn unreadable(machine: &Machine) -> String {
    match machine.unreadable {
        0 => String::new(),
        1 => "1 process may not be looked at. ".to_owned(),
        count => format!("{count} processes may not be looked at. "),
    }
}

fn boxes(machine: &Machine, parent: Option<usize>) -> String {
    let inside = machine.containers.iter().enumerate().filter(|(_, container)| container.parent == parent);
    inside.map(|(index, container)| draw_box(machine, index, container)).collect()
}

fn draw_box(machine: &Machine, index: usize, container: &Container) -> String {
    let nested = boxes(machine, Some(index));
    let wide = if nested.is_empty() { "" } else { " wide" };
    let here = if container.is_here { " <span class=\"by\">you are here</span>" } else { "" };
    let maker = match container.maker.engine {
        husk_see::Engine::Unknown => String::new(),
        engine => format!(" <span class=\"by\">{}</span>", escaped(engine.name())),
    };
    let users = escaped(&words::users(container.uid_map.as_ref()));
    let kinds: String = Kind::ALL.into_iter().map(|kind| draw_kind(machine, container, kind)).collect();
    let roots: String = container.roots.iter().map(|rooted| draw_root(machine, rooted)).collect();
    let outside: String = container.outside.iter().map(|pid| draw_outside(machine, *pid)).collect();
    format!(
        "<section class=\"box{wide}\">\n<h2>{}{maker}{here}<span class=\"users\">{users}</span></h2>\n\
         <ul class=\"kinds\">{kinds}</ul>\n{roots}{outside}{nested}</section>\n",
        escaped(&words::name(container)),
    )
}

fn draw_kind(machine: &Machine, container: &Container, kind: Kind) -> String {
    let (class, text) = match &container.whose[kind as usize] {
        Seen::Own => ("own", kind.name().to_owned()),
        Seen::Host => ("hosts", kind.name().to_owned()),
        Seen::Shared(with) => ("shared", format!("{kind} of {}", words::with_whom(machine, with))),
        Seen::Unknown => ("unknown", format!("{kind} ?")),
    };
    let inode = container.namespaces[kind].map_or_else(String::new, |inode| format!(" {inode}"));
    format!("<li class=\"kind {kind} {class}\" title=\"{kind} namespace{inode}\">{}</li>", escaped(&text))
}

fn draw_root(machine: &Machine, rooted: &Rooted) -> String {
    let (drawn, folded) = rooted.processes.split_at(rooted.processes.len().min(DRAWN));
    let list = |pids: &[u32]| -> String { pids.iter().map(|pid| draw_process(machine, *pid)).collect() };
    let mut text = format!(
        "<div class=\"root\"><h3>/ is <b>{}</b></h3><ol>{}</ol>",
        escaped(&words::root(rooted.root.as_ref())),
        list(drawn)
    );
    if !folded.is_empty() {
        let _ = write!(
            text,
            "<details><summary>{} more</summary><ol>{}</ol></details>",
            folded.len(),
            list(folded)
        );
    }
    text + "</div>\n"
}

fn draw_process(machine: &Machine, pid: u32) -> String {
    let inside = machine.process(pid).map_or(pid, husk_see::Process::pid_inside);
    let command = escaped(&words::command(machine, pid));
    format!(
        "<li class=\"p\"><span class=\"inside\">{inside}</span><code title=\"{command}\">{command}</code>\
         <span class=\"outside\">host {pid}</span></li>"
    )
}

fn draw_outside(machine: &Machine, pid: u32) -> String {
    let command = escaped(&words::command(machine, pid));
    format!(
        "<p class=\"waits\">waits outside:<code title=\"{command}\">{command}</code>\
         <span class=\"outside\">host {pid}</span></p>\n"
    )
}

/// For HTML, between tags and in quoted attributes alike. The text is already without characters that are not seen.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_is_called_stays_text() {
        assert_eq!(
            escaped("</code><script>\"a\" & 'b'"),
            "&lt;/code&gt;&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;"
        );
    }
}
