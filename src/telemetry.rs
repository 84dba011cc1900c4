//! The gateway's own metrics: `pushgateway_*` with the names, types and labels of the stock gateway,
//! `process_*` as every Prometheus client has them, and `tallygate_*` for what is ours.
//!
//! The metrics are held by a `prometheus` registry and written by our own exposition, so that they
//! stand between the pushed families as everything else does. The doc comment of a field of
//! [`Telemetry`] says what is counted; its HELP text stands where it is registered.

mod families;
mod idempotency;
pub mod limits;
pub mod persistence;
mod process;
pub mod web;
mod window;

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::config::build_info;
use crate::model::kind::Kind;
use crate::model::time::Moment;
use crate::store::Store;
use crate::store::definition::OwnFamily;

pub use families::{Family, Row, RowValue};
use idempotency::Idempotency;
use window::SummaryVec;

/// The metrics, and handles to those that change.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    /// Requests by status code, handler and method.
    requests: IntCounterVec,
    /// Accepted pushes with POST and PUT: nearly all requests, so their counters are looked up once.
    accepted: [OnceLock<IntCounter>; 2],
    push_size: SummaryVec,
    push_duration: SummaryVec,
    groups: IntGauge,
    series: IntGauge,
    /// Pushes by what became of them.
    pushes: IntCounterVec,
    accepted_pushes: IntCounter,
    suspected: IntCounter,
    refusals: IntCounterVec,
    /// Requests with an idempotency key.
    idempotency: Idempotency,
    limits: limits::Limits,
    commits: persistence::Commits,
    queue: persistence::Queue,
    web: web::Web,
}

/// The methods of a push, as labels have them.
const PUSH_METHODS: [&str; 2] = ["post", "put"];

/// The names of the gateway's own families and their types. Jobs that push their whole registry push
/// `process_*` too, so those are shared with them; they are among them with `process_metrics`.
pub fn own_families(process_metrics: bool) -> impl Iterator<Item = (String, OwnFamily)> {
    let own = |is_shared| {
        move |(name, kind): &(&str, Kind)| (name.to_string(), OwnFamily { kind: *kind, is_shared })
    };
    let process = process::FAMILIES.iter().filter(move |_| process_metrics);
    ours().map(own(false)).chain(process.map(own(true)))
}

/// The families that no other program has.
fn ours() -> impl Iterator<Item = &'static (&'static str, Kind)> {
    OWN.iter()
        .chain(&persistence::FAMILIES)
        .chain(&idempotency::FAMILIES)
        .chain(&limits::FAMILIES)
        .chain(&web::FAMILIES)
}

const OWN: [(&str, Kind); 9] = [
    ("pushgateway_build_info", Kind::Gauge),
    ("pushgateway_http_requests_total", Kind::Counter),
    ("pushgateway_http_push_size_bytes", Kind::Summary),
    ("pushgateway_http_push_duration_seconds", Kind::Summary),
    ("tallygate_groups", Kind::Gauge),
    ("tallygate_series", Kind::Gauge),
    ("tallygate_pushes_total", Kind::Counter),
    ("tallygate_refused_pushes_total", Kind::Counter),
    ("tallygate_suspected_running_totals_total", Kind::Counter),
];

