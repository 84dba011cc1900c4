//! Code blocks of the manual: runnable ones are run, all others are at least valid.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::markdown::{Block, Page, pages};
use crate::certificates::Certificates;
use crate::programs::{self, text_of};
use crate::support::{Directory, Gateway, binary, run};

/// The longest that a block may run, in seconds. Reached only when a test fails.
const RUN_LIMIT: &str = "120";

/// The folder of the gateway's files in the manual.
const CONFIGURATION_FOLDER: &str = "/etc/tallygate";
const STATE_FOLDER: &str = "/var/lib/tallygate";

/// The address that the manual uses.
const MANUAL_URL: &str = "http://localhost:9091";

/// All blocks for which `wanted` is true, with their places.
fn blocks(wanted: impl Fn(&Block) -> bool) -> Vec<(String, Block)> {
    let mut found = Vec::new();
    for page in pages() {
        let Page { path, blocks, .. } = page;
        let blocks = blocks.into_iter().filter(&wanted);
        found.extend(blocks.map(|block| (format!("{path}:{}", block.line), block)));
    }
    found
}

fn language(block: &Block) -> &str {
    block.mark.split(' ').next().unwrap_or_default()
}

#[test]
fn every_block_says_what_it_is() {
    let marks = [
        "toml",
        "yaml",
        "sh",
        "sh run",
        "bash",
        "text",
        "text output",
        "python",
        "go",
        "json",
        "ini",
        "promql",
        "crontab",
        "dockerfile",
        "powershell",
    ];
    let odd = blocks(|block| !marks.contains(&block.mark.as_str()));
    let odd: Vec<_> = odd.iter().map(|(place, block)| format!("{place}: {:?}", block.mark)).collect();
    assert!(odd.is_empty(), "blocks with unknown marks:\n{}", odd.join("\n"));
}

#[test]
fn no_block_of_the_manual_is_without_a_mark() {
    for page in pages() {
        if page.path.starts_with("docs/") || !page.path.contains('/') {
            let Page { path, unmarked, .. } = page;
            assert!(unmarked.is_empty(), "{path}: code without a fence at the lines {unmarked:?}");
        }
    }
}

#[test]
fn toml_is_a_configuration_that_the_gateway_accepts() {
    let blocks = blocks(|block| language(block) == "toml");
    assert!(!blocks.is_empty());
    for (place, block) in blocks {
        let folder = Directory::new();
        let inside = |name: &str| folder.path_of(name);
        let text = block.text.replace(CONFIGURATION_FOLDER, &inside("")).replace(STATE_FOLDER, &inside(""));
        let settings: toml::Table = text.parse().unwrap_or_else(|error| panic!("{place}: {error}"));
        write_named_files(&folder, &settings);
        let file = folder.write("tallygate.toml", &text);
        let finished = run(&["--config.check", &format!("--config.file={file}")]);
        assert!(finished.status.success(), "{place}: {}\n{text}", finished.stderr);
    }
}

/// Creates the files that the settings name, with valid content.
fn write_named_files(folder: &Directory, settings: &toml::Table) {
    let setting = |table: &str, key: &str| settings.get(table).and_then(|table| table.get(key));
    if setting("web", "config_file").is_some() {
        let hash = password_hash();
        let users = setting("access", "users").and_then(toml::Value::as_table);
        let users = users.into_iter().flatten().map(|(name, _)| format!("  {name}: {hash}\n"));
        folder.write("web.yml", format!("basic_auth_users:\n{}", users.collect::<String>()));
    }
    let tokens = setting("access", "tokens").and_then(toml::Value::as_array);
    for token in tokens.into_iter().flatten() {
        if let Some(file) = token.get("file").and_then(toml::Value::as_str) {
            let name = file.rsplit('/').next().unwrap();
            folder.write(name, "0123456789abcdef0123456789abcdef\n");
        }
    }
}

fn password_hash() -> String {
    bcrypt::hash("secret", 4).unwrap()
}

#[test]
fn a_wrong_configuration_would_be_found() {
    let folder = Directory::new();
    let file = folder.write("tallygate.toml", "[push]\nputt = \"aggregate\"\n");
    assert!(!run(&["--config.check", &format!("--config.file={file}")]).status.success());
}

