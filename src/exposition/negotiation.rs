//! Chooses the format and compression of a scrape.

use super::{openmetrics, protobuf, text};
use crate::model::escaping::Escaping;

pub use super::openmetrics::OpenMetricsVersion;
pub use super::text::TextVersion;

/// The format of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The format.
    pub syntax: Syntax,
    /// How names that are not legacy names are shown.
    pub escaping: Escaping,
}

/// A format that the gateway can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// The text format.
    Text(TextVersion),
    /// OpenMetrics text.
    OpenMetrics(OpenMetricsVersion),
    /// Delimited protobuf.
    Protobuf,
}

/// The formats and compressions that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offers {
    /// All that the gateway can write.
    All,
    /// Those of the stock gateway 1.11: text 0.0.4 and protobuf, gzip.
    Stock,
}

impl Offers {
    fn include(self, syntax: Syntax) -> bool {
        self == Offers::All || matches!(syntax, TEXT | Syntax::Protobuf)
    }
}

const TEXT: Syntax = Syntax::Text(TextVersion::V0_0_4);

impl Format {
    /// The `Content-Type` of this format.
    pub fn content_type(self) -> String {
        let syntax = match self.syntax {
            Syntax::Text(version) => version.content_type(),
            Syntax::OpenMetrics(version) => version.content_type(),
            Syntax::Protobuf => protobuf::CONTENT_TYPE,
        };
        format!("{syntax}; escaping={}", self.escaping.name())
    }

    /// The format for this `Accept` header, chosen as `expfmt.Negotiate` does: clauses sorted by weight, and the
    /// first known one wins. An `escaping` parameter of an earlier clause stays in force.
    pub fn negotiate(accept: &str, offers: Offers) -> Format {
        let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::parse).collect();
        clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.is_wild().cmp(&b.is_wild())));
        let mut escaping = Escaping::Underscores;
        for clause in &clauses {
            if let Some(scheme) = clause.parameter("escaping").and_then(Escaping::from_name) {
                escaping = scheme;
            }
            if let Some(syntax) = clause.syntax(offers) {
                return Format { syntax, escaping };
            }
        }
        Format { syntax: TEXT, escaping }
    }
}

/// One clause of an `Accept` header.
struct Clause<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f64,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Clause<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().filter(|t| !t.is_empty())?;
        let parameters: Vec<(&str, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let weight = parameters.iter().find(|(name, _)| *name == "q").and_then(|(_, q)| q.parse().ok());
        Some(Clause { media_type, parameters, weight: weight.unwrap_or(1.0) })
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    fn is_wild(&self) -> bool {
        self.media_type.contains('*')
    }

    fn syntax(&self, offers: Offers) -> Option<Syntax> {
        let version = self.parameter("version").unwrap_or_default();
        let syntax = match self.media_type {
            text::MEDIA_TYPE => Syntax::Text(TextVersion::named(version)?),
            openmetrics::MEDIA_TYPE => Syntax::OpenMetrics(OpenMetricsVersion::named(version)?),
            protobuf::MEDIA_TYPE if protobuf::are_delimited_families(|name| self.parameter(name)) => {
                Syntax::Protobuf
            }
            _ => return None,
        };
        offers.include(syntax).then_some(syntax)
    }
}

