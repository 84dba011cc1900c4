//! The formats: parsing a body of 10,000 series, and a scrape of 100,000.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that can't run should stop")]

mod inputs;

use std::hint::black_box;

use bumpalo::Bump;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tallygate::exposition::negotiation::{Format, Offers};
use tallygate::exposition::text::Names;
use tallygate::exposition::{openmetrics, protobuf, text};
use tallygate::gateway::BodyFormat;

use inputs::{FORMATS, gateway, large_body, scraped};

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read 10000 series");
    let text = large_body(false, false);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("text", |b| {
        b.iter(|| drop(text::parse(black_box(text.as_bytes()), Names::Legacy, &Bump::new())))
    });
    for (name, exemplars) in [("OpenMetrics", false), ("OpenMetrics with exemplars", true)] {
        let body = large_body(true, exemplars);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| drop(openmetrics::parse(black_box(body.as_bytes()), Names::Legacy, &Bump::new())))
        });
    }
    let gateway = gateway(1, BodyFormat::Text, &text);
    let exposition = scraped(&gateway, FORMATS[2].1);
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("protobuf", |b| {
        b.iter(|| drop(protobuf::parse(black_box(&exposition), &Bump::new())))
    });
    group.finish();
}

fn scrapes(c: &mut Criterion) {
    let mut group = c.benchmark_group("scrape 100000 series");
    for (what, format, body) in [
        ("", BodyFormat::Text, large_body(false, false)),
        (" with exemplars", BodyFormat::OpenMetrics, large_body(true, true)),
    ] {
        let gateway = gateway(10, format, &body);
        for (name, accept) in FORMATS {
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
