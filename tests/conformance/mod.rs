//! Compares Tallygate with recorded answers of the stock Pushgateway 1.11.
//!
//! The requests are in `conformance/cases/*.toml`, the answers of the stock gateway in
//! `conformance/recorded/*.json`, written by `conformance/record.py`, which also describes both
//! formats. Where we differ on purpose the case says so under `ours`. Three differences are so
//! common that they are known here instead: HEAD in `Allow`, more words after an error, and the
//! protobuf text inside the error of a consistency check.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Gateway, Response, pushed_lines};

/// The headers of an answer that are compared; the same list as in `record.py`.
const HEADERS: [&str; 10] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "allow",
    "cache-control",
    "content-encoding",
    "content-type",
    "location",
    "x-content-type-options",
];

/// The two families of every group, with the help that the recordings leave out.
const PUSH_TIMES: [(&str, &str); 2] = [
    ("push_time_seconds", "Last Unix time when changing this group in the Pushgateway succeeded."),
    ("push_failure_time_seconds", "Last Unix time when changing this group in the Pushgateway failed."),
];

#[test]
fn answers_as_stock_when_replacing() {
    replay(Mode::Replacing);
}

#[test]
fn answers_as_stock_when_aggregating() {
    replay(Mode::Aggregating);
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Replacing,
    Aggregating,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    prefix: String,
    telemetry: Option<String>,
    /// As in [`Case`], for all cases of the file.
    aggregation: Option<String>,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `off`: our answer equals stock's only with `--no-push.aggregate`.
    aggregation: Option<String>,
    #[serde(default = "yes")]
    state: bool,
    #[serde(default = "yes")]
    api: bool,
    step: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    request: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    body_base64: Option<String>,
    #[serde(default)]
    gzip: bool,
    /// Whether to compare more of the answer than its status.
    #[serde(default = "yes")]
    answer: bool,
    ours: Option<Ours>,
}

/// What we answer where we differ from stock on purpose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ours {
    status: u16,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    exposition: Option<Vec<String>>,
    #[serde(default = "yes")]
    stored: bool,
    metrics: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Recording {
    recorded_from: String,
    cases: BTreeMap<String, Vec<Recorded>>,
}

/// What stock answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    request: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    exposition: Option<Vec<String>>,
    metrics: Option<Vec<String>>,
    api: Option<Value>,
}

fn yes() -> bool {
    true
}

/// Replays all cases for this mode, and fails with all differences.
fn replay(mode: Mode) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(directory.join("cases"))
        .expect("the directory of the cases")
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();

    let mut report = String::new();
    let (mut replayed, mut failed) = (0, 0);
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let cases: CaseFile = toml::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let recorded = directory.join("recorded").join(format!("{name}.json"));
        let recording: Recording = serde_json::from_slice(&std::fs::read(&recorded).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", recorded.display()));

        let mut target = Target::start(mode, &cases);
        for case in &cases.case {
            let aggregation = case.aggregation.as_ref().or(cases.aggregation.as_ref());
            if mode == Mode::Aggregating && aggregation.is_some_and(|mode| mode == "off") {
                continue;
            }
            let steps = recording.cases.get(&case.name).filter(|steps| steps.len() == case.step.len());
            let steps = steps.unwrap_or_else(|| panic!("{name}: record {:?} first", case.name));
            replayed += 1;
            // If the gateway stops answering, the case fails and not the whole run.
            let differences = catch_unwind(AssertUnwindSafe(|| target.replay(case, steps)));
            let differences = differences.unwrap_or_else(|panic| {
                target = Target::start(mode, &cases);
                vec![format!("  {}", panic.downcast_ref::<String>().map_or("panicked", String::as_str))]
            });
            if !differences.is_empty() {
                failed += 1;
                writeln!(report, "\n{name}: {}\n{}", case.name, differences.join("\n")).unwrap();
            }
        }
        assert!(recording.recorded_from.contains("pushgateway, version 1.11"), "{name} is not from stock");
    }
    assert!(failed == 0, "{failed} of {replayed} cases differ\n{report}");
    assert!(replayed > 100, "only {replayed} cases were replayed");
}

