//! The types that a metric family can have.

/// The type of a metric family, as `# TYPE` and the protobuf format name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A value that only goes up. Pushes add to it.
    Counter,
    /// A value that goes up and down. The latest push replaces it.
    Gauge,
    /// A sum, a count and quantiles that a client computed.
    Summary,
    /// A value without a declared type.
    Untyped,
    /// Counts of observations by upper bound, with their sum.
    Histogram,
    /// A histogram that goes up and down, such as the ages of the items in a queue.
    GaugeHistogram,
    /// Labels with information, with the value 1. All formats but OpenMetrics show it as a gauge.
    Info,
    /// States that are on or off, each as a series. All formats but OpenMetrics show it as a gauge.
    StateSet,
}

/// How the values of a family are stored. Types with the same form can be converted into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One number for each series.
    Number,
    /// Sum, count and quantiles.
    Summary,
    /// Sum, count and buckets.
    Histogram,
}

impl Form {
    /// The label that the text formats give to the samples of a composite series.
    pub fn special_label(self) -> Option<&'static str> {
        match self {
            Form::Number => None,
            Form::Summary => Some("quantile"),
            Form::Histogram => Some("le"),
        }
    }
}

impl Kind {
    /// Every kind, in the order of their numbers: first those of the protobuf enum `MetricType`
    /// (client_model `metrics.proto`), in its order.
    const ALL: [Kind; 8] = [
        Kind::Counter,
        Kind::Gauge,
        Kind::Summary,
        Kind::Untyped,
        Kind::Histogram,
        Kind::GaugeHistogram,
        Kind::Info,
        Kind::StateSet,
    ];

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(number)).copied()
    }

    /// The kind with this number in the protobuf enum `MetricType`.
    pub fn from_protobuf(number: i32) -> Option<Kind> {
        Kind::from_number(u8::try_from(number).ok()?).filter(|kind| kind.classic() == *kind)
    }

    /// The type that formats older than OpenMetrics show.
    pub fn classic(self) -> Kind {
        match self {
            Kind::Info | Kind::StateSet => Kind::Gauge,
            other => other,
        }
    }

    /// The name in the protobuf enum `MetricType`, which the JSON API and error messages use.
    pub fn upper_name(self) -> &'static str {
        match self {
            Kind::Counter => "COUNTER",
            Kind::Gauge | Kind::Info | Kind::StateSet => "GAUGE",
            Kind::Summary => "SUMMARY",
            Kind::Untyped => "UNTYPED",
            Kind::Histogram => "HISTOGRAM",
            Kind::GaugeHistogram => "GAUGE_HISTOGRAM",
        }
    }

    /// How values of this kind are stored.
    pub fn form(self) -> Form {
        match self {
            Kind::Counter | Kind::Gauge | Kind::Untyped | Kind::Info | Kind::StateSet => Form::Number,
            Kind::Summary => Form::Summary,
            Kind::Histogram | Kind::GaugeHistogram => Form::Histogram,
        }
    }

    /// The type of a family of this type after a push of type `pushed`, if formats older than OpenMetrics show both
    /// alike. `None` if they do not.
    pub fn joined(self, pushed: Kind) -> Option<Kind> {
        if self == pushed {
            Some(self)
        } else {
            // If clients disagree whether it is an info or a state set, it is a plain gauge.
            (self.classic() == pushed.classic()).then_some(self.classic())
        }
    }

    /// Whether a series of this type has a start time, from which it counts.
    pub fn has_start(self) -> bool {
        matches!(self, Kind::Counter | Kind::Summary | Kind::Histogram)
    }

    /// The suffixes that the text formats append to the family name for samples of this kind.
    pub fn sample_suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Counter | Kind::Gauge | Kind::Untyped | Kind::Info | Kind::StateSet => &[],
            Kind::Summary => &["_count", "_sum"],
            Kind::Histogram | Kind::GaugeHistogram => &["_count", "_sum", "_bucket"],
        }
    }
}
