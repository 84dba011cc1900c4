//! No scrape shows a series twice, whatever was pushed, in any format and with any setting. Prometheus would keep
//! one of the two and drop the other.

use std::collections::HashSet;

use bumpalo::Bump;
use tallygate::model::body::Value;
use tallygate::model::labels::unescape;

use crate::support::Gateway;
use crate::support::odd::Odd;
use crate::support::protobuf::{self, CONTENT_TYPE, family, integer, message, metric, number};
use crate::support::pushes::{Settings, gateway_with, scraped};
use crate::support::samples::{Sample, bound, sample_in};

const FORMATS: [&str; 5] = [
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0",
    "application/openmetrics-text;version=0.0.1",
    "application/openmetrics-text;version=1.0.0",
    PROTOBUF,
];
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// The samples of a scrape in protobuf, as Prometheus converts them.
fn samples_of(exposition: &[u8]) -> Vec<Sample> {
    let arena = Bump::new();
    let body = tallygate::exposition::protobuf::parse(exposition, &arena).unwrap();
    let mut samples = Vec::new();
    for family in &body.families {
        for series in body.series_of(family) {
            let labels = body.labels_of(series).iter();
            let labels: Vec<(String, String)> = labels
                .map(|label| (label.name.to_owned(), unescape(label.escaped_value).into_owned()))
                .collect();
            let mut add = |suffix: &str, extra: Option<(&str, f64)>| {
                let extra = extra.map(|(name, number)| (name.to_owned(), bound(number)));
                samples.push(Sample::new(
                    &format!("{}{suffix}", family.name),
                    labels.iter().cloned().chain(extra),
                ));
            };
            let Value::Composite(number) = series.value else {
                add("", None);
                continue;
            };
            let composite = body.composite(number);
            add("_sum", None);
            add("_count", None);
            body.quantiles_of(composite).for_each(|quantile| add("", Some(("quantile", quantile.quantile))));
            body.buckets_of(composite).for_each(|bucket| add("_bucket", Some(("le", bucket.bound))));
            if body.native_of(composite).is_some() {
                add(" as a native histogram", None);
            }
        }
    }
    samples
}

fn samples(exposition: &[u8], format: &str) -> Vec<Sample> {
    if format == PROTOBUF {
        return samples_of(exposition);
    }
    let text = std::str::from_utf8(exposition).unwrap();
    let mut families = HashSet::new();
    for line in text.split('\n').filter(|line| line.starts_with("# TYPE ")) {
        let name = line.rsplit_once(' ').unwrap().0;
        assert!(families.insert(name), "{line} stands twice in\n{text}");
    }
    text.split('\n')
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| sample_in(line).0)
        .collect()
}

#[track_caller]
fn check(gateway: &tallygate::gateway::Gateway, pushes: &dyn std::fmt::Debug) {
    for format in FORMATS {
        for escaping in ESCAPINGS {
            let accept = format!("{format};escaping={escaping}");
            let exposition = scraped(gateway, &accept);
            let mut seen = HashSet::new();
            for sample in samples(&exposition, format) {
                assert!(
                    seen.insert(sample.clone()),
                    "{accept}: {sample:?} twice in\n{}\nafter {pushes:?}",
                    String::from_utf8_lossy(&exposition)
                );
            }
        }
    }
}

#[test]
fn no_series_is_shown_twice() {
    let (mut taken, mut number) = (0, 0);
    for seed in 0..30 {
        for settings in (0..Settings::COUNT).map(Settings) {
            number += 1;
            let mut odd = Odd::new(number, settings.utf8_names());
            let (gateway, pushes) = gateway_with(&mut odd, settings);
            taken += pushes.len();
            let pushes: Vec<_> = pushes
                .iter()
                .map(|push| (push.group, String::from_utf8_lossy(&push.body).into_owned()))
                .collect();
            check(&gateway, &(seed, settings, pushes));
        }
    }
    // Most pushes are refused, but enough are accepted.
    assert!(taken > 500, "{taken}");
}

/// A push of one summary or histogram in protobuf whose members of a field have these bounds.
fn with_bounds(kind: u64, bounds: [f64; 2]) -> Vec<u8> {
    let (member, quantile_or_bound) = if kind == 2 { (4, 1) } else { (7, 2) };
    let mut content = vec![integer(1, 1), number(2, 1.0)];
    content.extend(bounds.map(|bound| message(3, &[number(quantile_or_bound, bound)])));
    family("x", kind, &[metric(&[], member, &content)])
}

#[test]
fn bounds_and_quantiles_that_are_the_same_are_refused() {
    for flags in [&[][..], &["--no-push.aggregate"]] {
        let gateway = Gateway::start(flags);
        let refused = |body: &str, reason: &str| {
            let before = gateway.pushed();
            let error = gateway.refused("/metrics/job/a", body);
            assert!(error.contains(reason) && error.contains("(line 2, column 1)"), "{body}: {error}");
            assert_eq!(gateway.pushed(), before);
        };
        let refused_protobuf = |body: &[u8], reason: &str| {
            let headers = [("Content-Type", CONTENT_TYPE)];
            let answer = gateway.request("POST", "/metrics/job/a", &headers, body);
            assert_eq!(answer.status, 400);
            assert!(answer.text().contains(reason), "{}", answer.text());
        };
        gateway.refused("/metrics/job/a", "# TYPE x summary\nx 1 2\n");
        for (a, b, shown) in [
            ("0.5", "0.50", "0.5"),
            ("0.5", "5e-1", "0.5"),
            ("0", "-0", "0"),
            ("1", "1", "1"),
            ("Inf", "+Inf", "+Inf"),
        ] {
            let summary = format!("# TYPE x summary\nx{{quantile=\"{a}\"}} 1\nx{{quantile=\"{b}\"}} 2\n");
            refused(&summary, &format!("has two values for the quantile {shown}"));
            let histogram = format!(
                "# TYPE x histogram\nx_bucket{{le=\"{a}\"}} 1\nx_bucket{{le=\"{b}\"}} 1\nx_count 1\n"
            );
            refused(&histogram, &format!("has two buckets with the bound {shown}"));
        }
        let reason = "has two values for the quantile NaN";
        refused_protobuf(&with_bounds(2, [f64::NAN, -f64::NAN]), reason);
        let reason = "has two buckets with the bound 1";
        refused_protobuf(&with_bounds(protobuf::HISTOGRAM, [1.0, 1.0]), reason);
        refused_protobuf(&with_bounds(protobuf::GAUGE_HISTOGRAM, [1.0, 1.0]), reason);
    }
}
