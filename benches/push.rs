//! The stages of a push: parse, prepare, merge.
//!
//! Bodies are like those of real batch jobs: a small one with five counters and a histogram, and a
//! large one with 10,000 samples.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that can't run should stop")]

mod inputs;

use std::hint::black_box;

use bumpalo::Bump;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tallygate::exposition::text::{Names, parse};
use tallygate::model::push::Push;

use inputs::{empty_gateway, grouping, large_body, small_body, text_push};

fn stages(c: &mut Criterion) {
    for (name, body) in [("small", small_body(false)), ("large", large_body(false, false))] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("parse", |b| {
            b.iter(|| drop(parse(black_box(body.as_bytes()), Names::Legacy, &Bump::new())))
        });
        let arena = Bump::new();
        let parsed = parse(body.as_bytes(), Names::Legacy, &arena).expect("the body is valid");
        let grouping = grouping(0);
        group.bench_function("prepare", |b| b.iter(|| Push::prepare(black_box(&parsed), &grouping, true)));
        let gateway = empty_gateway();
        let push = || gateway.push_blocking(&text_push(&grouping, black_box(&body)));
        group.bench_function("parse, prepare and merge", |b| b.iter(push));
        group.finish();
    }
}

fn many_groups(c: &mut Criterion) {
    let gateway = empty_gateway();
    let body = small_body(false);
    let groups: Vec<_> = (0..10_000).map(grouping).collect();
    let push = |grouping| gateway.push_blocking(&text_push(grouping, &body));
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
