//! The formats, in and out: reading a body of 10,000 series, and a scrape of 100,000.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that can't run should stop")]

use std::hint::black_box;

use bumpalo::Bump;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tallygate::config::Config;
use tallygate::exposition::negotiation::{Format, Offers};
use tallygate::exposition::text::Names;
use tallygate::exposition::{openmetrics, protobuf, text};
use tallygate::gateway::{BodyFormat, Gateway, Method, PushRequest};
use tallygate::model::grouping::{Grouping, GroupingLabel};

const TEXT: &str = "text/plain;version=0.0.4";
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// Ten counters and ten gauges of 500 series each with three labels; with `exemplars`, counters have some.
fn body(openmetrics: bool, exemplars: bool) -> String {
    let mut body = String::new();
    for family in 0..20 {
        let (kind, suffix) = if family % 2 == 0 { ("counter", "_total") } else { ("gauge", "") };
        let name = format!("app_metric_{family}");
        let declared = if openmetrics { name.clone() } else { format!("{name}{suffix}") };
        body.push_str(&format!(
            "# HELP {declared} A metric of the batch worker.\n# TYPE {declared} {kind}\n"
        ));
        for series in 0..500 {
            let value = f64::from(series * 31 + family * 997) / 8.0;
            body.push_str(&format!(
                "{name}{suffix}{{path=\"/api/v1/items/{series}\",method=\"GET\",code=\"20{}\"}} {value}",
                series % 5
            ));
            if exemplars && suffix == "_total" {
                body.push_str(&format!(" # {{trace_id=\"{:032x}\"}} 1.0 1520879607.789", series));
            }
            body.push('\n');
        }
    }
    if openmetrics {
        body.push_str("# EOF\n");
    }
    body
}

fn grouping(instance: usize) -> Grouping<'static> {
    let label = |name: &'static str, value: String| GroupingLabel { name: name.into(), value: value.into() };
    Grouping::new(vec![label("job", "batch".into()), label("instance", instance.to_string())])
}

/// A gateway with so many groups of these series.
fn gateway(groups: usize, format: BodyFormat, body: &str) -> Gateway {
    let gateway = Gateway::new(&Config::default()).expect("the metrics of the gateway are constants");
    for instance in 0..groups {
        let grouping = grouping(instance);
        let push = PushRequest::new(Method::Post, &grouping, format, body.as_bytes());
        gateway.push_blocking(&push).expect("a valid body");
    }
    gateway
}

fn scraped(gateway: &Gateway, accept: &str) -> Vec<u8> {
    let mut exposition = Vec::new();
    let written = gateway.scrape(Format::negotiate(accept, Offers::All), |chunk| {
        exposition.append(chunk);
        Ok(())
    });
    written.expect("the receiver stays");
    exposition
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read 10000 series");
    let text = body(false, false);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("text", |b| {
        b.iter(|| drop(text::parse(black_box(text.as_bytes()), Names::Legacy, &Bump::new())))
    });
    for (name, exemplars) in [("OpenMetrics", false), ("OpenMetrics with exemplars", true)] {
        let body = body(true, exemplars);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| drop(openmetrics::parse(black_box(body.as_bytes()), Names::Legacy, &Bump::new())))
        });
    }
    let gateway = gateway(1, BodyFormat::Text, &text);
    let exposition = scraped(&gateway, PROTOBUF);
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("protobuf", |b| {
        b.iter(|| drop(protobuf::parse(black_box(&exposition), &Bump::new())))
    });
    group.finish();
}

fn scrapes(c: &mut Criterion) {
    let mut group = c.benchmark_group("scrape 100000 series");
    for (what, format, body) in [
        ("", BodyFormat::Text, body(false, false)),
        (" with exemplars", BodyFormat::OpenMetrics, body(true, true)),
    ] {
        let gateway = gateway(10, format, &body);
        for (name, accept) in [("text", TEXT), ("OpenMetrics", OPENMETRICS), ("protobuf", PROTOBUF)] {
            let format = Format::negotiate(accept, Offers::All);
            let mut bytes = 0;
            let mut scrape = || {
                bytes = 0;
                gateway.scrape(format, |chunk| {
                    bytes += chunk.len();
                    Ok(())
                })
            };
            scrape().expect("the receiver stays");
            group.bench_function(format!("{name}{what}"), |b| b.iter(&mut scrape));
            black_box(bytes);
        }
    }
    group.finish();
}

criterion_group!(benches, reading, scrapes);
criterion_main!(benches);