impl Telemetry {
    /// Registers everything, `process_*` with `process_metrics`.
    ///
    /// # Errors
    ///
    /// Never in a build that passes the tests: names and labels are constants.
    pub fn new(process_metrics: bool) -> prometheus::Result<Telemetry> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new(
                "pushgateway_http_requests_total",
                "Total HTTP requests processed by the Pushgateway, excluding scrapes.",
            ),
            &["code", "handler", "method"],
        )?;
        let push_size = SummaryVec::new(
            "pushgateway_http_push_size_bytes",
            "HTTP request size for pushes to the Pushgateway.",
            1.0,
        )?;
        let push_duration = SummaryVec::new(
            "pushgateway_http_push_duration_seconds",
            "HTTP request duration for pushes to the Pushgateway.",
            1e-9,
        )?;
        let groups = IntGauge::new("tallygate_groups", "Groups that the gateway holds.")?;
        let series = IntGauge::new(
            "tallygate_series",
            "Pushed series that the gateway holds, a histogram or summary counted once.",
        )?;
        let pushes = IntCounterVec::new(
            Opts::new("tallygate_pushes_total", "Pushes by what became of them."),
            &["result"],
        )?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "tallygate_refused_pushes_total",
                "Well-formed pushes that were refused, by what was wrong with them.",
            ),
            &["reason"],
        )?;
        let suspected = IntCounter::new(
            "tallygate_suspected_running_totals_total",
            "Accepted pushes that seem to come from the process that pushed before, with totals that went on: what they add is counted twice.",
        )?;
        let mut collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(build_info_gauge()?),
            Box::new(requests.clone()),
            Box::new(push_size.clone()),
            Box::new(push_duration.clone()),
            Box::new(groups.clone()),
            Box::new(series.clone()),
            Box::new(pushes.clone()),
            Box::new(refusals.clone()),
            Box::new(suspected.clone()),
        ];
        if process_metrics {
            collectors.push(Box::new(process::ProcessCollector::new()?));
        }
        let (idempotency, commits) = (Idempotency::new()?, persistence::Commits::new()?);
        let queue = persistence::Queue::new()?;
        let web = web::Web::new()?;
        let limits = limits::Limits::new()?;
        collectors
            .into_iter()
            .chain(idempotency.collectors())
            .chain(commits.collectors())
            .chain(queue.collectors())
            .chain(web.collectors())
            .chain(limits.collectors())
            .try_for_each(|collector| registry.register(collector))?;
        let accepted_pushes = pushes.with_label_values(&["accepted"]);
        pushes.with_label_values(&["refused"]);
        pushes.with_label_values(&["malformed"]);
        Ok(Telemetry {
            registry,
            requests,
            accepted: Default::default(),
            push_size,
            push_duration,
            groups,
            series,
            pushes,
            accepted_pushes,
            suspected,
            refusals,
            idempotency,
            limits,
            commits,
            queue,
            web,
        })
    }

    /// Counts a request that a handler answered.
    pub fn request(&self, handler: &str, method: &str, code: u16) {
        let mut digits = itoa::Buffer::new();
        self.requests.with_label_values(&[digits.format(code), handler, &method.to_lowercase()]).inc();
    }

    /// Counts an answered push, with the size of its request and how long it took.
    pub fn push(&self, is_put: bool, code: u16, bytes: u64, took: Duration) {
        let at = usize::from(is_put);
        let method = PUSH_METHODS[at];
        match code {
            200 => self.accepted[at]
                .get_or_init(|| self.requests.with_label_values(&["200", "push", method]))
                .inc(),
            _ => self.request("push", method, code),
        }
        self.push_size.observe(at, bytes);
        self.push_duration.observe(at, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a push that was merged.
    pub fn push_accepted(&self) {
        self.accepted_pushes.inc();
    }

    /// Counts an accepted push that seems to have added running totals.
    pub fn running_totals_suspected(&self) {
        self.suspected.inc();
    }

    /// Counts a push whose body could not be read.
    pub fn push_malformed(&self) {
        self.pushes.with_label_values(&["malformed"]).inc();
    }

    /// Counts a push that was refused for this reason.
    pub fn push_refused(&self, reason: &str) {
        self.pushes.with_label_values(&["refused"]).inc();
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// Counts a request that had been applied before.
    pub fn replayed(&self) {
        self.idempotency.replays.inc();
    }

    /// Counts a request whose idempotency key had come with another body.
    pub fn key_reused(&self) {
        self.idempotency.conflicts.inc();
    }

    /// The metrics of limits.
    pub fn limits(&self) -> &limits::Limits {
        &self.limits
    }

    /// The metrics of commits.
    pub fn commits(&self) -> &persistence::Commits {
        &self.commits
    }

    /// The metrics of the writer's queue.
    pub fn queue(&self) -> &persistence::Queue {
        &self.queue
    }

    /// The metrics of TLS and logins.
    pub fn web(&self) -> &web::Web {
        &self.web
    }

    /// All own families as they are now, sorted by name.
    pub fn families(&self, store: &Store, now: Moment) -> Vec<Family> {
        self.idempotency.show(store.keys(), now);
        self.groups.set(store.group_count());
        self.series.set(store.series_count());
        self.limits.show(store.bytes());
        families::from_registry(&self.registry)
    }
}

fn build_info_gauge() -> prometheus::Result<IntGauge> {
    let build = build_info();
    let labels = [
        ("branch", build.branch),
        ("goarch", build.arch),
        ("goos", build.os),
        ("goversion", build.rust_version),
        ("revision", build.revision),
        ("tags", build.tags),
        ("version", build.version),
    ];
    let labels: HashMap<String, String> =
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let gauge = IntGauge::with_opts(
        Opts::new(
            "pushgateway_build_info",
            "A metric with a constant '1' value labeled by version, revision, branch, goversion from which pushgateway was built, and the goos and goarch for the build.",
        )
        .const_labels(labels),
    )?;
    gauge.set(1);
    Ok(gauge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Tracking;

    #[test]
    fn every_exposed_family_is_declared_with_its_type() {
        let telemetry = Telemetry::new(true).unwrap();
        telemetry.push(false, 200, 100, Duration::from_millis(2));
        telemetry.push_refused("timestamp");
        let declared: HashMap<String, OwnFamily> = own_families(true).collect();
        let store = Store::new([], Tracking::Nothing, Duration::ZERO, 1);
        let exposed = telemetry.families(&store, Moment::at(0));
        for family in &exposed {
            let own = declared.get(&family.name).unwrap_or_else(|| panic!("{} is not declared", family.name));
            assert_eq!(own.kind, family.kind, "{}", family.name);
        }
        for (name, _) in ours() {
            assert!(exposed.iter().any(|family| family.name == *name), "{name} is not exposed");
        }
    }
}
