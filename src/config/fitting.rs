//! Defaults for limits that fit the memory which the system allows.

use super::memory::{Allowance, Fitting};
use super::settings::Config;
use super::unlimited::most;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The gateway needs this much. With less, the limits are those for this much.
pub const LEAST_MEMORY: u64 = 48 * MIB;

/// With this much memory all limits have their usual defaults.
const MOST_MEMORY: u64 = 1 << 50;

/// How much memory each thing needs in bytes, as the manual says: a connection at worst; a sample and a label of a
/// push; the rest of a push, as a multiple of its body; a scrape, without its part of the store; an idempotency key.
const CONNECTION_BYTES: u64 = 320 * KIB;
const SAMPLE_BYTES: u64 = 1000;
const LABEL_BYTES: u64 = 80;
const BODY_TIMES: u64 = 6;
const SCRAPE_BYTES: u64 = 3 * MIB;
const KEY_BYTES: u64 = 200;

/// A push needs at most this many times its body, however many samples it may have.
const MOST_BODY_TIMES: u64 = 100;

/// What grows with the store, in hundredths of its size: the store itself; sorting its series; a scrape.
const STORE_PARTS: u64 = 200;
const ORDER_PARTS: u64 = 64;
const SCRAPE_PARTS: u64 = 30;

/// The program itself needs no more than this, and no more than [`BASE_PARTS`] of the memory.
const BASE: u64 = 96 * MIB;

/// In sixteenths. With less memory the allocator holds less back, and there are fewer threads.
const BASE_PARTS: u64 = 5;

/// Pushes that wait for the disk need no more than this.
const MOST_WAITING: u64 = 256 * MIB;

/// The size of the store is a multiple of this.
const STEP: u64 = 64 * KIB;

/// Declares [`Parts`] from the settings that it holds.
macro_rules! parts {
    ($($section:ident.$part:ident,)*) => {
        /// The settings on which the use of memory depends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        struct Parts {
            $($part: u64,)*
        }

        /// The dotted keys of the parts, in their order.
        const KEYS: &[&str] = &[$(concat!(stringify!($section), ".", stringify!($part)),)*];

        impl Parts {
            fn of(config: &Config) -> Parts {
                Parts { $($part: config.$section.$part,)* }
            }

            fn values(self) -> [u64; KEYS.len()] {
                [$(self.$part,)*]
            }
        }
    };
}

parts! {
    limits.store_bytes,
    limits.connections,
    limits.body_bytes_in_flight,
    limits.scrapes_in_flight,
    limits.samples_per_push,
    limits.label_pairs_per_push,
    web.max_body_bytes,
    push.idempotency_keys,
}

impl Parts {
    /// The limits for this much memory, in bytes; at most the usual defaults.
    fn fitting(memory: u64) -> Parts {
        let memory = memory.clamp(LEAST_MEMORY, MOST_MEMORY);
        let default = Parts::of(&Config::default());
        let scrapes = (memory / (128 * MIB)).clamp(3, 8).max(memory / (2 * GIB));
        let parts = Parts {
            // A placeholder until the other limits are known. 0 would mean no limit.
            store_bytes: 1,
            connections: default.connections.min(memory / (3 * MIB)),
            body_bytes_in_flight: default.body_bytes_in_flight.min(memory / 16),
            scrapes_in_flight: default.scrapes_in_flight.min(scrapes),
            samples_per_push: default.samples_per_push.min(memory * 40 / MIB),
            label_pairs_per_push: default.label_pairs_per_push.min(memory * 200 / MIB),
            max_body_bytes: default.max_body_bytes.min(memory / 128),
            idempotency_keys: default.idempotency_keys.min(memory / MIB * 80),
        };
        // The store gets what is left.
        let rest = memory.saturating_sub(parts.need(memory));
        let store_bytes = rest / parts.store_parts() * 100 / STEP * STEP;
        Parts { store_bytes: default.store_bytes.min(store_bytes), ..parts }
    }

