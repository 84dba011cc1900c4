//! Checks that the tables of the commands match their arguments.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, ArgAction, Command};

use super::markdown::{Page, code_in};
use super::tables::only_code;
use crate::support::run;

/// The flags that all commands share which talk to a gateway.
const SHARED: &str = "All commands that talk to a gateway";

/// Where the table of a command is.
const TABLES: [(&str, &str); 7] = [
    ("push", "docs/push.md"),
    ("delete", "docs/push.md"),
    ("healthcheck", "docs/push.md"),
    ("run", "docs/run.md"),
    ("copy", "docs/postgres.md"),
    ("export", "docs/migration.md"),
    ("rules", "docs/rules.md"),
];

/// A flag or another argument: its spelling with the name of its value, such as `--job NAME`, or `SAMPLE`.
type Arguments = BTreeMap<String, String>;

/// What a table has, with the cells of defaults.
fn documented(path: &str, head: &str) -> Arguments {
    let page = Page::read(path);
    let mut found = Arguments::new();
    for row in &page.table(&[head, "Default"]).rows {
        for code in code_in(&row[0]) {
            let name = code.split(' ').next().unwrap().to_owned();
            let previous = found.insert(code.clone(), row[1].clone());
            assert!(previous.is_none() && !name.is_empty(), "{path}: {code} has two rows");
        }
    }
    found
}

/// The name without that of the value.
fn flag(spelling: &str) -> &str {
    spelling.split(' ').next().unwrap()
}

/// How the manual spells an argument.
fn spellings(argument: &Arg) -> Vec<String> {
    let value = argument.get_value_names().map(|names| names.join(" "));
    let takes_value = !matches!(argument.get_action(), ArgAction::SetTrue);
    let Some(long) = argument.get_long() else { return vec![value.expect("a name of the value")] };
    let value = value.filter(|_| takes_value).map(|value| format!(" {value}")).unwrap_or_default();
    let short = argument.get_short().map(|short| format!("-{short}"));
    short.into_iter().chain([format!("--{long}{value}")]).collect()
}

fn default(argument: &Arg) -> Option<String> {
    let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
    let default = argument.get_default_values().first().filter(|_| !is_switch);
    default.map(|default| default.to_str().unwrap().to_owned())
}

fn check(command: &Command, path: &str) {
    let name = command.get_name();
    let mut table = documented(path, &format!("`tallygate {name}`"));
    let hidden: BTreeSet<_> =
        command.get_arguments().filter(|argument| argument.is_hide_set()).flat_map(spellings).collect();
    if command.get_arguments().any(|argument| argument.get_long() == Some("cacert")) {
        // A row in the table of a command replaces the shared one. A flag that stands in for a shared one is in
        // that table, too.
        let own: BTreeSet<_> = table.keys().map(|spelling| flag(spelling).to_owned()).collect();
        let shared = documented("docs/push.md", SHARED).into_iter();
        table.extend(
            shared.filter(|(spelling, _)| !own.contains(flag(spelling)) && !hidden.contains(spelling)),
        );
    }
    let mut taken = BTreeSet::new();
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        for spelling in spellings(argument) {
            let cell = table.get(&spelling);
            let cell = cell.unwrap_or_else(|| panic!("{path} has no row for {spelling} of {name}"));
            assert_eq!(only_code(cell), default(argument), "{path}: the default of {spelling} of {name}");
            if matches!(argument.get_action(), ArgAction::SetTrue) {
                assert_eq!(cell, "off", "{path}: the default of {spelling} of {name}");
            }
            taken.insert(spelling);
        }
    }
    let documented: BTreeSet<_> = table.into_keys().collect();
    assert_eq!(documented, taken, "{path}: the flags of {name} beside the program");
}

#[test]
fn the_flags_of_commands_are_those_of_the_program() {
    let all = tallygate::cli::definition();
    for command in all.get_subcommands() {
        let name = command.get_name();
        if let Some((_, path)) = TABLES.iter().find(|(with_table, _)| *with_table == name) {
            check(command, path);
            continue;
        }
        // The text names the arguments of these commands.
        let arguments: Vec<_> = command.get_arguments().flat_map(spellings).collect();
        assert!(
            arguments.iter().all(|spelling| !spelling.starts_with('-')),
            "{name} has flags, but no table"
        );
        let whole = format!("`tallygate {name} {}`", arguments.join(" "));
        let text = std::fs::read_to_string(format!("{}/docs/run.md", super::markdown::ROOT)).unwrap();
        assert!(text.contains(&whole), "docs/run.md has no {whole}");
    }
}

/// The exit codes in the help of a command.
fn exit_codes(command: &str) -> Vec<String> {
    let help = run(&[command, "--help"]).stdout;
    let (_, codes) = help.split_once("Exit codes:\n").unwrap_or_else(|| panic!("{command}: {help}"));
    let lines = codes.lines().take_while(|line| !line.is_empty());
    lines.map(|line| line.trim_start().split("  ").next().unwrap().to_owned()).collect()
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    for (command, path, head) in [
        ("push", "docs/push.md", "Code"),
        ("delete", "docs/push.md", "Code"),
        ("run", "docs/run.md", "Exit code"),
    ] {
        let page = Page::read(path);
        let documented: Vec<_> = page.table(&[head]).rows.iter().map(|row| row[0].clone()).collect();
        assert_eq!(documented, exit_codes(command), "{path}: the exit codes of {command}");
    }
    for command in ["healthcheck", "install", "export", "rules", "completions", "man"] {
        assert_eq!(exit_codes(command).first().map(String::as_str), Some("0"), "{command}");
    }
}

#[test]
fn commands_say_what_a_duration_is() {
    let manual = std::fs::read_to_string(format!("{}/docs/push.md", super::markdown::ROOT)).unwrap();
    let words = |text: &str| {
        let (_, text) = text.split_once("A DURATION is ").unwrap_or_else(|| panic!("{text}"));
        let sentence = text.split(". ").next().unwrap().replace('`', "");
        sentence.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
    };
    for command in ["push", "delete", "run", "healthcheck"] {
        assert_eq!(words(&run(&[command, "--help"]).stdout), words(&manual), "{command}");
    }
}
