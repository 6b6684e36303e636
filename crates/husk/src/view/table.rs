// SPDX-License-Identifier: Apache-2.0
//! Tables of text.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Paint;

/// A column that must give way is not made narrower than this.
const NARROWEST: usize = 8;

/// Where nothing is cut, cells that are longer than this make their own rows longer, not all.
const PADDED: usize = 60;

/// How far what does not fit into a line is set in below it.
const INDENT: usize = 4;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// Numbers stand to the right.
    pub(super) right: bool,
    /// Whether its cells may be cut where the terminal is too narrow.
    pub(super) gives_way: bool,
}

impl Column {
    pub(super) const fn text(heading: &'static str) -> Self {
        Self { heading, right: false, gives_way: false }
    }

    pub(super) const fn number(heading: &'static str) -> Self {
        Self { heading, right: true, gives_way: false }
    }

    pub(super) const fn long(heading: &'static str) -> Self {
        Self { heading, right: false, gives_way: true }
    }
}

/// Lays out rows below headings, two blanks between columns, within `width` if there is one: where that is too narrow for all
/// columns, each row goes on below, set in. Without one nothing is cut. The first column is strong.
pub(super) fn table(columns: &[Column], rows: &[Vec<String>], width: Option<usize>, paint: Paint) -> String {
    let used = |index: &usize| rows.iter().any(|row| !row[*index].is_empty());
    let natural = |index: usize| {
        let cells = rows.iter().map(|row| row[index].width());
        let widest = cells.max().unwrap_or(0).max(columns[index].heading.width());
        (index, if width.is_none() && columns[index].gives_way { widest.min(PADDED) } else { widest })
    };
    let fitted = |cell: String, columns: usize| match width {
        Some(_) => cut(&cell, columns),
        None => cell,
    };
    let shown: Vec<(usize, usize)> = (0..columns.len()).filter(used).map(natural).collect();
    let lines = lines(columns, &shown, width);
    let draw = |cells: &dyn Fn(usize) -> String, style: &dyn Fn(bool, &str) -> String| {
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            let mut drawn = if number == 0 { String::new() } else { " ".repeat(INDENT) };
            for (position, (column, width)) in line.iter().enumerate() {
                let cell = fitted(cells(*column), *width);
                let blanks = " ".repeat(width.saturating_sub(cell.width()));
                let cell = style(number == 0 && position == 0, &cell);
                drawn += &if columns[*column].right { blanks + &cell } else { cell + &blanks };
                drawn += "  ";
            }
            let drawn = drawn.trim_end();
            if number == 0 || !drawn.is_empty() {
                text += drawn;
                text.push('\n');
            }
        }
        text
    };
    let heading = draw(&|column| columns[column].heading.to_owned(), &|_, heading| paint.faint(heading));
    let rows = rows.iter().map(|row| {
        let style = |is_first: bool, cell: &str| if is_first { paint.strong(cell) } else { cell.to_owned() };
        draw(&|column| row[column].clone(), &style)
    });
    std::iter::once(heading).chain(rows).collect()
}

/// Which columns stand in which line of a row, and how wide each is.
fn lines(columns: &[Column], shown: &[(usize, usize)], limit: Option<usize>) -> Vec<Vec<(usize, usize)>> {
    let Some(limit) = limit else { return vec![shown.to_vec()] };
    let least = |(column, width): (usize, usize)| {
        if columns[column].gives_way { width.min(NARROWEST) } else { width }
    };
    let mut lines: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
    let mut taken = 0;
    for column in shown {
        let is_full = taken + least(*column) > limit;
        match lines.last_mut() {
            Some(line) if !is_full || line.is_empty() => line.push(*column),
            _ => {
                lines.push(vec![*column]);
                taken = INDENT;
            }
        }
        taken += least(*column) + 2;
    }
    let indents = std::iter::once(0).chain(std::iter::repeat(INDENT));
    lines
        .into_iter()
        .zip(indents)
        .map(|(line, indent)| narrowed(columns, line, limit.saturating_sub(indent)))
        .collect()
}

/// The columns of a line, the widest of those that may give way made narrower until all fit.
fn narrowed(columns: &[Column], mut line: Vec<(usize, usize)>, limit: usize) -> Vec<(usize, usize)> {
    while line.iter().map(|(_, width)| width).sum::<usize>() + 2 * line.len().saturating_sub(1) > limit {
        let may_shrink =
            |(column, width): &&mut (usize, usize)| columns[*column].gives_way && *width > NARROWEST;
        let Some((_, widest)) = line.iter_mut().filter(may_shrink).max_by_key(|(_, width)| *width) else {
            break;
        };
        *widest -= 1;
    }
    line
}

/// As much of `text` as fits, with an ellipsis for the rest.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used < width
    };
    text.chars().take_while(fits).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] =
        [Column::text("NAME"), Column::number("PID"), Column::long("COMMAND"), Column::text("EMPTY")];

    fn rows() -> Vec<Vec<String>> {
        [["a", "7", "sleep 1000000", ""], ["容器", "4711", "sh", ""]]
            .map(|row| row.map(str::to_owned).to_vec())
            .to_vec()
    }

    #[test]
    fn columns_stand_under_each_other_whatever_their_alphabet() {
        let table = table(&COLUMNS, &rows(), None, Paint(false));
        assert_eq!(table, "NAME   PID  COMMAND\na        7  sleep 1000000\n容器  4711  sh\n");
    }

    #[test]
    fn where_nothing_is_cut_a_long_cell_widens_its_own_row_alone() {
        let long = "x".repeat(500);
        let columns = [COLUMNS[0], COLUMNS[2], Column::text("ROOT")];
        let rows = [["a", &long, "r"], ["b", "sh", "s"]].map(|row| row.map(str::to_owned).to_vec());
        let table = table(&columns, &rows, None, Paint(false));
        let head = format!("NAME  COMMAND{}  ROOT", " ".repeat(PADDED - "COMMAND".len()));
        let short = format!("b     sh{}  s", " ".repeat(PADDED - "sh".len()));
        assert_eq!(table, format!("{head}\na     {long}  r\n{short}\n"));
    }

    #[test]
    fn what_gives_way_is_cut_where_it_is_narrow() {
        let table = table(&COLUMNS, &rows(), Some(22), Paint(false));
        assert_eq!(table, "NAME   PID  COMMAND\na        7  sleep 100…\n容器  4711  sh\n");
        assert!(table.lines().all(|line| line.width() <= 22));
    }

    #[test]
    fn what_does_not_fit_at_all_goes_on_below() {
        let table = table(&COLUMNS, &rows(), Some(16), Paint(false));
        let expected = "NAME   PID\n    COMMAND\na        7\n    sleep 10000…\n容器  4711\n    sh\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn nothing_is_cut_in_the_middle_of_a_wide_character() {
        assert_eq!(cut("容器容器", 4), "容…");
        assert_eq!(cut("容器容器", 5), "容器…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
