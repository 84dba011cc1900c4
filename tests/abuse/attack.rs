//! A gateway under attack.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test reports")]
#![allow(clippy::print_stderr, reason = "tests say why they are skipped")]

use std::time::Instant;

use crate::support::{Gateway, PATIENCE, assert_valid_exposition, sample};

/// What the gateway is started with: small limits, so that a bound is a bound.
const LIMITS: &str = "\
[web]
max_body_bytes = 16777216
[limits]
body_bytes_in_flight = 67108864
samples_per_push = 50000
label_pairs_per_push = 200000
store_bytes = 67108864
";

pub(crate) struct Attack {
    pub(crate) gateway: Gateway,
}

impl Attack {
    /// A gateway with these limits besides.
    pub(crate) fn start(limits: &str) -> Attack {
        Attack::start_with(limits, &[])
    }

    /// The same, and with these flags.
    pub(crate) fn start_with(limits: &str, flags: &[&str]) -> Attack {
        Attack { gateway: Gateway::start_with_config(&format!("{LIMITS}{limits}\n"), flags) }
    }

    /// How often a limit was hit.
    #[track_caller]
    pub(crate) fn hits(&self, limit: &str) -> f64 {
        let series = format!("tallygate_limit_hits_total{{limit=\"{limit}\"}}");
        self.gateway.sample(&series).expect("a counter for the limit")
    }

    /// The bound that the README states, in bytes.
    pub(crate) fn bound(&self, connections: u64) -> u64 {
        let (store, bodies, scrapes) = (64 << 20, 64 << 20, 40);
        let largest_push = 6 * (16 << 20) + 50_000 * 1000 + 200_000 * 80;
        (96 << 20) + 2 * store + bodies + largest_push + connections * (200 << 10) + scrapes * (2 << 20)
    }

    /// The most memory that the gateway has had, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.process_id())).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a line of /proc");
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        if std::env::var_os("TALLYGATE_TEST_MEMORY").is_some() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("{test}: {} MiB now, {} MiB at most", kib("VmRSS:") >> 10, kib("VmHWM:") >> 10);
        }
        kib("VmHWM:") << 10
    }

    /// Waits until a scrape is answered.
    pub(crate) fn until_served(&self) {
        self.until(|| self.gateway.get("/metrics").status == 200);
    }

    /// Waits until a limit was hit so often, and no more often.
    #[track_caller]
    pub(crate) fn until_hits(&self, limit: &str, times: f64) {
        self.until(|| self.hits(limit) >= times);
        assert_eq!(self.hits(limit), times, "{limit}");
    }

    /// Asks again and again until it is so.
    #[track_caller]
    pub(crate) fn until(&self, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "that did not come within {PATIENCE:?}");
        }
    }

    /// The gateway serves as ever, and its memory was never above the bound.
    pub(crate) fn is_over(&self) {
        self.is_over_with(400);
    }

    pub(crate) fn is_over_with(&self, connections: u64) {
        let body = "# TYPE after_total counter\nafter_total 2\n";
        self.gateway.push("/metrics/job/after", body);
        self.gateway.push("/metrics/job/after", body);
        let scrape = self.gateway.scrape();
        assert_valid_exposition(&scrape);
        assert_eq!(sample(&scrape, "after_total{instance=\"\",job=\"after\"}"), Some(4.0));
        let (peak, bound) = (self.peak(), self.bound(connections));
        assert!(peak < bound, "{} MiB of {} MiB", peak >> 20, bound >> 20);
    }
}

/// Asks the system for so many open files; says why and gives false where there are fewer.
pub(crate) fn raise_descriptors(wanted: usize) -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, ..limits };
    let _ = setrlimit(Resource::Nofile, raised);
    let there = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if there >= wanted as u64 {
        return true;
    }
    let reason = format!("this machine lets a process open {there} files, and the test needs {wanted}");
    assert!(std::env::var_os("TALLYGATE_TEST_ALL").is_none_or(|all| all != "1"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

/// A push whose scrape is larger than what sockets hold.
pub(crate) fn stalled_text() -> String {
    let filler = "x".repeat(1000);
    (0..12_000).map(|series| format!("m{{l=\"{series}\",f=\"{filler}\"}} 1\n")).collect()
}