#[test]
fn web_configurations_are_accepted() {
    let keys = ["tls_server_config:", "basic_auth_users:", "http_server_config:", "rate_limit:"];
    let is_web = |block: &Block| {
        language(block) == "yaml" && block.text.lines().any(|line| keys.contains(&line.trim_end()))
    };
    let blocks = blocks(is_web);
    assert!(!blocks.is_empty());
    let Some(certificates) = Certificates::new() else { return };
    for (place, block) in blocks {
        let text = block.text.replace("$2y$10$...", &password_hash());
        let file = certificates.folder.write("web.yml", text);
        let finished = run(&["--config.check", &format!("--web.config.file={file}")]);
        assert!(finished.status.success(), "{place}: {}\n{}", finished.stderr, block.text);
    }
}

#[test]
fn prometheus_accepts_what_is_for_it() {
    let Some(promtool) = programs::promtool() else { return };
    let begins = |block: &Block, key: &str| language(block) == "yaml" && block.text.starts_with(key);
    for (key, check) in [("scrape_configs:", "config"), ("groups:", "rules")] {
        let blocks = blocks(|block| begins(block, key));
        assert!(!blocks.is_empty(), "no block {key}");
        for (place, block) in blocks {
            let folder = Directory::new();
            let file = folder.write("prometheus.yml", &block.text);
            let output = programs::command(&promtool).args(["check", check, &file]).output().unwrap();
            assert!(output.status.success(), "{place}: {}\n{}", text_of(&output), block.text);
        }
    }
}

#[test]
fn shell_is_valid() {
    let blocks = blocks(|block| ["sh", "bash"].contains(&language(block)));
    assert!(!blocks.is_empty());
    for (place, block) in blocks {
        let output = pipe(Command::new(language(&block)).arg("-n"), &block.text);
        assert!(output.status.success(), "{place}: {}\n{}", text_of(&output), block.text);
    }
}

#[test]
fn python_is_valid() {
    let Some(python) = programs::python() else { return };
    for (place, block) in blocks(|block| language(block) == "python") {
        let check = "import ast, sys; ast.parse(sys.stdin.read())";
        let output = pipe(Command::new(&python).args(["-c", check]), &block.text);
        assert!(output.status.success(), "{place}: {}\n{}", text_of(&output), block.text);
    }
}

#[test]
fn what_can_be_run_does_what_the_manual_says() {
    // What the commands of the manual need.
    if programs::curl().is_none() || programs::python().is_none() {
        return;
    }
    let mut ran = 0;
    for page in pages() {
        if page.blocks.iter().any(|block| block.mark == "sh run") {
            let stage = Stage::new();
            let mut printed = None;
            for block in &page.blocks {
                let place = format!("{}:{}", page.path, block.line);
                if block.mark == "sh run" {
                    printed = Some(stage.run(&place, &block.text));
                    ran += 1;
                } else if block.mark == "text output" {
                    let printed = printed.take().unwrap_or_else(|| panic!("{place}: the output of nothing"));
                    assert_eq!(printed.trim_end(), block.text.trim_end(), "{place}");
                }
            }
        }
    }
    assert!(ran > 0, "the manual has nothing to run");
}

/// A gateway and a folder, in which the blocks of one page run one after the other.
struct Stage {
    gateway: Gateway,
    folder: Directory,
}

impl Stage {
    fn new() -> Stage {
        let folder = Directory::new();
        // Elsewhere it may have another name.
        symlink(binary(), folder.path().join("tallygate")).unwrap();
        Stage { gateway: Gateway::start(&["--web.enable-admin-api"]), folder }
    }

    /// Runs commands, each of which must succeed, and returns their output.
    fn run(&self, place: &str, commands: &str) -> String {
        let url = self.gateway.url("");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = programs::command("timeout");
        shell.args([RUN_LIMIT, "sh", "-eu", "-c", &commands.replace(MANUAL_URL, &url)]);
        shell.stdin(Stdio::null()).current_dir(self.folder.path());
        shell.env("PATH", format!("{}:{path}", self.folder.path().display()));
        shell.env("TALLYGATE_URL", &url).env_remove("PUSHGATEWAY_URL");
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{place}: {}\n{}", output.status, text_of(&output));
        String::from_utf8(output.stdout).unwrap().replace(&url, MANUAL_URL)
    }
}

/// Runs a command that reads this.
fn pipe(command: &mut Command, input: &str) -> std::process::Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    process.wait_with_output().unwrap()
}