/// Our gateway, started as a case file wants it.
struct Target {
    gateway: Gateway,
    prefix: String,
    telemetry: String,
}

impl Target {
    fn start(mode: Mode, cases: &CaseFile) -> Target {
        let mut flags = vec!["--web.enable-admin-api"];
        flags.extend(cases.flags.iter().map(String::as_str));
        if mode == Mode::Replacing {
            flags.push("--no-push.aggregate");
        }
        let telemetry = cases.telemetry.clone().unwrap_or_else(|| format!("{}/metrics", cases.prefix));
        // With aggregation, more formats are offered by default. That difference does not count here.
        let environment = [("TALLYGATE_EXPOSITION__STOCK_FORMATS", "true")];
        Target { gateway: Gateway::start_with(&flags, &environment), prefix: cases.prefix.clone(), telemetry }
    }

    /// The differences between what was recorded and what our gateway does, in words.
    fn replay(&self, case: &Case, recorded: &[Recorded]) -> Vec<String> {
        self.wipe();
        let mut differences = Vec::new();
        let mut stock = (Vec::new(), Value::Array(Vec::new()));
        // The groups are unknown once a case has its own expectation of /metrics.
        let mut metrics = Vec::new();
        let mut groups = Some(Value::Array(Vec::new()));
        for (index, (step, recorded)) in case.step.iter().zip(recorded).enumerate() {
            assert_eq!(step.request, recorded.request, "record {:?} again", case.name);
            if let Some(lines) = &recorded.metrics {
                stock.0.clone_from(lines);
            }
            if let Some(groups) = &recorded.api {
                stock.1.clone_from(groups);
            }
            match &step.ours {
                Some(Ours { metrics: Some(lines), .. }) => {
                    metrics.clone_from(lines);
                    groups = None;
                }
                Some(Ours { stored: false, .. }) => {}
                _ => {
                    metrics.clone_from(&stock.0);
                    groups = Some(stock.1.clone());
                }
            }

            let answer = self.answer_differences(step, recorded);
            let mut state = Vec::new();
            if case.state {
                state.extend(difference("/metrics", &metrics.join("\n"), &self.state().join("\n")));
            }
            if let Some(groups) = groups.as_ref().filter(|_| case.api) {
                state.extend(difference("/api/v1/metrics", &pretty(groups), &pretty(&self.groups())));
            }
            if !(answer.is_empty() && state.is_empty()) {
                differences.push(format!("  step {} {}", index + 1, step.request));
            }
            differences.extend(answer);
            if !state.is_empty() {
                // Later steps would start from a different state.
                differences.extend(state);
                return differences;
            }
        }
        differences
    }

    /// Sends one step and compares the answer.
    fn answer_differences(&self, step: &Step, recorded: &Recorded) -> Vec<String> {
        let (method, path) = step.request.split_once(' ').expect("a method and a path");
        let headers: Vec<_> =
            step.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = match self.gateway.try_request(method, path, &headers, &step.body()) {
            Ok(response) => response,
            Err(error) => return vec![format!("    no answer: {error}")],
        };
        let mut found = Vec::new();
        let status = step.ours.as_ref().map_or(recorded.status, |ours| ours.status);
        if response.status != status {
            let got = format!("{} {:.300}", response.status, response.text());
            found.extend(difference("status", &status.to_string(), got.trim_end()));
            return found;
        }
        let (headers, body, exposition) = match &step.ours {
            Some(ours) => (&ours.headers, &ours.body, &ours.exposition),
            None => (&recorded.headers, &recorded.body, &recorded.exposition),
        };
        for name in HEADERS {
            let expected = match name {
                // We set it on every answer, the stock gateway only on errors.
                "x-content-type-options" => Some("nosniff".to_owned()),
                _ => headers.get(name).map(|value| with_head(name, value)),
            };
            let compare = step.answer && (expected.is_some() || step.ours.is_none());
            if compare {
                let got = response.header(name).unwrap_or_default();
                found.extend(difference(name, &expected.unwrap_or_default(), got));
            }
        }
        if let Some(body) = body {
            let got = readable(&response);
            if !same_body(body, &got) {
                found.extend(difference("body", body, &got));
            }
        }
        if let Some(lines) = exposition {
            let got = hide_push_times(pushed_lines(&readable(&response)));
            found.extend(difference("exposition", &lines.join("\n"), &got.join("\n")));
        }
        found
    }

