//! Sorting the series of a family for the first time: a million short label blocks, and long ones.

#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tallygate::store::order::{Extent, Orders};

/// `count` label blocks, not in the order of a scrape.
fn blocks(count: usize, block: impl Fn(usize) -> String) -> Vec<String> {
    // The prime divides none of the counts, so each block comes up once.
    (0..count).map(|at| block(at * 7919 % count)).collect()
}

fn order(c: &mut Criterion) {
    let mut group = c.benchmark_group("order");
    group.sample_size(10).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    let long = "ab".repeat(200);
    for (name, blocks) in [
        (
            "1000000 short series",
            blocks(1_000_000, |n| {
                format!(
                    "{{code=\"20{}\",instance=\"{}\",job=\"batch\",path=\"/api/v1/items/{n}\"}}",
                    n % 5,
                    n / 1000
                )
            }),
        ),
        ("200000 long series", blocks(200_000, |n| format!("{{a=\"{long}\",b=\"{n}\",job=\"w\"}}"))),
    ] {
        let extents = [Extent { epoch: 1, len: blocks.len() as u32 }];
        let order = |orders: Orders| orders.of("m", &extents, |entry| &blocks[entry.position as usize]);
        group.bench_function(name, |b| {
            b.iter_batched(Orders::default, |orders| black_box(order(orders)), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, order);
criterion_main!(benches);
