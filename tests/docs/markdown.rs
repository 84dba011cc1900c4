//! Parses the part of Markdown that the manual uses.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the project.
pub(super) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A page of the manual, or another Markdown file of the project.
pub(super) struct Page {
    /// From the folder of the project, with slashes.
    pub(super) path: String,
    /// Blocks of code between fences.
    pub(super) blocks: Vec<Block>,
    /// The lines at which indented code without a fence begins. Its language is not known.
    pub(super) unmarked: Vec<usize>,
    /// The anchors of the headings.
    pub(super) anchors: Vec<String>,
    /// The targets of links and pictures, with their lines.
    pub(super) links: Vec<(usize, String)>,
    /// The table rows below each heading. The header row comes first, without the line below it.
    pub(super) tables: Vec<Table>,
}

/// A block of code.
pub(super) struct Block {
    /// The line of its fence.
    pub(super) line: usize,
    /// The info string behind the fence.
    pub(super) mark: String,
    pub(super) text: String,
}

/// A table, by its cells.
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Page {
    /// The page at this path from the folder of the project.
    pub(super) fn read(path: &str) -> Page {
        let text = fs::read_to_string(Path::new(ROOT).join(path)).expect(path);
        Page::parse(path, &text)
    }

    pub(super) fn parse(path: &str, text: &str) -> Page {
        let (prose, blocks) = without_blocks(path, text);
        Page {
            path: path.to_owned(),
            blocks,
            unmarked: unmarked(&prose),
            anchors: anchors(&prose),
            links: links(&prose),
            tables: tables(&prose),
        }
    }

    /// The only table that begins with these cells.
    #[track_caller]
    pub(super) fn table(&self, head: &[&str]) -> &Table {
        let mut found = self.tables.iter().filter(|table| table.head.iter().zip(head).all(|(a, b)| a == b));
        let table = found.next().unwrap_or_else(|| panic!("no table {head:?} in {}", self.path));
        assert!(found.next().is_none(), "several tables {head:?} in {}", self.path);
        table
    }
}

/// All Markdown files of the project.
pub(super) fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    collect(Path::new(ROOT), &mut paths, &|path| path.extension().is_some_and(|end| end == "md"));
    let relative = |path: &PathBuf| path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| Page::read(&relative(path))).collect()
}

/// The files below a folder for which `wanted` is true, without built and hidden ones.
pub(super) fn collect(folder: &Path, into: &mut Vec<PathBuf>, wanted: &dyn Fn(&Path) -> bool) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && !["target", "node_modules", ".git"].contains(&&*name) {
            collect(&path, into, wanted);
        } else if path.is_file() && wanted(&path) {
            into.push(path);
        }
    }
}

/// The text with an empty line for each line of a block, and the blocks.
fn without_blocks(path: &str, text: &str) -> (String, Vec<Block>) {
    let mut prose = String::new();
    let mut blocks = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let fence = content.strip_prefix("```");
        open = match (open, fence) {
            (Some((block, _)), Some("")) => {
                blocks.push(block);
                None
            }
            (Some((mut block, indent)), _) => {
                let inner = line.get(indent..).filter(|_| line[..indent].trim().is_empty());
                block.text += inner.unwrap_or(content);
                block.text.push('\n');
                Some((block, indent))
            }
            (None, Some(mark)) => {
                let mark = mark.trim().to_owned();
                Some((Block { line: number, mark, text: String::new() }, indent))
            }
            (None, None) => {
                prose += line;
                None
            }
        };
        prose.push('\n');
    }
    assert!(open.is_none(), "a block of {path} does not end");
    (prose, blocks)
}

/// The lines at which indented code begins. In a list, an indented line continues an item.
fn unmarked(prose: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut in_list = false;
    let mut after_blank = true;
    for (number, line) in (1..).zip(prose.lines()) {
        let content = line.trim_start();
        let first = content.split(' ').next().unwrap_or_default();
        let number_of_item = first.strip_suffix('.').is_some_and(|number| number.parse::<u32>().is_ok());
        if ["*", "-", "+"].contains(&first) || number_of_item {
            in_list = true;
        } else if !content.is_empty() && content.len() == line.len() {
            in_list = false;
        }
        if after_blank && !in_list && !content.is_empty() && line.starts_with("    ") {
            found.push(number);
        }
        after_blank = content.is_empty();
    }
    found
}

