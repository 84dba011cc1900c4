//! Checks the structure of the source: which module may use which, and how long a file may be.
//!
//! `src/lib.rs` lists the top modules in the order in which they may use each other. A module and the modules inside
//! it may use each other. No other two files do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The top modules: each may use only those before it.
const ORDER: [&str; 13] = [
    "message",
    "progress",
    "config",
    "model",
    "exposition",
    "rules",
    "store",
    "persistence",
    "telemetry",
    "gateway",
    "http",
    "logging",
    "cli",
];

/// A file must have fewer lines than this, without its tests.
const MOST_LINES: usize = 500;

/// The source of each module without its tests and comments, by path: `store::group` for `src/store/group.rs`.
fn modules() -> BTreeMap<String, Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(&root).unwrap().with_extension("");
            let parts: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
            let is_code = path.extension().is_some_and(|extension| extension == "rs");
            if is_code && parts.last() != Some(&"tests") && parts != ["lib"] && parts != ["main"] {
                modules.insert(parts.join("::"), Source::of(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(modules.len() > 100, "{} modules are not all", modules.len());
    modules
}

struct Source {
    has_doc_line: bool,
    lines: usize,
    code: String,
}

impl Source {
    fn of(text: &str) -> Source {
        let mut lines = Vec::new();
        let mut rest = text.lines().peekable();
        while let Some(line) = rest.next() {
            let module = rest.peek().filter(|next| {
                line == "#[cfg(test)]"
                    && ["mod ", "pub mod ", "pub(crate) mod "].iter().any(|word| next.starts_with(word))
            });
            match module {
                // It has a file of its own.
                Some(module) if module.ends_with(';') => {
                    rest.next();
                }
                Some(_) => break,
                None => lines.push(line.split("//").next().unwrap_or("")),
            }
        }
        Source { has_doc_line: text.starts_with("//! "), lines: lines.len(), code: lines.join("\n") }
    }

    /// The modules that this one uses. `own` is its path.
    fn uses(&self, own: &str, modules: &BTreeMap<String, Source>) -> BTreeSet<String> {
        let mut paths = Vec::new();
        for item in self.code.split(';').filter_map(|part| Some(part.rsplit_once("use ")?.1)) {
            let item: String = item.split_whitespace().collect::<Vec<_>>().join(" ");
            expand("", &item, &mut paths);
        }
        let is_word = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        paths.extend(
            self.code.split(|char| !is_word(char)).filter(|word| word.contains("::")).map(str::to_owned),
        );
        let used = paths.iter().filter_map(|path| module_of(own, path, modules));
        used.filter(|used| used != own).collect()
    }
}

/// Expands a tree of imports to paths.
fn expand(before: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        paths.push(format!("{before}{}", tree.split(" as ").next().unwrap_or(tree)));
        return;
    };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut depth, mut start) = (0, 0);
    for (at, char) in inside.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&format!("{before}{prefix}"), &inside[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&format!("{before}{prefix}"), &inside[start..], paths);
}

/// The module at the beginning of a path, as `own` sees it.
fn module_of(own: &str, path: &str, modules: &BTreeMap<String, Source>) -> Option<String> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut base: Vec<&str> = own.split("::").collect();
    match parts[0] {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while parts.first() == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
            parts.insert(0, "");
        }
        inner if modules.contains_key(&format!("{own}::{inner}")) => parts.insert(0, ""),
        _ => return None,
    }
    let full: Vec<&str> = base.into_iter().chain(parts.into_iter().skip(1)).collect();
    (1..=full.len()).rev().map(|len| full[..len].join("::")).find(|module| modules.contains_key(module))
}

/// Whether one of the modules is inside the other.
fn is_inside(a: &str, b: &str) -> bool {
    let inside =
        |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with("::"));
    inside(a, b) || inside(b, a)
}

#[test]
fn imports_are_read_as_they_are_meant() {
    let mut paths = Vec::new();
    expand("", "crate::a::{b::{C, d}, self as x, e}", &mut paths);
    assert_eq!(paths, ["crate::a::b::C", "crate::a::b::d", "crate::a::self", "crate::a::e"]);
    let source = Source::of("mod a; // no\n#[cfg(test)]\nmod b;\nmod c;\n#[cfg(test)]\nmod tests {\n}\n");
    assert_eq!((source.lines, &*source.code), (2, "mod a; \nmod c;"));
    let modules = ["a", "a::b", "a::b::c", "d"].map(|name| (name.to_owned(), Source::of(""))).into();
    let module = |own, path| module_of(own, path, &modules);
    assert_eq!(module("d", "crate::a::b::Item").as_deref(), Some("a::b"));
    assert_eq!(module("a::b", "super::Item").as_deref(), Some("a"));
    assert_eq!(module("a::b::c", "super::super::b::c::Item").as_deref(), Some("a::b::c"));
    assert_eq!(module("a", "b::Item").as_deref(), Some("a::b"));
    assert_eq!(module("a", "std::fmt"), None);
    assert!(is_inside("a::b", "a") && is_inside("a", "a::b::c") && !is_inside("a::b", "a::bc"));
}

#[test]
fn each_module_uses_only_what_stands_before_it() {
    let modules = modules();
    let place = |module: &str| {
        let top = module.split("::").next().unwrap();
        ORDER.iter().position(|name| *name == top).unwrap_or_else(|| panic!("{top} is not in the order"))
    };
    let mut wrong = Vec::new();
    for (own, source) in &modules {
        let uses = source.uses(own, &modules);
        wrong.extend(
            uses.iter().filter(|used| place(used) > place(own)).map(|used| format!("{own} uses {used}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(modules["store"].uses("store", &modules).contains("store::order"), "nothing is found");
}

#[test]
fn no_two_files_use_each_other() {
    let modules = modules();
    let uses: BTreeMap<&String, BTreeSet<String>> =
        modules.iter().map(|(own, source)| (own, source.uses(own, &modules))).collect();
    let mut circles = Vec::new();
    for (own, used) in &uses {
        let back = used.iter().filter(|used| uses[*used].contains(*own) && *used > *own);
        circles.extend(back.filter(|used| !is_inside(own, used)).map(|used| format!("{own} and {used}")));
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn each_file_says_what_it_is_for_and_is_short() {
    let modules = modules();
    let undocumented: Vec<_> = modules.iter().filter(|(_, source)| !source.has_doc_line).collect();
    assert!(undocumented.is_empty(), "{:?}", undocumented.iter().map(|(own, _)| own).collect::<Vec<_>>());
    let long = modules.iter().filter(|(_, source)| source.lines > MOST_LINES);
    let long: Vec<_> = long.map(|(own, source)| format!("{own}: {} lines", source.lines)).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// The map in lib.rs has the same order as this test.
#[test]
fn the_order_is_that_of_the_map() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let listed: Vec<&str> =
        map.lines().filter_map(|line| line.strip_prefix("//! * [`")?.split('`').next()).collect();
    let tops: Vec<&str> = listed.into_iter().filter(|name| ORDER.contains(name)).take(ORDER.len()).collect();
    assert_eq!(tops, ORDER);
}