    /// The pushed part of /metrics, as `record.py` writes it down.
    fn state(&self) -> Vec<String> {
        let response = self.gateway.get(&self.telemetry);
        if response.status != 200 {
            return vec![format!("answered {} {}", response.status, response.text())];
        }
        let mut lines = hide_push_times(pushed_lines(&response.text()));
        lines.retain(|line| {
            !PUSH_TIMES.iter().any(|(name, help)| {
                *line == format!("# HELP {name} {help}") || *line == format!("# TYPE {name} gauge")
            })
        });
        lines
    }

    /// The groups of /api/v1/metrics, as `record.py` writes them down.
    fn groups(&self) -> Value {
        let response = self.gateway.get(&format!("{}/api/v1/metrics", self.prefix));
        let answer: Value = serde_json::from_slice(&response.body)
            .unwrap_or_else(|error| panic!("/api/v1/metrics is not JSON: {error}\n{}", response.text()));
        let mut groups = answer["data"].as_array().expect("a list of groups").clone();
        for group in &mut groups {
            let labels = group["labels"].clone();
            for (name, family) in group.as_object_mut().expect("a group is an object") {
                if let Some(metrics) = family.get_mut("metrics").and_then(Value::as_array_mut) {
                    metrics.sort_by_key(|metric| metric["labels"].to_string());
                    family["time_stamp"] = "T".into();
                    shorten_push_time(name, family, &labels);
                }
            }
        }
        groups.sort_by_key(|group| group["labels"].to_string());
        Value::Array(groups)
    }

    /// Deletes the groups of the case before.
    fn wipe(&self) {
        let answer = self.gateway.put(&format!("{}/api/v1/admin/wipe", self.prefix), "");
        assert_eq!(answer.status, 202, "wipe answered {:?}", answer.text());
        // The gateway may answer before it has wiped.
        let empty = (0..1000).any(|_| self.state().is_empty());
        assert!(empty, "left after a wipe: {:#?}", self.state());
    }
}

impl Step {
    fn body(&self) -> Vec<u8> {
        let body = match &self.body_base64 {
            Some(encoded) => STANDARD.decode(encoded).expect("base64 in body_base64"),
            None => self.body.clone().into_bytes(),
        };
        if !self.gzip {
            return body;
        }
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(&body).unwrap();
        writer.finish().unwrap()
    }
}

/// HEAD works where GET does, and so `Allow` names it. (GET on `/-/quit` is an error of its own.)
fn with_head(name: &str, value: &str) -> String {
    let value = if (name, value) == ("allow", "GET, OPTIONS") { "GET, HEAD, OPTIONS" } else { value };
    value.to_owned()
}

/// Whether our body is stock's, but for the words that we may add or choose.
fn same_body(stock: &str, ours: &str) -> bool {
    const CHECK: &str = "pushed metrics are invalid or inconsistent with existing metrics: ";
    let parse_error = stock.starts_with("text format parsing error in line ");
    if parse_error || stock.starts_with("proto: ") || stock == "unexpected EOF\n" {
        return ours.starts_with(stock.trim_end_matches('\n')) && ours.ends_with('\n');
    }
    if stock.starts_with(CHECK) {
        // Only we say which group has the other one.
        let ours =
            ours.split_once("; the other one is ").map_or(ours.to_owned(), |(ours, _)| format!("{ours}\n"));
        let (stock, ours) = (without_braces(stock), without_braces(&ours));
        return ours.starts_with(stock.trim_end_matches('\n')) && ours.ends_with('\n');
    }
    stock == ours
}

