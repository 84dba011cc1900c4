//! The types that a metric family can have.

/// The type of a metric family, as `# TYPE` and the protobuf format name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A value that only adds.
    Counter,
    /// A value that goes up and down; the latest push stays.
    Gauge,
    /// A sum, a count and quantiles that a client computed.
    Summary,
    /// A value without a declared type.
    Untyped,
    /// Counts of observations by upper bound, with their sum.
    Histogram,
    /// A histogram that goes up and down, such as the ages of the items in a queue.
    GaugeHistogram,
}

/// How the values of a family are stored: the kinds with the same form can take each other's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One number a series.
    Number,
    /// Sum, count and quantiles.
    Summary,
    /// Sum, count and buckets.
    Histogram,
}

impl Kind {
    /// Every kind, in the order of the protobuf enum `MetricType`.
    pub const ALL: [Kind; 6] =
        [Kind::Counter, Kind::Gauge, Kind::Summary, Kind::Untyped, Kind::Histogram, Kind::GaugeHistogram];

    /// The kind with this number in the protobuf enum `MetricType` (client_model `metrics.proto`).
    pub fn from_number(number: i32) -> Option<Kind> {
        Kind::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The number of this kind in the protobuf enum `MetricType`.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The name in the protobuf enum, which the JSON API and error messages use.
    pub fn upper_name(self) -> &'static str {
        match self {
            Kind::Counter => "COUNTER",
            Kind::Gauge => "GAUGE",
            Kind::Summary => "SUMMARY",
            Kind::Untyped => "UNTYPED",
            Kind::Histogram => "HISTOGRAM",
            Kind::GaugeHistogram => "GAUGE_HISTOGRAM",
        }
    }

    /// How values of this kind are stored.
    pub fn form(self) -> Form {
        match self {
            Kind::Counter | Kind::Gauge | Kind::Untyped => Form::Number,
            Kind::Summary => Form::Summary,
            Kind::Histogram | Kind::GaugeHistogram => Form::Histogram,
        }
    }

    /// Whether pushes to a family of this kind and name add up rather than replace each other.
    ///
    /// An untyped `*_total` adds, because shell users write no `# TYPE` line for their counters.
    pub fn adds(self, family_name: &str) -> bool {
        match self {
            Kind::Counter | Kind::Summary | Kind::Histogram => true,
            Kind::Untyped => family_name.ends_with("_total"),
            Kind::Gauge | Kind::GaugeHistogram => false,
        }
    }

    /// The type of a family of this type and name after a push of type `pushed`, where untyped and typed
    /// may stand for each other: shell users write no `# TYPE` line, other clients of the same metric
    /// do. That needs values that are stored alike and meet alike. `None` where the types conflict.
    pub fn reconciled(self, family_name: &str, pushed: Kind) -> Option<Kind> {
        let is_alike = self.form() == pushed.form() && self.adds(family_name) == pushed.adds(family_name);
        match (self, pushed) {
            (live, pushed) if live == pushed => Some(live),
            (Kind::Untyped, typed) if is_alike => Some(typed),
            (typed, Kind::Untyped) if is_alike => Some(typed),
            _ => None,
        }
    }

    /// The suffixes that the text formats append to the family name for samples of this kind.
    pub fn sample_suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Counter | Kind::Gauge | Kind::Untyped => &[],
            Kind::Summary => &["_count", "_sum"],
            Kind::Histogram | Kind::GaugeHistogram => &["_count", "_sum", "_bucket"],
        }
    }
}
