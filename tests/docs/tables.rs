//! Checks that the tables of flags, settings, limits and metrics match the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::markdown::{Page, ROOT, Table, code_in};
use crate::support::{Directory, Gateway, run};

fn flags_and_settings() -> Table {
    let mut page = Page::read("docs/configuration.md");
    let at = page.tables.iter().position(|table| table.head[0] == "Flag").expect("a table of flags");
    page.tables.swap_remove(at)
}

fn limits() -> Table {
    let mut page = Page::read("docs/limits.md");
    let wanted = ["Setting", "Default"];
    let at = page.tables.iter().position(|table| table.head.iter().zip(wanted).all(|(a, b)| a == b));
    page.tables.swap_remove(at.expect("a table of limits"))
}

/// The keys of the two lists of rules.
fn rules() -> [(&'static str, Table); 2] {
    let page = Page::read("docs/rules.md");
    let mut tables = page.tables.into_iter().filter(|table| table.head.starts_with(&["Key".to_owned()]));
    ["groups", "metrics"].map(|list| (list, tables.next().expect("a table of keys")))
}

/// The only code in a cell, if it is nothing but code.
pub(super) fn only_code(cell: &str) -> Option<String> {
    let codes = code_in(cell);
    (codes.len() == 1 && cell == format!("`{}`", codes[0])).then(|| codes[0].clone())
}

/// The flags of `--help`, with their defaults; those that are on or off have none there.
fn flags_of_the_program() -> BTreeMap<String, Option<String>> {
    let help = run(&["--help"]).stdout;
    let names = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("-h, ").unwrap_or(line).strip_prefix("--")?;
        let word = line.split_whitespace().next()?;
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name, Some(default.trim_matches('"').to_owned())),
            None => (word.strip_prefix("[no-]")?, None),
        };
        Some((name.to_owned(), default))
    });
    names.collect()
}

#[test]
fn the_flags_are_those_of_the_program() {
    let program = flags_of_the_program();
    assert!(program.len() > 10, "{program:?}");
    let table = flags_and_settings();
    let mut documented = BTreeSet::new();
    for row in &table.rows {
        let flags =
            code_in(&row[0]).into_iter().filter_map(|code| code.strip_prefix("--").map(str::to_owned));
        for flag in flags {
            match program.get(&flag) {
                Some(Some(default)) if default.is_empty() => {
                    assert_eq!(only_code(&row[2]), None, "the default of --{flag}");
                }
                Some(Some(default)) => {
                    assert_eq!(only_code(&row[2]).as_ref(), Some(default), "the default of --{flag}");
                }
                Some(None) => {
                    assert!(["on", "off", ""].contains(&row[2].as_str()), "the default of --{flag}")
                }
                // A flag that --help leaves out prints something and ends the program.
                None => assert!(run(&[&format!("--{flag}")]).status.success(), "there is no flag --{flag}"),
            }
            assert!(documented.insert(flag.clone()), "--{flag} has two rows");
        }
    }
    for flag in program.keys() {
        assert!(documented.contains(flag), "docs/configuration.md has no row for --{flag}");
    }
}

/// Every setting of the sample configuration with its default, and those without one. Other tests compare that file
/// with the program.
fn settings_of_the_sample() -> BTreeMap<String, Option<toml::Value>> {
    let sample = fs::read_to_string(Path::new(ROOT).join("config/tallygate.toml")).unwrap();
    let mut settings = BTreeMap::new();
    let mut table = "";
    for line in sample.lines() {
        // A list of rules stands as a comment.
        if let Some(name) = line.strip_prefix('[').or_else(|| line.strip_prefix("#[[")) {
            table = name.trim_end_matches(']');
        }
        // Settings that depend on others have a space after the `#`, and an example instead of a default.
        let Some(setting) = line.strip_prefix('#') else { continue };
        let has_default = !setting.starts_with(' ');
        let Some((key, value)) = setting.strip_prefix(' ').unwrap_or(setting).split_once(" = ") else {
            continue;
        };
        if key.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '0'..='9')) {
            let value: toml::Table = format!("value = {value}").parse().expect("a value");
            settings.insert(format!("{table}.{key}"), has_default.then(|| value["value"].clone()));
        }
    }
    settings
}

