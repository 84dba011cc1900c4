//! Strict parsers accept OpenMetrics, whatever was pushed, with the samples of the text format. If OpenMetrics does
//! not allow a family, the family only loses its type.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::programs;
use crate::support::odd::{Odd, OddPush};
use crate::support::pushes::{Settings, gateway_with, scraped};
use crate::support::samples::{Sample, sample_in};

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
const TEXT: &str = "text/plain;version=1.0.0";

fn text_of(exposition: Vec<u8>) -> String {
    String::from_utf8(exposition).unwrap()
}

/// The error of the Python client for each refused scrape.
fn refused(python: &Path, expositions: &[String]) -> Vec<(usize, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/parse_many.py");
    let mut command = programs::command(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            for exposition in expositions {
                write!(input, "{}\n{exposition}", exposition.len()).unwrap();
            }
        });
        process.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{}", programs::text_of(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let fault = |line: &str| {
        let (number, fault) = line.split_once(' ').unwrap();
        (number.parse().unwrap(), fault.to_owned())
    };
    text.lines().map(fault).collect()
}

fn in_words(pushes: &[OddPush]) -> String {
    let mut words = String::new();
    for push in pushes {
        let body = String::from_utf8_lossy(&push.body);
        writeln!(words, "{:?} to group {}, PUT {}:\n{body}", push.format, push.group, push.is_put).unwrap();
    }
    words
}

#[test]
fn the_python_client_reads_whatever_was_pushed() {
    let Some(python) = programs::python() else { return };
    let (mut expositions, mut pushed, mut seed) = (Vec::new(), Vec::new(), 0);
    for _ in 0..60 {
        for settings in (0..Settings::COUNT).map(Settings) {
            seed += 1;
            let mut odd = Odd::new(seed, settings.utf8_names());
            let (gateway, pushes) = gateway_with(&mut odd, settings);
            // With `_` as replacement, some label names become names that the parser takes for reserved.
            let escapings: &[&str] =
                if settings.utf8_names() { &["allow-utf-8", "values"] } else { &["underscores"] };
            for escaping in escapings {
                expositions.push(text_of(scraped(&gateway, &format!("{OPENMETRICS};escaping={escaping}"))));
                pushed.push(in_words(&pushes));
            }
        }
    }
    let refused = refused(&python, &expositions);
    if let Some((at, fault)) = refused.first() {
        panic!("{} refused, the first: {fault}\n{}\n{}", refused.len(), pushed[*at], expositions[*at]);
    }
}

/// The pushed samples with their values.
fn values(exposition: &str) -> BTreeMap<(String, Vec<(String, String)>), f64> {
    let mut values = BTreeMap::new();
    for line in exposition.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (Sample { name, labels }, rest) = sample_in(line);
        let value = rest.split(' ').next().unwrap().parse().unwrap();
        let is_time = name == "push_time_seconds" || name == "push_failure_time_seconds";
        if !is_time && labels.iter().any(|(name, _)| name == "job") {
            values.insert((name, labels), value);
        }
    }
    values
}

#[test]
fn openmetrics_has_the_samples_of_the_text_format() {
    let mut seed = 0;
    for _ in 0..60 {
        for settings in (0..Settings::COUNT).map(Settings) {
            seed += 1;
            let mut odd = Odd::new(seed, settings.utf8_names());
            let (gateway, pushes) = gateway_with(&mut odd, settings);
            let exposition = |format| text_of(scraped(&gateway, &format!("{format};escaping=allow-utf-8")));
            let (openmetrics, text) = (exposition(OPENMETRICS), exposition(TEXT));
            let (mut shown, expected) = (values(&openmetrics), values(&text));
            let context = || format!("{settings:?}\n{}\n{openmetrics}\n--- text\n{text}", in_words(&pushes));
            for ((name, labels), expected) in expected {
                let of_gauge = name.strip_suffix("_sum").map(|base| format!("{base}_gsum"));
                let of_gauge =
                    of_gauge.or_else(|| name.strip_suffix("_count").map(|base| format!("{base}_gcount")));
                let value = shown
                    .remove(&(name.clone(), labels.clone()))
                    .or_else(|| shown.remove(&(of_gauge?, labels.clone())));
                let is_same =
                    value.is_some_and(|value| value == expected || (value.is_nan() && expected.is_nan()));
                assert!(is_same, "{name} {labels:?}: {value:?} instead of {expected}\n{}", context());
            }
            let more: Vec<_> = shown.keys().filter(|(name, _)| !name.ends_with("_created")).collect();
            assert!(more.is_empty(), "{more:?} more\n{}", context());
        }
    }
}
