//! Clocks that step. What the gateway shows and remembers does not step with them.
//!
//! libfaketime gives the gateway a clock of its own. The tests are skipped if that is missing.

use std::path::Path;
use std::time::Instant;

use crate::programs;
use crate::support::random::Random;
use crate::support::{self, Directory, Gateway, PATIENCE, Response, binary};

/// The clock of a gateway, which the test sets.
struct Clock {
    library: String,
    folder: Directory,
}

impl Clock {
    /// A correct clock. `None` if libfaketime is missing.
    fn new() -> Option<Clock> {
        let clock = Clock { library: programs::faketime_library()?, folder: Directory::new() };
        clock.set("+0");
        Some(clock)
    }

    /// Sets the clock to an offset from the correct time, such as `-1h`.
    fn set(&self, offset: &str) {
        self.folder.write("offset.new", offset);
        // The gateway reads either the old or the new file.
        std::fs::rename(self.folder.path_of("offset.new"), self.folder.path_of("offset")).unwrap();
    }

    /// Starts a gateway with this clock, its file, and this configuration.
    fn start(&self, config: &str) -> Gateway {
        let config = self.folder.write("tallygate.toml", config);
        let offset = self.folder.path_of("offset");
        let file = self.folder.path_of("store");
        let program = binary();
        let flags = [
            "-u",
            "FAKETIME",
            program.to_str().unwrap(),
            "--web.listen-address=127.0.0.1:0",
            &format!("--config.file={config}"),
            &format!("--persistence.file={file}"),
        ];
        let environment = [
            ("LD_PRELOAD", &*self.library),
            ("FAKETIME_TIMESTAMP_FILE", &*offset),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let gateway = Gateway::start_program(Path::new("env"), &flags, &environment);
        // The library creates these. If its process is killed, they stay, and a later process with the same number
        // fails.
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}{}", gateway.process_id()));
        }
        gateway
    }
}

fn stop(gateway: Gateway) {
    gateway.signal("TERM");
    assert_eq!(gateway.wait().status.code(), Some(0));
}

const SERIES: &str = "c_total{instance=\"\",job=\"a\"}";

fn push(gateway: &Gateway) {
    gateway.push("/metrics/job/a", "# TYPE c_total counter\nc_total 10\n");
}

/// Scrapes until a series has another value than 0.
fn wait_for_value(gateway: &Gateway, series: &str) -> f64 {
    let started = Instant::now();
    loop {
        let value = gateway.sample(series).unwrap();
        if value != 0.0 {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "{series} is still shown as 0");
    }
}

#[test]
fn what_was_shown_is_not_shown_as_0_after_a_restart() {
    let Some(clock) = Clock::new() else { return };
    let config = "[exposition]\nzero_lead = \"300ms\"\n";
    let gateway = clock.start(config);
    push(&gateway);
    assert_eq!(wait_for_value(&gateway, SERIES), 10.0);
    stop(gateway);
    clock.set("-1h");
    let gateway = clock.start(config);
    assert_eq!(gateway.sample(SERIES), Some(10.0));
    // A killed gateway records less about the time, but the next one does not show 0 either.
    drop(gateway);
    clock.set("-2h");
    let gateway = clock.start(config);
    assert_eq!(gateway.sample(SERIES), Some(10.0));
    // A series that is created while the clock is behind is shown as 0 first, but not for two hours.
    gateway.push("/metrics/job/b", "# TYPE c_total counter\nc_total 3\n");
    let born = "c_total{instance=\"\",job=\"b\"}";
    assert_eq!(wait_for_value(&gateway, born), 3.0);
    assert_eq!(gateway.sample(SERIES), Some(10.0));
}

#[test]
fn a_lead_that_is_new_or_longer_shows_nothing_as_0_that_was_shown() {
    let Some(clock) = Clock::new() else { return };
    let gateway = clock.start("");
    push(&gateway);
    assert_eq!(gateway.sample(SERIES), Some(10.0));
    drop(gateway);
    for lead in ["1h", "2h"] {
        let gateway = clock.start(&format!("[exposition]\nzero_lead = \"{lead}\"\n"));
        assert_eq!(gateway.sample(SERIES), Some(10.0), "{lead}");
        stop(gateway);
    }
}

fn push_with_key(gateway: &Gateway) -> Response {
    gateway.request(
        "POST",
        "/metrics/job/a",
        &[("Idempotency-Key", "k")],
        b"# TYPE c_total counter\nc_total 10\n",
    )
}

#[test]
fn a_key_that_came_while_the_clock_was_behind_is_remembered() {
    let Some(clock) = Clock::new() else { return };
    // With the time of an earlier run.
    let gateway = clock.start("");
    gateway.push("/metrics/job/b", "x 1\n");
    stop(gateway);
    clock.set("-3h");
    let gateway = clock.start("");
    assert_eq!(push_with_key(&gateway).status, 200);
    clock.set("+0");
    let is_replayed = |gateway: &Gateway| {
        assert_eq!(push_with_key(gateway).header("idempotent-replayed"), Some("true"));
        assert_eq!(gateway.sample(SERIES), Some(10.0));
    };
    is_replayed(&gateway);
    stop(gateway);
    is_replayed(&clock.start(""));
}