/// What the manual writes for a default.
fn as_documented(default: &toml::Value) -> String {
    match default {
        toml::Value::Boolean(true) => "on".to_owned(),
        toml::Value::Boolean(false) => "off".to_owned(),
        toml::Value::Integer(number) => format!("`{number}`"),
        toml::Value::String(text) => format!("`{text}`"),
        toml::Value::Array(list) if list.len() == 1 => as_documented(&list[0]),
        other => panic!("no way to write {other:?}"),
    }
}

#[test]
fn the_settings_are_those_of_the_program() {
    let sample = settings_of_the_sample();
    assert!(sample.len() > 30, "{sample:?}");
    let mut documented: BTreeMap<String, String> = BTreeMap::new();
    let mut document = |setting: &str, default: &str| {
        if let Some(other) = documented.insert(setting.to_owned(), default.to_owned()) {
            assert_eq!(other, default, "two defaults of {setting}");
        }
    };
    for row in &flags_and_settings().rows {
        if let Some(setting) = code_in(&row[1]).first().filter(|setting| !setting.ends_with('*')) {
            document(setting, &row[2]);
        }
    }
    for row in &limits().rows {
        let setting = only_code(&row[0]).expect("a setting");
        let whole = if setting.contains('.') { setting } else { format!("limits.{setting}") };
        document(&whole, &row[1]);
    }
    for (list, rules) in rules() {
        for row in &rules.rows {
            document(&format!("{list}.{}", only_code(&row[0]).expect("a key")), &row[1]);
        }
    }
    for (setting, default) in &sample {
        let said = documented.get(setting).unwrap_or_else(|| panic!("the manual has no row for {setting}"));
        match default {
            None => assert_eq!(only_code(said), None, "the default of {setting}"),
            Some(default) if is_empty(default) => {
                assert_eq!(only_code(said), None, "the default of {setting}")
            }
            Some(default) => assert_eq!(*said, as_documented(default), "the default of {setting}"),
        }
    }
    for setting in documented.keys() {
        assert!(sample.contains_key(setting), "there is no setting {setting}");
    }
}

/// Whether a default says nothing, for which the manual has words.
fn is_empty(default: &toml::Value) -> bool {
    default.as_str().is_some_and(str::is_empty)
        || default.as_array().is_some_and(Vec::is_empty)
        || default.as_table().is_some_and(toml::Table::is_empty)
}

/// A scrape that has every family of the gateway's own.
fn scrape_with_everything() -> String {
    let folder = Directory::new();
    let file = format!("--persistence.file={}", folder.path_of("metrics.db"));
    let gateway = Gateway::start_with_config("[[groups]]\nmatch = '{job=\"a\"}'\n", &[&file]);
    gateway.push("/metrics/job/a", "jobs_total 1\n");
    gateway.refused("/metrics/job/a", "jobs_total -1\n");
    gateway.scrape()
}

