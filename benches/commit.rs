//! Pushes that are on disk before they are answered: one client, and many at a time.
//!
//! The sync of the disk limits a single client. Many clients share one sync. With a disk in memory,
//! the figures show the cost of the gateway itself.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that can't run should stop")]

mod inputs;

use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tallygate::config::Config;
use tallygate::gateway::Gateway;

use inputs::{grouping, small_body, text_push};

/// How many clients push at the same time.
const CLIENTS: usize = 64;

/// A gateway with an empty persistence file in this folder, and the path of the file.
fn gateway(folder: &Path) -> (Gateway, PathBuf) {
    let file = folder.join(format!("tallygate-bench-{}", std::process::id()));
    // The file may not exist.
    let _ = std::fs::remove_file(&file);
    let mut config = Config::default();
    config.persistence.file = file.to_string_lossy().into_owned();
    (Gateway::new(&config).expect("the folder can be written"), file)
}

fn commits(c: &mut Criterion) {
    let body = small_body(false);
    let folders = [("disk", std::env::temp_dir()), ("memory", PathBuf::from("/dev/shm"))];
    for (name, folder) in folders.iter().filter(|(_, folder)| folder.is_dir()) {
        let mut group = c.benchmark_group(format!("durable push, {name}"));
        for groups in [1, CLIENTS, 10_000] {
            let (gateway, file) = gateway(folder);
            let groupings: Vec<_> = (0..groups).map(grouping).collect();
            for grouping in &groupings {
                gateway.push_blocking(&text_push(grouping, &body)).expect("the body is valid");
            }
            let mut at = 0;
            let mut next = || {
                at = (at + 7919) % groupings.len();
                &groupings[at]
            };
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("alone, {groups} groups"), |b| {
                b.iter(|| gateway.push_blocking(&text_push(next(), &body)));
            });
            group.throughput(Throughput::Elements(CLIENTS as u64));
            group.bench_function(format!("{CLIENTS} at a time, {groups} groups"), |b| {
                b.iter(|| {
                    let pending: Vec<_> =
                        (0..CLIENTS).map(|_| gateway.push(&text_push(next(), &body))).collect();
                    pending.into_iter().for_each(|one| {
                        gateway.done_blocking(one.expect("the body is valid")).expect("the disk works");
                    });
                });
            });
            gateway.close();
            let _ = std::fs::remove_file(file);
        }
        group.finish();
    }
}

/// A push of ten series into a family with many series.
fn large_family(c: &mut Criterion) {
    let (gateway, file) = gateway(&std::env::temp_dir());
    let grouping = grouping(0);
    let mut body = String::from("# TYPE series_total counter\n");
    for series in 0..100_000 {
        body.push_str(&format!("series_total{{path=\"/api/v1/items/{series}\"}} 1\n"));
    }
    gateway.push_blocking(&text_push(&grouping, &body)).expect("the body is valid");
    let mut body = String::from("# TYPE series_total counter\n");
    for series in 0..10 {
        body.push_str(&format!("series_total{{path=\"/api/v1/items/{}\"}} 1\n", series * 9973));
    }
    c.bench_function("durable push, disk/10 series into a family of 100000", |b| {
        b.iter(|| gateway.push_blocking(&text_push(&grouping, &body)));
    });
    gateway.close();
    let _ = std::fs::remove_file(file);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = commits, large_family
}
criterion_main!(benches);
