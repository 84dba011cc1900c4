//! The gateway's own metrics: `pushgateway_*` with the names, types and labels of the stock gateway, `process_*` as
//! in every Prometheus client, and `tallygate_*` for everything else.
//!
//! A `prometheus` registry holds the metrics, and the gateway's own exposition writes them, so that they are sorted
//! among the pushed families. Each is declared once, with its type, labels, name and help text. The names that jobs
//! may not push follow from the declarations.

mod declare;
mod expiry;
mod families;
mod idempotency;
pub mod limits;
pub mod persistence;
mod process;
pub mod replica;
pub mod rules;
pub mod web;
mod window;

use std::sync::OnceLock;
use std::time::Instant;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::config::build_info;
use crate::model::kind::Kind;
use crate::model::time::Moment;
use crate::store::Store;
use crate::store::definition::OwnFamily;

use declare::metrics;
use expiry::ExpiryMetrics;
pub use families::{Family, Row, RowValue};
use idempotency::IdempotencyMetrics;
use window::{PUSH_METHODS, SummaryVec};

metrics! {
    /// Metrics of requests, pushes and groups.
    struct RequestMetrics {
        build_info: IntGaugeVec by ["branch", "goarch", "goos", "goversion", "revision", "tags", "version"] =
            "pushgateway_build_info",
            "A metric with a constant '1' value labeled by version, revision, branch, goversion from which pushgateway \
             was built, and the goos and goarch for the build.";
        requests: IntCounterVec by ["code", "handler", "method"] = "pushgateway_http_requests_total",
            "Total HTTP requests processed by the Pushgateway, excluding scrapes.";
        push_size: SummaryVec by ["method"] = "pushgateway_http_push_size_bytes",
            "HTTP request size for pushes to the Pushgateway.", 1.0;
        push_duration: SummaryVec by ["method"] = "pushgateway_http_push_duration_seconds",
            "HTTP request duration for pushes to the Pushgateway.", 1e-9;
        groups: IntGauge = "tallygate_groups",
            "Groups that the gateway holds.";
        series: IntGauge = "tallygate_series",
            "Pushed series that the gateway holds, a histogram or summary counted once.";
        pushes: IntCounterVec by ["result"] = "tallygate_pushes_total",
            "Pushes by what became of them.";
        refusals: IntCounterVec by ["reason"] = "tallygate_refused_pushes_total",
            "Refused pushes, by what was wrong with them.";
        suspected: IntCounter = "tallygate_suspected_running_totals_total",
            "Accepted pushes that seem to come from the process that pushed before, with totals that went on: what \
             they add is counted twice.";
    }
}

/// The label with the name of a gateway, where several share a database.
const REPLICA_LABEL: &str = "replica";

/// The metrics, and handles to those that change.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    metrics: RequestMetrics,
    /// `pushgateway_http_requests_total` for accepted pushes with POST and PUT. Nearly all requests are such pushes,
    /// so these counters are looked up only once.
    accepted: [OnceLock<IntCounter>; PUSH_METHODS.len()],
    accepted_pushes: IntCounter,
    expiry: ExpiryMetrics,
    idempotency: IdempotencyMetrics,
    limits: limits::LimitMetrics,
    commits: persistence::CommitMetrics,
    queue: persistence::QueueMetrics,
    web: web::WebMetrics,
    rules: rules::RuleMetrics,
    /// Where other gateways may use the same database.
    replica: Option<replica::ReplicaMetrics>,
}

/// The names of the gateway's own families and their types, with `process_metrics` also `process_*`. Jobs that push
/// their whole registry push `process_*` too, so these names are shared with them.
pub fn own_families(process_metrics: bool) -> impl Iterator<Item = (String, OwnFamily)> {
    let own = |is_shared| move |(name, kind): (&str, Kind)| (name.to_owned(), OwnFamily { kind, is_shared });
    let process = process::families().filter(move |_| process_metrics);
    ours().map(own(false)).chain(process.map(own(true)))
}

/// The families whose names jobs may not push.
fn ours() -> impl Iterator<Item = (&'static str, Kind)> {
    let families = [
        RequestMetrics::FAMILIES,
        ExpiryMetrics::FAMILIES,
        IdempotencyMetrics::FAMILIES,
        limits::LimitMetrics::FAMILIES,
        persistence::CommitMetrics::FAMILIES,
        persistence::QueueMetrics::FAMILIES,
        web::WebMetrics::FAMILIES,
        rules::RuleMetrics::FAMILIES,
        replica::ReplicaMetrics::FAMILIES,
    ];
    families.into_iter().flatten().copied()
}

