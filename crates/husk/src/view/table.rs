// SPDX-License-Identifier: Apache-2.0
//! Tables of text.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Paint;

/// A column that must give way is not made narrower than this.
const NARROWEST: usize = 10;

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

/// Lays out rows below headings, two blanks between columns, within `width` if there is one. The first column is strong.
pub(super) fn table(columns: &[Column], rows: &[Vec<String>], width: Option<usize>, paint: Paint) -> String {
    let used = |index: &usize| rows.iter().any(|row| !row[*index].is_empty());
    let shown: Vec<usize> = (0..columns.len()).filter(used).collect();
    let widths = widths(columns, &shown, rows, width);
    let line = |cells: &dyn Fn(usize) -> String, style: &dyn Fn(usize, &str) -> String| {
        let mut line = String::new();
        for (position, (column, width)) in shown.iter().zip(&widths).enumerate() {
            let cell = cut(&cells(*column), *width);
            let blanks = " ".repeat(width.saturating_sub(cell.width()));
            let cell = style(position, &cell);
            line += &if columns[*column].right { blanks + &cell } else { cell + &blanks };
            line += "  ";
        }
        line.trim_end().to_owned() + "\n"
    };
    let heading = line(&|column| columns[column].heading.to_owned(), &|_, heading| paint.faint(heading));
    let rows = rows.iter().map(|row| {
        line(&|column| row[column].clone(), &|position, cell| match position {
            0 => paint.strong(cell),
            _ => cell.to_owned(),
        })
    });
    std::iter::once(heading).chain(rows).collect()
}

fn widths(columns: &[Column], shown: &[usize], rows: &[Vec<String>], width: Option<usize>) -> Vec<usize> {
    let natural = |column: &usize| {
        let cells = rows.iter().map(|row| row[*column].width());
        cells.max().unwrap_or(0).max(columns[*column].heading.width())
    };
    let mut widths: Vec<usize> = shown.iter().map(natural).collect();
    let Some(limit) = width else { return widths };
    while widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1) > limit {
        let may_shrink = |index: &usize| columns[shown[*index]].gives_way && widths[*index] > NARROWEST;
        let Some(widest) = (0..widths.len()).filter(may_shrink).max_by_key(|index| widths[*index]) else {
            break;
        };
        widths[widest] -= 1;
    }
    widths
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
    fn what_gives_way_is_cut_where_it_is_narrow() {
        let table = table(&COLUMNS, &rows(), Some(22), Paint(false));
        assert_eq!(table, "NAME   PID  COMMAND\na        7  sleep 100…\n容器  4711  sh\n");
        assert!(table.lines().all(|line| line.width() <= 22));
    }

    #[test]
    fn nothing_is_cut_in_the_middle_of_a_wide_character() {
        assert_eq!(cut("容器容器", 4), "容…");
        assert_eq!(cut("容器容器", 5), "容器…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
