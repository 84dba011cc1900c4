//! Links, and that every page can be found.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::markdown::{Page, ROOT, collect, pages};

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let anchors: HashMap<&str, &[String]> =
        pages.iter().map(|page| (page.path.as_str(), page.anchors.as_slice())).collect();
    let mut wrong = Vec::new();
    for page in &pages {
        for (line, target) in &page.links {
            if let Err(reason) = follow(page, target, &anchors) {
                wrong.push(format!("{}:{line}: {target}: {reason}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

/// Checks that a link leads to a file of the project or a heading in it. Other sites are not checked.
fn follow(page: &Page, target: &str, anchors: &HashMap<&str, &[String]>) -> Result<(), String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        let odd = target.chars().find(|c| c.is_whitespace() || matches!(c, '<' | '>'));
        return odd.map_or(Ok(()), |odd| Err(format!("{odd:?} in an address")));
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, name)| (path, Some(name)));
    let file = if path.is_empty() { page.path.clone() } else { beside(&page.path, path)? };
    if !Path::new(ROOT).join(&file).exists() {
        return Err(format!("there is no {file}"));
    }
    let Some(anchor) = anchor else { return Ok(()) };
    let known = anchors.get(file.as_str()).ok_or(format!("{file} has no headings"))?;
    if known.iter().any(|name| name == anchor) {
        Ok(())
    } else {
        Err(format!("{file} has the headings {}", known.join(", ")))
    }
}

/// The path from the project's folder for a `path` that a page names.
fn beside(page: &str, path: &str) -> Result<String, String> {
    let mut folder = PathBuf::from(page);
    folder.pop();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => folder.push(name),
            Component::CurDir => {}
            Component::ParentDir if folder.pop() => {}
            _ => return Err("it leads out of the project".to_owned()),
        }
    }
    Ok(folder.to_str().unwrap().to_owned())
}

#[test]
fn the_index_has_every_page() {
    let index = Page::read("docs/README.md");
    for page in pages() {
        let Some(name) = page.path.strip_prefix("docs/") else { continue };
        if name != "README.md" {
            assert!(index.links.iter().any(|(_, target)| target == name), "docs/README.md has no {name}");
        }
    }
}

#[test]
fn pages_that_files_mention_are_there() {
    let mut files = Vec::new();
    for folder in ["src", "config", "examples", "deploy", "tests", ".ci", ".github"] {
        let folder = Path::new(ROOT).join(folder);
        if folder.is_dir() {
            collect(&folder, &mut files, &|path| path.extension().is_none_or(|end| end != "png"));
        }
    }
    for file in files {
        // Not all files are text.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (at, _) in text.match_indices("docs/") {
            let letters = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '-');
            let outside = text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '_'));
            let name = text[at + 5..].split_inclusive(|c| !letters(c)).next().unwrap_or_default();
            let whole = text[at + 5 + name.len()..].starts_with("md");
            if !outside && whole && name.len() > 1 && name.ends_with('.') {
                let page = format!("docs/{name}md");
                assert!(Path::new(ROOT).join(&page).is_file(), "{} names {page}", file.display());
            }
        }
    }
}

#[test]
fn the_readme_is_short_and_begins_with_what_a_clone_can_do() {
    let text = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    assert!(text.len() <= 10_000, "README.md has {} bytes", text.len());
    let readme = Page::parse("README.md", &text);
    let commands: Vec<_> = readme.blocks.iter().map(|block| block.text.trim()).take(2).collect();
    assert_eq!(commands, ["cargo run --release", "cargo test"]);
}
