//! Joins the modules of the page into one script, so that a browser neither asks for each nor finds them one after the
//! other.
//!
//! Each becomes a function that is called once and returns what the module exports. Only the forms that the modules
//! use are known: an `import` or `export` begins a line, an import ends on it, and what is exported is declared there
//! and never set again. Comments stand on lines of their own, and no text spans lines.

use std::fmt::Write;

/// A module: its file name and its text.
pub(super) type Module = (&'static str, &'static str);

/// The script that does what the modules do, and hands them to a later one. Modules that import each other in a circle
/// are left out.
pub(super) fn bundle(modules: &[Module]) -> String {
    format!("const modules = {{}};\n{}export {{ modules }};\n", functions(modules))
}

/// A script that is loaded later and does what further modules do. It exports what the module `main` of these exports.
pub(super) fn later(modules: &[Module], main: &str) -> String {
    let exported = modules.iter().find(|(name, _)| *name == main).map_or("", |(_, text)| text);
    let names: Vec<&str> = exported.lines().filter_map(|line| Some(export_of(line)?.0)).collect();
    format!(
        "import {{ modules }} from \"./page.js\";\n{}export const {{ {} }} = modules[\"{main}\"];\n",
        functions(modules),
        names.join(", ")
    )
}

/// The modules as functions that are called at once, each after those that it imports.
fn functions(modules: &[Module]) -> String {
    let mut script = String::new();
    let mut left: Vec<Module> = modules.to_vec();
    loop {
        let is_left = |import: &str| left.iter().any(|(name, _)| *name == import);
        let is_ready = |(_, text): &Module| !imports(text).any(is_left);
        let (ready, later): (Vec<_>, Vec<_>) = left.iter().copied().partition(is_ready);
        if ready.is_empty() {
            return script;
        }
        for (name, text) in ready {
            push(&mut script, name, text);
        }
        left = later;
    }
}

/// The file names that a module imports.
pub(super) fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| import_of(line).map(|(_, file)| file))
}

/// What an import names, and the file. It names nothing if the module is only to run.
fn import_of(line: &str) -> Option<(&str, &str)> {
    let (names, file) = line.strip_prefix("import ")?.rsplit_once("\"./")?;
    Some((names.trim_end().trim_end_matches("from").trim_end(), file.strip_suffix("\";")?))
}

/// A script without its comments.
pub(super) fn without_comments(text: &str) -> String {
    code(text).flat_map(|line| [line, "\n"]).collect()
}

/// The lines of a module or a style without comments and indentation, which take time on a slow network.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let mut is_comment = false;
    text.lines().map(str::trim_start).filter(move |line| {
        let was_comment = is_comment;
        is_comment = (was_comment || line.starts_with("/*")) && !line.ends_with("*/");
        !was_comment && !line.starts_with("/*") && !line.starts_with("//")
    })
}

/// The name that an exported declaration gives, and the declaration.
fn export_of(line: &str) -> Option<(&str, &str)> {
    let declaration = line.strip_prefix("export ")?;
    let rest = declaration.strip_prefix("async ").unwrap_or(declaration);
    let (_, rest) = rest.split_once(' ')?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    Some((rest.split(|c: char| !is_part(c)).next()?, declaration))
}

fn push(script: &mut String, name: &str, text: &str) {
    let _ = writeln!(script, "modules[\"{name}\"] = (() => {{");
    let mut exports = Vec::new();
    for line in code(text) {
        if let Some((names, file)) = import_of(line) {
            let names =
                names.strip_prefix("* as ").map_or_else(|| names.replace(" as ", ": "), str::to_owned);
            if !names.is_empty() {
                let _ = writeln!(script, "const {names} = modules[\"{file}\"];");
            }
        } else if let Some((exported, declaration)) = export_of(line) {
            exports.push(exported);
            let _ = writeln!(script, "{declaration}");
        } else {
            let _ = writeln!(script, "{line}");
        }
    }
    let _ = writeln!(script, "return {{ {} }};\n}})();", exports.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_become_functions_in_the_order_of_their_imports() {
        let modules = [
            (
                "page.js",
                "import * as b from \"./b.js\";\nimport { x as y, z } from \"./a.js\";\nb.f(y, z);\n",
            ),
            ("b.js", "import \"./a.js\";\nexport async function f(n) {\n  return n;\n}\nexport class C {}\n"),
            (
                "a.js",
                "// One.\nexport const x = 1;\n/** Two\n  lines. */\n  /** One. */\nexport const z = `export `;\n",
            ),
        ];
        let expected = "const modules = {};\n\
            modules[\"a.js\"] = (() => {\nconst x = 1;\nconst z = `export `;\nreturn { x, z };\n})();\n\
            modules[\"b.js\"] = (() => {\nasync function f(n) {\nreturn n;\n}\nclass C {}\nreturn { f, C };\n})();\n\
            modules[\"page.js\"] = (() => {\nconst b = modules[\"b.js\"];\nconst { x: y, z } = modules[\"a.js\"];\n\
            b.f(y, z);\nreturn {  };\n})();\nexport { modules };\n";
        assert_eq!(bundle(&modules), expected);
        assert_eq!(without_comments("/* Colours. */\na {\n  color: red;\n}\n"), "a {\ncolor: red;\n}\n");
    }

    #[test]
    fn what_is_loaded_later_uses_what_is_there() {
        let modules = [
            ("more.js", "import { x } from \"./a.js\";\nexport const y = x;\n"),
            (
                "main.js",
                "import { y } from \"./more.js\";\nexport const all = [y];\nexport function f() {}\n",
            ),
        ];
        let expected = "import { modules } from \"./page.js\";\n\
            modules[\"more.js\"] = (() => {\nconst { x } = modules[\"a.js\"];\nconst y = x;\nreturn { y };\n})();\n\
            modules[\"main.js\"] = (() => {\nconst { y } = modules[\"more.js\"];\nconst all = [y];\n\
            function f() {}\nreturn { all, f };\n})();\nexport const { all, f } = modules[\"main.js\"];\n";
        assert_eq!(later(&modules, "main.js"), expected);
    }
}