/// The compression of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None.
    Identity,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Compression {
    /// The compression for this `Accept-Encoding` header: the one with the highest weight. Of equal ones, none wins
    /// over gzip (client_golang, `httputil.NegotiateContentEncoding`).
    pub fn negotiate(accept_encoding: &str, offers: Offers) -> Compression {
        let weights: Vec<(&str, f64)> = accept_encoding
            .split(',')
            .filter_map(|clause| {
                let mut parts = clause.split(';').map(str::trim);
                let name = parts.next().filter(|name| !name.is_empty())?;
                let weight =
                    parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
                Some((name, weight?))
            })
            .collect();
        let weight = |offer: &str| {
            weights
                .iter()
                .filter(|(name, _)| *name == "*" || *name == offer)
                .map(|(_, q)| *q)
                .fold(-1.0, f64::max)
        };
        let mut best = (Compression::Identity, weight("identity").max(0.0));
        let offered = [("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];
        for (name, compression) in offered {
            let is_offered = offers == Offers::All || compression != Compression::Zstd;
            if is_offered && weight(name) > best.1 {
                best = (compression, weight(name));
            }
        }
        best.0
    }

    /// Its name in `Content-Encoding`. `None` if there is no compression.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Compression::Identity => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOBUF: &str =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    const TEXT_1: Syntax = Syntax::Text(TextVersion::V1_0_0);
    const OPENMETRICS_0: Syntax = Syntax::OpenMetrics(OpenMetricsVersion::V0_0_1);
    const OPENMETRICS_1: Syntax = Syntax::OpenMetrics(OpenMetricsVersion::V1_0_0);

    /// The `Accept` headers of Prometheus by version: 2.53, 3.5, and 3.5 with native histograms.
    const PROMETHEUS: [(&str, Syntax, Syntax, Escaping); 3] = [
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPENMETRICS_1,
            TEXT,
            Escaping::Underscores,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPENMETRICS_1,
            TEXT,
            Escaping::AllowUtf8,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            Syntax::Protobuf,
            Syntax::Protobuf,
            Escaping::AllowUtf8,
        ),
    ];

    #[test]
    fn formats_that_prometheus_asks_for() {
        for (accept, all, stock, escaping) in PROMETHEUS {
            assert_eq!(Format::negotiate(accept, Offers::All), Format { syntax: all, escaping }, "{accept}");
            assert_eq!(Format::negotiate(accept, Offers::Stock), Format { syntax: stock, escaping });
        }
    }

    #[test]
    fn formats() {
        for (accept, syntax, escaping) in [
            ("", TEXT, Escaping::Underscores),
            ("*/*", TEXT, Escaping::Underscores),
            ("application/json", TEXT, Escaping::Underscores),
            (PROTOBUF, Syntax::Protobuf, Escaping::Underscores),
            ("application/vnd.google.protobuf;encoding=delimited", TEXT, Escaping::Underscores),
            ("text/plain;version=0.0.4;escaping=dots", TEXT, Escaping::Dots),
            ("text/plain;escaping=nonsense", TEXT, Escaping::Underscores),
            ("text/plain;version=1.0.0;escaping=values", TEXT_1, Escaping::Values),
            ("application/openmetrics-text", OPENMETRICS_0, Escaping::Underscores),
            ("application/openmetrics-text;version=2.0.0,text/plain;q=0.5", TEXT, Escaping::Underscores),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                OPENMETRICS_1,
                Escaping::Underscores,
            ),
        ] {
            assert_eq!(Format::negotiate(accept, Offers::All), Format { syntax, escaping }, "{accept}");
        }
        let mixed = format!("text/plain;q=0.5,{PROTOBUF};q=0.9");
        assert_eq!(Format::negotiate(&mixed, Offers::All).syntax, Syntax::Protobuf);
    }

    #[test]
    fn compressions() {
        use Compression::{Gzip, Identity, Zstd};
        for (accept, all, stock) in [
            ("gzip", Gzip, Gzip),
            ("gzip, zstd", Gzip, Gzip),
            ("deflate, gzip;q=1.0, *;q=0.5", Gzip, Gzip),
            ("gzip;q=0.5, identity;q=0.2", Gzip, Gzip),
            ("zstd", Zstd, Identity),
            ("zstd;q=0.9, gzip;q=0.5", Zstd, Gzip),
            ("", Identity, Identity),
            ("gzip, identity", Identity, Identity),
            ("*", Identity, Identity),
            ("GZIP", Identity, Identity),
            ("x-gzip", Identity, Identity),
            ("gzip;q=0", Identity, Identity),
            ("identity", Identity, Identity),
        ] {
            assert_eq!(Compression::negotiate(accept, Offers::All), all, "{accept}");
            assert_eq!(Compression::negotiate(accept, Offers::Stock), stock, "{accept}");
        }
    }
}
