// SPDX-License-Identifier: Apache-2.0

//! A terminal's screen as a picture: text that can be marked and searched, light or dark as the reader prefers.

use std::fmt::Write;

use super::ansi::{Run, Style};

/// Width of a column and height of a row, in the units of the picture; the letters are as many high as `font-size` says.
const COLUMN: f64 = 8.4;
const ROW: f64 = 19.0;
/// From the edge to the text.
const MARGIN: f64 = 18.0;
/// From the top of a row to the line that its letters stand on.
const BASELINE: f64 = 14.0;

const STYLE: &str = "\
text { font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2328; white-space: pre; }
rect { fill: #ffffff; stroke: #d0d7de; }
.bold { font-weight: 700; } .dim { fill: #59636e; }
.c1 { fill: #b3261e; } .c2 { fill: #1a7f37; } .c3 { fill: #7d5700; } .c4 { fill: #0550ae; } .c5 { fill: #8250df; } .c6 { fill: #1b6c77; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } rect { fill: #0d1117; stroke: #30363d; } .dim { fill: #9198a1; }
.c1 { fill: #ff7b72; } .c2 { fill: #56d364; } .c3 { fill: #e3b341; } .c4 { fill: #79c0ff; } .c5 { fill: #d2a8ff; } .c6 { fill: #76e3ea; }
}
";

/// The picture of the first rows of a screen; where some are left out, three dots say so.
pub(super) fn draw(screen: &[Vec<Run>], rows: usize) -> String {
    let shown = &screen[..rows.min(screen.len())];
    let is_cut = shown.len() < screen.len();
    let columns = shown.iter().flatten().map(|run| run.column + run.text.chars().count()).max().unwrap_or(0);
    let lines = shown.len() + usize::from(is_cut);
    let (width, height) =
        (COLUMN.mul_add(columns as f64, 2.0 * MARGIN), ROW.mul_add(lines as f64, 2.0 * MARGIN));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" width=\"{width:.0}\">\n\
         <style>\n{STYLE}</style>\n\
         <rect x=\".5\" y=\".5\" width=\"{:.1}\" height=\"{:.1}\" rx=\"10\"/>\n",
        width - 1.0,
        height - 1.0,
    );
    for (row, runs) in shown.iter().enumerate() {
        runs.iter().for_each(|run| draw_run(&mut svg, row, run));
    }
    if is_cut {
        let style = Style { dim: true, ..Style::default() };
        draw_run(&mut svg, shown.len(), &Run { column: 0, style, text: "...".to_owned() });
    }
    svg + "</svg>\n"
}

/// Every run is stretched to its columns: what stands below each other does so in any font.
fn draw_run(svg: &mut String, row: usize, run: &Run) {
    let behind = run.text.trim_start();
    let column = run.column + run.text.chars().count() - behind.chars().count();
    let text = behind.trim_end();
    let length = text.chars().count();
    if length == 0 {
        return;
    }
    let (x, y) = (COLUMN.mul_add(column as f64, MARGIN), ROW.mul_add(row as f64, MARGIN + BASELINE));
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{:.1}\"{}>{}</text>",
        COLUMN * length as f64,
        class(run.style),
        escaped(text)
    );
}

fn class(style: Style) -> String {
    let colour = style.colour.map(|colour| format!("c{colour}"));
    let names = [style.bold.then(|| "bold".to_owned()), style.dim.then(|| "dim".to_owned()), colour];
    let names: Vec<_> = names.into_iter().flatten().collect();
    if names.is_empty() { String::new() } else { format!(" class=\"{}\"", names.join(" ")) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(column: usize, style: Style, text: &str) -> Run {
        Run { column, style, text: text.into() }
    }

    #[test]
    fn each_run_stands_in_its_column() {
        let style = Style { bold: true, dim: false, colour: Some(2) };
        let svg = draw(&[vec![], vec![run(2, style, "  a<b ")]], 9);
        let expected = format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" class=\"bold c2\">a&lt;b</text>\n",
            COLUMN.mul_add(4.0, MARGIN),
            ROW + MARGIN + BASELINE,
            COLUMN * 3.0
        );
        assert!(svg.contains(&expected), "{svg}");
        assert!(!svg.contains("..."), "{svg}");
    }

    #[test]
    fn what_is_left_out_is_marked() {
        let row = || vec![run(0, Style::default(), "x")];
        let svg = draw(&[row(), row(), row()], 2);
        assert_eq!((svg.matches(">x<").count(), svg.matches(">...<").count()), (2, 1), "{svg}");
    }
}