    /// How much memory the gateway needs at most with these limits, in bytes. The manual has the
    /// same sum.
    fn need(self, memory: u64) -> u64 {
        let [store, connections, bodies, scrapes, samples, labels, body, keys] = self.values().map(most);
        let base = BASE.min(memory / 16 * BASE_PARTS);
        let waiting = bodies.min(MOST_WAITING);
        let of_samples =
            samples.saturating_mul(SAMPLE_BYTES).saturating_add(labels.saturating_mul(LABEL_BYTES));
        let push = body.saturating_mul(BODY_TIMES).saturating_add(of_samples);
        [
            base,
            (store / 100).saturating_mul(self.store_parts()),
            bodies,
            waiting,
            push.min(body.saturating_mul(MOST_BODY_TIMES)),
            connections.saturating_mul(CONNECTION_BYTES),
            scrapes.saturating_mul(SCRAPE_BYTES),
            keys.saturating_mul(KEY_BYTES),
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// The memory that grows with the store, in hundredths of its size.
    fn store_parts(self) -> u64 {
        most(self.scrapes_in_flight).saturating_mul(SCRAPE_PARTS).saturating_add(STORE_PARTS + ORDER_PARTS)
    }
}

/// The settings that depend on the memory, with their defaults for this much memory in bytes.
pub fn defaults(memory: u64) -> impl Iterator<Item = (&'static str, u64)> {
    KEYS.iter().copied().zip(Parts::fitting(memory).values())
}

/// The limits that follow the memory: those of `config` for which `is_set` is false.
pub(super) fn chosen(config: &Config, allowance: Allowance, is_set: impl Fn(&str) -> bool) -> Fitting {
    let parts = Parts::of(config);
    let chosen = KEYS.iter().copied().zip(parts.values()).filter(|(key, _)| !is_set(key)).collect();
    Fitting { chosen, need: parts.need(allowance.bytes), allowance }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> impl Iterator<Item = u64> {
        let small = (48..4096).map(|mib| mib * MIB);
        small.chain((4096..200_000).step_by(512).map(|mib| mib * MIB + 4096))
    }

    #[test]
    fn they_fit_whatever_there_is() {
        for memory in sizes() {
            let parts = Parts::fitting(memory);
            assert!(parts.need(memory) <= memory, "{} MiB: {parts:?}", memory / MIB);
            // No memory is left unused unless the usual defaults are reached.
            let is_full = parts.need(memory) + MIB > memory;
            assert!(is_full || parts.store_bytes == 8 << 30, "{} MiB: {parts:?}", memory / MIB);
            assert!(parts.values().into_iter().all(|value| value > 0), "0 would be no limit: {parts:?}");
            assert!(parts.store_bytes > memory / 24 || parts.store_bytes == 8 << 30, "{memory}: {parts:?}");
        }
    }

    #[test]
    fn a_push_finds_room_in_what_is_there_for_bodies() {
        for memory in sizes() {
            let Parts { max_body_bytes, body_bytes_in_flight, .. } = Parts::fitting(memory);
            assert!(max_body_bytes * 2 <= body_bytes_in_flight, "{memory}");
        }
    }

    #[test]
    fn with_plenty_they_are_the_defaults_and_with_too_little_the_least() {
        assert_eq!(Parts::fitting(256 * GIB), Parts::of(&Config::default()));
        assert_eq!(Parts::fitting(u64::MAX), Parts::of(&Config::default()));
        assert_eq!(Parts::fitting(1), Parts::fitting(LEAST_MEMORY));
    }

    #[test]
    fn the_manual_says_what_is_chosen() {
        let manual = include_str!("../../docs/memory.md");
        let cells = |line: &str| -> Vec<String> {
            line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        };
        let mut rows = manual.lines().map(cells);
        let head = rows.find(|row| row.get(1).is_some_and(|cell| cell == "Setting")).unwrap();
        let rows: Vec<Vec<String>> = rows.skip(1).take_while(|row| row.len() == head.len()).collect();
        let memory = |cell: &str| match cell.split_once(' ').unwrap() {
            (number, "MiB") => number.parse::<u64>().unwrap() * MIB,
            (number, "GiB") => number.parse::<u64>().unwrap() * GIB,
            _ => panic!("{cell}"),
        };
        for (column, size) in head.iter().enumerate().filter(|(_, cell)| cell.ends_with("iB")) {
            let said: Vec<(String, u64)> =
                rows.iter().map(|row| (row[1].clone(), row[column].parse().unwrap())).collect();
            let values = KEYS.iter().map(|key| (*key).to_owned()).zip(Parts::fitting(memory(size)).values());
            assert_eq!(said, values.collect::<Vec<_>>(), "{size}");
        }
        assert_eq!(head.iter().filter(|cell| cell.ends_with("iB")).count(), 5);
    }
}