impl Telemetry {
    /// Registers everything, `process_*` with `process_metrics`. Where several gateways share a database, `replica` is the
    /// name of this one. Each series has it then, so that those of one gateway are not taken for those of another.
    ///
    /// # Errors
    ///
    /// Never in a build that passes the tests: names and labels are constants.
    pub fn new(process_metrics: bool, replica: Option<&str>) -> prometheus::Result<Telemetry> {
        let labels = replica.map(|name| [(REPLICA_LABEL.to_owned(), name.to_owned())].into());
        let registry = Registry::new_custom(None, labels)?;
        let metrics = RequestMetrics::new(&registry)?;
        show_build(&metrics.build_info);
        metrics.pushes.with_label_values(&["refused"]);
        metrics.pushes.with_label_values(&["malformed"]);
        metrics.pushes.with_label_values(&["dropped"]);
        if process_metrics {
            registry.register(Box::new(process::ProcessCollector::new()?))?;
        }
        let (commits, web) = (persistence::CommitMetrics::new(&registry)?, web::WebMetrics::new(&registry)?);
        commits.prepare();
        web.prepare();
        let rules = rules::RuleMetrics::new(&registry)?;
        rules.prepare();
        Ok(Telemetry {
            accepted: Default::default(),
            accepted_pushes: metrics.pushes.with_label_values(&["accepted"]),
            expiry: ExpiryMetrics::new(&registry)?,
            idempotency: IdempotencyMetrics::new(&registry)?,
            limits: limits::LimitMetrics::new(&registry)?,
            queue: persistence::QueueMetrics::new(&registry)?,
            commits,
            web,
            rules,
            replica: replica.map(|_| replica::ReplicaMetrics::new(&registry)).transpose()?,
            metrics,
            registry,
        })
    }

    /// Counts a request that a handler answered.
    pub fn request(&self, handler: &str, method: &str, code: u16) {
        let mut digits = itoa::Buffer::new();
        self.metrics
            .requests
            .with_label_values(&[digits.format(code), handler, &method.to_lowercase()])
            .inc();
    }

    /// Counts an answered push, with the size of its request and how long it took.
    pub fn push(&self, is_put: bool, code: u16, bytes: u64, started: Instant) {
        let now = Instant::now();
        let took = now.saturating_duration_since(started);
        let at = usize::from(is_put);
        let method = PUSH_METHODS[at];
        match code {
            200 => self.accepted[at]
                .get_or_init(|| self.metrics.requests.with_label_values(&["200", "push", method]))
                .inc(),
            _ => self.request("push", method, code),
        }
        self.metrics.push_size.observe(at, bytes, now);
        self.metrics.push_duration.observe(at, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), now);
    }

    /// Counts a push that was merged.
    pub fn push_accepted(&self) {
        self.accepted_pushes.inc();
    }

    /// Counts a push that a rule drops.
    pub fn push_dropped(&self) {
        self.metrics.pushes.with_label_values(&["dropped"]).inc();
    }

    /// Counts an accepted push that seems to have added running totals.
    pub fn running_totals_suspected(&self) {
        self.metrics.suspected.inc();
    }

    /// Counts a push whose body can't be parsed.
    pub fn push_malformed(&self) {
        self.metrics.pushes.with_label_values(&["malformed"]).inc();
    }

    /// Counts a push that was refused for this reason.
    pub fn push_refused(&self, reason: &str) {
        self.metrics.pushes.with_label_values(&["refused"]).inc();
        self.metrics.refusals.with_label_values(&[reason]).inc();
    }

    /// Counts a request that was applied before and changed nothing now.
    pub fn replayed(&self) {
        self.idempotency.replayed();
    }

    /// Counts a request whose idempotency key was used before with another body.
    pub fn key_reused(&self) {
        self.idempotency.key_reused();
    }

    /// The metrics of limits.
    pub fn limits(&self) -> &limits::LimitMetrics {
        &self.limits
    }

    /// The metrics of commits.
    pub fn commits(&self) -> &persistence::CommitMetrics {
        &self.commits
    }

    /// The metrics of the writer's queue.
    pub fn queue(&self) -> &persistence::QueueMetrics {
        &self.queue
    }

    /// The metrics of rules.
    pub fn rules(&self) -> &rules::RuleMetrics {
        &self.rules
    }

    /// The metrics of a gateway that shares a database with others; `None` if it does not.
    pub fn replica(&self) -> Option<&replica::ReplicaMetrics> {
        self.replica.as_ref()
    }

    /// The metrics of TLS and logins.
    pub fn web(&self) -> &web::WebMetrics {
        &self.web
    }

    /// All own families with their current values, sorted by name.
    pub fn families(&self, store: &Store, now: Moment) -> Vec<Family> {
        self.expiry.update(store.tally());
        self.idempotency.update(store.keys(), now);
        self.metrics.groups.set(store.group_count());
        self.metrics.series.set(store.series_count());
        self.limits.update(store.bytes());
        families::from_registry(&self.registry)
    }
}

fn show_build(gauge: &IntGaugeVec) {
    let build = build_info();
    let labels =
        [build.branch, build.arch, build.os, build.rust_version, build.revision, build.tags, build.version];
    gauge.with_label_values(&labels).set(1);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::store::CommitMode;

    #[test]
    fn every_exposed_family_is_declared_with_its_type() {
        let telemetry = Telemetry::new(true, Some("a")).unwrap();
        telemetry.push(false, 200, 100, Instant::now());
        telemetry.push_refused("timestamp");
        telemetry.rules().pushed(1);
        let declared: HashMap<String, OwnFamily> = own_families(true).collect();
        let store = Store::new([], CommitMode::Never, Duration::ZERO, 1);
        let exposed = telemetry.families(&store, Moment::at(0));
        for family in &exposed {
            let own = declared.get(&family.name).unwrap_or_else(|| panic!("{} is not declared", family.name));
            assert_eq!(own.kind, family.kind, "{}", family.name);
        }
        for (name, _) in ours() {
            assert!(exposed.iter().any(|family| family.name == name), "{name} is not exposed");
        }
    }
}
