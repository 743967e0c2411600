//! Columns for a terminal.

/// Two blanks between columns.
const GAP: usize = 2;

/// A line for the header and one for each row, which has as many cells.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |(column, name): (usize, &&str)| {
        cells(column).map(|cell| cell.chars().count()).chain([name.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = header.iter().enumerate().map(width).collect();
    let line = |row: &[String]| {
        let padded: String =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<wide$}", wide = width + GAP)).collect();
        padded.trim_end().to_owned() + "\n"
    };
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    line(&header) + &rows.iter().map(|row| line(row)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = table(&["kind", "n"], &[row(["kill-leader", "10"]), row(["é", "1"])]);
        assert_eq!(text, "kind         n\nkill-leader  10\né            1\n");
    }
}
