//! The stages of a push: parse, prepare, merge.
//!
//! Bodies are like those of real batch jobs: a small one with five counters and a histogram, and a
//! large one with 10,000 samples.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that can't run should stop")]

mod inputs;

use std::hint::black_box;

use bumpalo::Bump;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tallygate::config::Config;
use tallygate::exposition::text::{Names, parse};
use tallygate::gateway::{BodyFormat, Gateway, Method, PushRequest};
use tallygate::model::push::Push;

use inputs::{grouping, small_body};

/// Ten counters and ten gauges with three labels, 500 series each.
fn large_body() -> String {
    let mut body = String::new();
    for family in 0..20 {
        let kind = if family % 2 == 0 { "counter" } else { "gauge" };
        body.push_str(&format!("# HELP app_metric_{family} A metric of the batch worker.\n"));
        body.push_str(&format!("# TYPE app_metric_{family} {kind}\n"));
        for series in 0..500 {
            let value = f64::from(series * 31 + family * 997) / 8.0;
            body.push_str(&format!(
                "app_metric_{family}{{path=\"/api/v1/items/{series}\",method=\"GET\",code=\"20{}\"}} {value}\n",
                series % 5
            ));
        }
    }
    body
}

fn gateway() -> Gateway {
    Gateway::new(&Config::default()).expect("the metrics of the gateway are constants")
}

fn stages(c: &mut Criterion) {
    for (name, body) in [("small", small_body(false)), ("large", large_body())] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("parse", |b| {
            b.iter(|| drop(parse(black_box(body.as_bytes()), Names::Legacy, &Bump::new())))
        });
        let arena = Bump::new();
        let parsed = parse(body.as_bytes(), Names::Legacy, &arena).expect("the body is valid");
        let grouping = grouping(0);
        group.bench_function("prepare", |b| b.iter(|| Push::prepare(black_box(&parsed), &grouping, true)));
        let gateway = gateway();
        let push = || {
            gateway.push_blocking(&PushRequest::new(
                Method::Post,
                &grouping,
                BodyFormat::Text,
                black_box(body.as_bytes()),
            ))
        };
        group.bench_function("parse, prepare and merge", |b| b.iter(push));
        group.finish();
    }
}

fn many_groups(c: &mut Criterion) {
    let gateway = gateway();
    let body = small_body(false);
    let groups: Vec<_> = (0..10_000).map(grouping).collect();
    let push = |grouping| {
        gateway.push_blocking(&PushRequest::new(Method::Post, grouping, BodyFormat::Text, body.as_bytes()))
    };
    for grouping in &groups {
        push(grouping).expect("the body is valid");
    }
    let mut at = 0;
    c.bench_function("small/parse, prepare and merge, 10000 groups in turn", |b| {
        b.iter(|| {
            at = (at + 7919) % groups.len();
            push(&groups[at])
        });
    });
}

criterion_group!(benches, stages, many_groups);
criterion_main!(benches);