#[test]
fn a_clock_that_is_set_right_makes_no_key_old() {
    let Some(clock) = Clock::new() else { return };
    clock.set("-3h");
    let gateway = clock.start("");
    assert_eq!(push_with_key(&gateway).status, 200);
    clock.set("+0");
    push(&gateway);
    assert_eq!(push_with_key(&gateway).header("idempotent-replayed"), Some("true"));
    assert_eq!(gateway.sample(SERIES), Some(20.0));
}

#[test]
fn times_never_step_back() {
    let Some(clock) = Clock::new() else { return };
    let pushed_at = |gateway: &Gateway| gateway.sample("push_time_seconds{instance=\"\",job=\"a\"}").unwrap();
    let gateway = clock.start("");
    push(&gateway);
    let mut last = pushed_at(&gateway);
    for (offset, deletes) in [("-1h", false), ("+2h", true), ("-1d", false)] {
        clock.set(offset);
        push(&gateway);
        assert!(pushed_at(&gateway) >= last, "{offset}");
        last = pushed_at(&gateway);
        if deletes {
            // The time of deleted data is still known.
            assert_eq!(gateway.delete("/metrics/job/a").status, 202);
        }
    }
    assert_eq!(gateway.delete("/metrics/job/a").status, 202);
    drop(gateway);
    let gateway = clock.start("");
    push(&gateway);
    assert!(pushed_at(&gateway) >= last);
    assert!(gateway.stderr().contains("the clock is behind"), "{}", gateway.stderr());
}

/// The expected state, whatever the clock does.
#[derive(Default)]
struct Model {
    /// The sums by job.
    sums: [f64; 3],
    /// The keys that were used, with their job.
    keys: Vec<(usize, String)>,
    /// The sums and push times at the latest scrape.
    shown: [f64; 3],
    pushed_at: [f64; 3],
}

impl Model {
    fn push(&mut self, gateway: &Gateway, job: usize, key: Option<String>) {
        let headers = key.as_deref().map(|key| ("Idempotency-Key", key));
        let body = b"# TYPE c_total counter\nc_total 1\n";
        let path = format!("/metrics/job/{job}");
        let answer = gateway.request("POST", &path, headers.as_slice(), body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let is_known = key.as_ref().is_some_and(|key| self.keys.contains(&(job, key.clone())));
        assert_eq!(answer.header("idempotent-replayed").is_some(), is_known, "{job} {key:?}");
        if !is_known {
            self.sums[job] += 1.0;
            self.keys.extend(key.map(|key| (job, key)));
        }
    }

    fn scrape(&mut self, gateway: &Gateway) {
        let scrape = gateway.scrape();
        let sample = |series: String| support::sample(&scrape, &series);
        for job in 0..self.sums.len() {
            let Some(value) = sample(format!("c_total{{instance=\"\",job=\"{job}\"}}")) else { continue };
            // New series are shown as 0 first.
            assert!(value == self.sums[job] || value == 0.0, "{job}: {value} for {}", self.sums[job]);
            assert!(value >= self.shown[job], "{job}: {value} after {}", self.shown[job]);
            self.shown[job] = value;
            let pushed_at = sample(format!("push_time_seconds{{instance=\"\",job=\"{job}\"}}")).unwrap();
            assert!(pushed_at >= self.pushed_at[job], "{job}: {pushed_at} after {}", self.pushed_at[job]);
            self.pushed_at[job] = pushed_at;
        }
    }
}

#[test]
fn whatever_the_clock_does_pushes_count_once_and_nothing_steps_back() {
    for seed in 0..10 {
        let Some(clock) = Clock::new() else { return };
        let config = if seed % 2 == 0 { "[exposition]\nzero_lead = \"50ms\"\n" } else { "" };
        let (mut random, mut model) = (Random::new(seed), Model::default());
        let mut gateway = clock.start(config);
        for step in 0..60 {
            let job = random.below(3) as usize;
            match random.below(10) {
                0..=2 => model.push(&gateway, job, None),
                3..=4 => model.push(&gateway, job, Some(step.to_string())),
                5 => {
                    let known = random.below(model.keys.len().max(1) as u64) as usize;
                    if let Some((job, key)) = model.keys.get(known).cloned() {
                        model.push(&gateway, job, Some(key));
                    }
                }
                6..=7 => model.scrape(&gateway),
                8 => clock.set(["-3h", "-1m", "+0", "-2d", "-1s"][random.below(5) as usize]),
                _ => {
                    if random.below(2) == 0 {
                        stop(gateway);
                    } else {
                        drop(gateway);
                    }
                    gateway = clock.start(config);
                }
            }
        }
        model.scrape(&gateway);
    }
}