/// Removes the protobuf text from the error of a consistency check.
fn without_braces(error: &str) -> String {
    match (error.find('{'), error.rfind('}')) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &error[..=start], &error[end..]),
        _ => error.to_owned(),
    }
}

/// The body as text: decompressed, the times of an API answer hidden.
fn readable(response: &Response) -> String {
    let mut text = response.text();
    if response.header("content-encoding") == Some("gzip") {
        text.clear();
        let mut reader = flate2::read::MultiGzDecoder::new(response.body.as_slice());
        reader.read_to_string(&mut text).expect("a gzip body of text");
    }
    if response.header("content-type") == Some("application/json") {
        text = replace_values(&text, "\"time_stamp\":\"", |_| "T");
        for (name, _) in PUSH_TIMES {
            let Some(start) = text.find(&format!("\"{name}\":{{")) else { continue };
            let value = replace_first_value(&text[start..], "\"value\":\"");
            text.replace_range(start.., &value);
        }
    }
    text
}

/// The JSON with the text after each `key` up to the next quote replaced.
fn replace_values(json: &str, key: &str, value: impl Fn(&str) -> &str) -> String {
    let mut parts = json.split(key);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (old, rest) = part.split_once('"').unwrap_or((part, ""));
        write!(text, "{key}{}\"{rest}", value(old)).unwrap();
    }
    text
}

fn replace_first_value(json: &str, key: &str) -> String {
    match json.split_once(key) {
        Some((before, after)) => {
            let (old, rest) = after.split_once('"').unwrap_or((after, ""));
            format!("{before}{key}{}\"{rest}", if old == "0" { "0" } else { "set" })
        }
        None => json.to_owned(),
    }
}

/// A push time is "set" or "0".
fn hide_push_times(lines: Vec<String>) -> Vec<String> {
    let hide = |line: String| match line.rsplit_once(' ') {
        Some((series, value))
            if value != "0"
                && PUSH_TIMES.iter().any(|(name, _)| series.starts_with(&format!("{name}{{"))) =>
        {
            format!("{series} set")
        }
        _ => line,
    };
    lines.into_iter().map(hide).collect()
}

/// A push time that looks as they all do is left as its value.
fn shorten_push_time(name: &str, family: &mut Value, group: &Value) {
    let Some((_, help)) = PUSH_TIMES.iter().find(|(push_time, _)| *push_time == name) else { return };
    let mut labels = serde_json::json!({ "instance": "" });
    labels.as_object_mut().unwrap().extend(group.as_object().cloned().unwrap_or_default());
    let value = family["metrics"][0]["value"].clone();
    let alike = serde_json::json!({
        "time_stamp": "T", "type": "GAUGE", "help": help, "metrics": [{ "labels": labels, "value": value }]
    });
    if *family == alike {
        *family = if value == "0" { "0".into() } else { "set".into() };
    }
}

fn pretty(groups: &Value) -> String {
    serde_json::to_string_pretty(groups).unwrap()
}

/// The lines that differ, or nothing.
fn difference(what: &str, expected: &str, got: &str) -> Option<String> {
    if expected == got {
        return None;
    }
    let (old, new): (Vec<_>, Vec<_>) = (expected.split('\n').collect(), got.split('\n').collect());
    let mut text = format!("    {what} (- expected, + got):");
    for (sign, line) in changed_lines(&old, &new) {
        write!(text, "\n      {sign} {line}").unwrap();
    }
    Some(text)
}

/// The lines to remove from `old` and to add to it to get `new`, by their longest common subsequence.
fn changed_lines<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let mut changed = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            changed.push(('-', old[i]));
            i += 1;
        } else {
            changed.push(('+', new[j]));
            j += 1;
        }
    }
    changed
}
