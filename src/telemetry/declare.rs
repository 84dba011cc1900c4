//! Declares each metric once, with type, labels, name and help text.

use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::model::kind::Kind;

/// What is declared of a metric beside its type.
pub(super) struct Declaration {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

impl Declaration {
    fn opts(&self) -> Opts {
        let labels = self.labels.iter().map(|label| (*label).to_owned()).collect();
        Opts::new(self.name, self.help).variable_labels(labels)
    }
}

/// A type of metric that can be declared.
pub(super) trait Declared: Collector + Clone + Sized {
    /// The type in a scrape.
    const KIND: Kind;

    /// What else is declared of metrics of this type.
    type Shape;

    /// Makes the metric. Fails if the declaration does not fit the type.
    fn declared(declaration: &Declaration, shape: Self::Shape) -> prometheus::Result<Self>;
}

impl Declared for IntCounter {
    const KIND: Kind = Kind::Counter;
    type Shape = ();

    fn declared(declaration: &Declaration, (): ()) -> prometheus::Result<Self> {
        Self::with_opts(declaration.opts())
    }
}

impl Declared for IntCounterVec {
    const KIND: Kind = Kind::Counter;
    type Shape = ();

    fn declared(declaration: &Declaration, (): ()) -> prometheus::Result<Self> {
        Self::new(Opts::new(declaration.name, declaration.help), declaration.labels)
    }
}

impl Declared for IntGauge {
    const KIND: Kind = Kind::Gauge;
    type Shape = ();

    fn declared(declaration: &Declaration, (): ()) -> prometheus::Result<Self> {
        Self::with_opts(declaration.opts())
    }
}

impl Declared for IntGaugeVec {
    const KIND: Kind = Kind::Gauge;
    type Shape = ();

    fn declared(declaration: &Declaration, (): ()) -> prometheus::Result<Self> {
        Self::new(Opts::new(declaration.name, declaration.help), declaration.labels)
    }
}

impl Declared for Gauge {
    const KIND: Kind = Kind::Gauge;
    type Shape = ();

    fn declared(declaration: &Declaration, (): ()) -> prometheus::Result<Self> {
        Self::with_opts(declaration.opts())
    }
}

impl Declared for Histogram {
    const KIND: Kind = Kind::Histogram;
    /// The bounds of its buckets.
    type Shape = Vec<f64>;

    fn declared(declaration: &Declaration, buckets: Vec<f64>) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts { common_opts: declaration.opts(), buckets })
    }
}

/// Declares a struct of metrics.
///
/// A field is `field: Type = "name", "help";`. Labels stand behind the type, as `by ["label"]`, and the
/// [shape](Declared::Shape) of a metric, if its type has one, behind the help text.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        $visibility:vis struct $Metrics:ident {
            $(
                $field:ident: $Metric:ident $(by [$($label:literal),+])? = $name:literal, $help:literal
                $(, $shape:expr)?;
            )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        $visibility struct $Metrics {
            $($field: $Metric,)*
        }

        impl $Metrics {
            /// The names and types of the metrics.
            pub(super) const FAMILIES: &[(&'static str, $crate::model::kind::Kind)] =
                &[$(($name, <$Metric as $crate::telemetry::declare::Declared>::KIND),)*];

            /// Makes and registers the metrics.
            pub(super) fn new(registry: &prometheus::Registry) -> prometheus::Result<$Metrics> {
                let metrics = $Metrics {
                    $(
                        $field: <$Metric as $crate::telemetry::declare::Declared>::declared(
                            &$crate::telemetry::declare::Declaration {
                                name: $name,
                                help: $help,
                                labels: &[$($($label),+)?],
                            },
                            ($($shape)?),
                        )?,
                    )*
                };
                $(registry.register(Box::new(metrics.$field.clone()))?;)*
                Ok(metrics)
            }
        }
    };
}

pub(super) use metrics;