/// Replaces inline code by spaces of the same length. Code does not span paragraphs.
fn without_code(prose: &str) -> String {
    prose.split("\n\n").map(paragraph_without_code).collect::<Vec<_>>().join("\n\n")
}

fn paragraph_without_code(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].bytes().take_while(|byte| *byte == b'`').count();
        let (before, code) = rest.split_at(start + ticks);
        clean += &before[..start];
        match end_of_code(code, ticks) {
            Some(end) => {
                let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
                clean.extend(rest[start..start + ticks + end].chars().map(blank));
                rest = &code[end..];
            }
            None => rest = code,
        }
    }
    clean + rest
}

/// The end of inline code that began with this many backticks, behind its closing backticks.
fn end_of_code(code: &str, ticks: usize) -> Option<usize> {
    let mut from = 0;
    loop {
        let start = from + code[from..].find('`')?;
        let count = code[start..].bytes().take_while(|byte| *byte == b'`').count();
        if count == ticks {
            return Some(start + count);
        }
        from = start + count;
    }
}

fn links(prose: &str) -> Vec<(usize, String)> {
    let prose = without_code(prose);
    let mut links = Vec::new();
    for (before, after) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
        for (at, _) in prose.match_indices(before) {
            let target = prose[at + before.len()..].split(after).next().unwrap();
            links.push((prose[..at].lines().count().max(1), target.to_owned()));
        }
    }
    links
}

/// Anchors as GitHub makes them: lower case, hyphens for spaces, no other punctuation, and a number for a repeated
/// one.
fn anchors(prose: &str) -> Vec<String> {
    let mut seen = HashMap::new();
    let headings = prose.lines().filter(|line| line.trim_start_matches('#').starts_with(' '));
    let headings = headings.filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = seen.entry(anchor.clone()).or_insert(0);
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

fn tables(prose: &str) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut lines = prose.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            continue;
        }
        let mut table = Table { head: cells(line), rows: Vec::new() };
        while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
            let row = cells(row);
            if !row.iter().all(|cell| cell.trim_matches(':').chars().all(|c| c == '-') && !cell.is_empty()) {
                table.rows.push(row);
            }
        }
        tables.push(table);
    }
    tables
}

/// The cells of a row. A bar with a backslash is part of a cell.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').replace("\\|", "\u{0}");
    let row = row.strip_suffix('|').unwrap_or(&row);
    row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// What stands between backticks.
pub(super) fn code_in(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn markdown_is_read_as_it_is_shown() {
    let text = "# A `b` (c), d_e\n\n[x](y.md#z) `[no](code)` and ``a ` [no](b)`` but [yes\nhere](../w)\n\n\
                ## Again\n## Again\n\n  ```sh run\n  echo '[no](block)'\n    two\n  ```\n\n\
* item\n\n    goes on\n\ntext\n\n    code\n    code\n\n\
                | a | b |\n|---|---:|\n| `x` | p\\|q |\n| `y`, `z` | |\n";
    let page = Page::parse("page.md", text);
    assert_eq!(page.anchors, ["a-b-c-d_e", "again", "again-1"]);
    assert_eq!(page.links, [(3, "y.md#z".to_owned()), (4, "../w".to_owned())]);
    assert_eq!(page.blocks.len(), 1);
    assert_eq!((page.blocks[0].line, page.blocks[0].mark.as_str()), (9, "sh run"));
    assert_eq!(page.blocks[0].text, "echo '[no](block)'\n  two\n");
    assert_eq!(page.unmarked, [20]);
    let table = page.table(&["a"]);
    assert_eq!(table.head, ["a", "b"]);
    assert_eq!(table.rows, [["`x`", "p|q"], ["`y`, `z`", ""]]);
    assert_eq!(code_in(&table.rows[1][0]), ["y", "z"]);
}