/// The names and types in a scrape for which `is_wanted` is true.
fn types(scrape: &str, is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let wanted = types.filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The names in the first column of a table, and what the second column says.
fn documented(table: &Table) -> BTreeMap<String, String> {
    let mut documented = BTreeMap::new();
    for row in &table.rows {
        for name in code_in(&row[0]) {
            assert!(documented.insert(name.clone(), row[1].clone()).is_none(), "{name} has two rows");
        }
    }
    documented
}

#[test]
fn the_metrics_are_those_of_the_program() {
    let program = types(&scrape_with_everything(), |name| name != "jobs_total");
    let page = Page::read("docs/metrics.md");
    let documented = documented(page.table(&["Metric", "Type"]));
    assert_eq!(documented, program, "the table of docs/metrics.md beside a scrape");
}

#[cfg(feature = "postgres")]
#[test]
fn the_metrics_of_replicas_are_those_of_the_program() {
    let Some(database) = crate::programs::database::Database::start(&["fsync=off"]) else { return };
    let gateway = Gateway::start(&[&format!("--persistence.postgres={}", database.url())]);
    let program = types(&gateway.scrape(), |name| name.starts_with("tallygate_replica"));
    let page = Page::read("docs/metrics.md");
    let metrics = documented(page.table(&["Metric of replicas", "Type"]));
    assert_eq!(metrics, program, "the table of docs/metrics.md beside a scrape");
    let page = Page::read("docs/replicas.md");
    let watched = documented(page.table(&["Metric", "Meaning"]));
    let names = |table: BTreeMap<String, String>| table.into_keys().collect::<Vec<_>>();
    assert_eq!(names(watched), names(program), "the table of docs/replicas.md beside a scrape");
}

/// The labels of every family of the gateway's own in a scrape, without those that are part of its type.
fn labels(scrape: &str) -> BTreeSet<(String, String)> {
    let mut family = "";
    let mut found = BTreeSet::new();
    for line in scrape.lines() {
        if let Some((name, _)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            family = name;
        } else if let Some((_, labels)) = line.split_once('{') {
            let names = labels.split("=\"").filter_map(|text| text.rsplit(['{', ',', '"']).next());
            let names = names.filter(|name| !name.is_empty() && !name.starts_with(['}', ' ']));
            let own = names.filter(|name| !["le", "quantile"].contains(name));
            found.extend(own.map(|name| (family.to_owned(), name.to_owned())));
        }
    }
    found
}

#[test]
fn the_labels_of_metrics_are_documented() {
    let scrape = scrape_with_everything();
    let is_own = |family: &str| family.starts_with("pushgateway_") || family.starts_with("tallygate_");
    let page = Page::read("docs/metrics.md");
    let rows = &page.table(&["Metric", "Type"]).rows;
    for (family, label) in labels(&scrape).iter().filter(|(family, _)| is_own(family)) {
        let row = rows.iter().find(|row| code_in(&row[0]).contains(family)).expect(family);
        assert!(
            code_in(&row[2]).contains(label),
            "docs/metrics.md does not name the label {label} of {family}"
        );
    }
    assert!(labels(&scrape).contains(&("tallygate_pushes_total".to_owned(), "result".to_owned())));
}

/// The values of a label in a family of which every series is there from the start.
fn values(scrape: &str, family: &str, label: &str) -> BTreeSet<String> {
    let start = format!("{family}{{{label}=\"");
    let values = scrape.lines().filter_map(|line| line.strip_prefix(&start)?.split('"').next());
    values.map(str::to_owned).collect()
}

#[test]
fn the_limits_are_those_that_are_counted() {
    let counted = values(&scrape_with_everything(), "tallygate_limit_hits_total", "limit");
    let limits = limits();
    let rows = limits.rows.iter().filter(|row| !row[3].ends_with("not counted"));
    let mut documented: BTreeSet<String> = rows
        .map(|row| only_code(&row[0]).expect("a setting"))
        .map(|setting| setting.rsplit('.').next().unwrap().to_owned())
        .collect();
    // The limit of a rule is no setting of its own.
    let page = std::fs::read_to_string("docs/limits.md").unwrap();
    let of_rules = ["max_series"].into_iter().filter(|key| page.contains(&format!("`{key}` of a rule")));
    documented.extend(of_rules.map(str::to_owned));
    assert_eq!(documented, counted);
}

#[test]
fn the_reasons_of_denials_are_those_that_are_counted() {
    let counted = values(&scrape_with_everything(), "tallygate_denied_requests_total", "reason");
    let page = Page::read("docs/metrics.md");
    let table = page.table(&["Metric", "Type"]);
    let row = table.rows.iter().find(|row| row[0] == "`tallygate_denied_requests_total`").unwrap();
    let documented: BTreeSet<String> = code_in(&row[2]).into_iter().filter(|code| code != "reason").collect();
    assert_eq!(documented, counted);
}

#[test]
fn what_adds_is_the_same_on_both_pages() {
    let short = Page::read("README.md");
    let long = Page::read("docs/pushing.md");
    let long = &long.table(&["Type", "POST", "PUT"]).rows;
    let expected: Vec<_> = long.iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(short.table(&["Type", "POST", "PUT"]).rows, expected);
}

#[test]
fn the_paths_are_there() {
    let gateway = Gateway::start(&["--web.enable-admin-api", "--web.enable-lifecycle"]);
    gateway.push("/metrics/job/a", "jobs_total 1\n");
    let id = gateway.get("/api/v1/groups").text();
    let id = id.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned();
    let page = Page::read("docs/api.md");
    for row in &page.table(&["Path", "Methods"]).rows {
        for path in code_in(&row[0]).into_iter().filter(|path| row[1] == "GET" && !path.contains("...")) {
            let query = if path.ends_with("/series") { "?family=jobs_total" } else { "" };
            let path = path.replace("ID", &id) + query;
            let answer = gateway.get(&path);
            assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        }
    }
}
