//! Which format and encoding a scrape gets.

use crate::exposition::escaping::Escaping;

/// The form of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The format.
    pub syntax: Syntax,
    /// What happens to names that are no legacy names.
    pub escaping: Escaping,
}

/// A format that the gateway can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// The text format, version 0.0.4.
    Text,
    /// Delimited protobuf.
    Protobuf,
}

impl Format {
    /// The `Content-Type` of this format.
    pub fn content_type(self) -> String {
        let escaping = self.escaping.name();
        match self.syntax {
            Syntax::Text => format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}"),
            Syntax::Protobuf => format!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping={escaping}"
            ),
        }
    }

    /// The format for this `Accept` header, chosen as `expfmt.Negotiate` does: clauses in the order of
    /// their weight, the first that is known wins, and any `escaping` parameter on the way sticks.
    pub fn negotiate(accept: &str) -> Format {
        let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::parse).collect();
        clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.is_wild().cmp(&b.is_wild())));
        let mut escaping = Escaping::Underscores;
        for clause in &clauses {
            if let Some(scheme) = clause.parameter("escaping").and_then(Escaping::from_name) {
                escaping = scheme;
            }
            if let Some(syntax) = clause.syntax() {
                return Format { syntax, escaping };
            }
        }
        Format { syntax: Syntax::Text, escaping }
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

    fn syntax(&self) -> Option<Syntax> {
        match self.media_type {
            "text/plain" => {
                matches!(self.parameter("version"), None | Some("" | "0.0.4")).then_some(Syntax::Text)
            }
            "application/vnd.google.protobuf" => (self.parameter("proto")
                == Some("io.prometheus.client.MetricFamily")
                && self.parameter("encoding") == Some("delimited"))
            .then_some(Syntax::Protobuf),
            _ => None,
        }
    }
}

/// Whether a scrape with this `Accept-Encoding` header is compressed with gzip: where gzip weighs
/// more than no compression (client_golang, `httputil.NegotiateContentEncoding`).
pub fn wants_gzip(accept_encoding: &str) -> bool {
    let weights: Vec<(&str, f64)> = accept_encoding
        .split(',')
        .filter_map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?;
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
            Some((name, weight?))
        })
        .collect();
    let best = |offer: &str| {
        weights
            .iter()
            .filter(|(name, _)| *name == "*" || *name == offer)
            .map(|(_, q)| *q)
            .fold(-1.0, f64::max)
    };
    best("gzip") > best("identity").max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let protobuf =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, syntax, escaping) in [
            ("", Syntax::Text, Escaping::Underscores),
            ("*/*", Syntax::Text, Escaping::Underscores),
            ("application/json", Syntax::Text, Escaping::Underscores),
            (protobuf, Syntax::Protobuf, Escaping::Underscores),
            ("application/vnd.google.protobuf;encoding=delimited", Syntax::Text, Escaping::Underscores),
            ("text/plain;version=0.0.4;escaping=dots", Syntax::Text, Escaping::Dots),
            ("text/plain;escaping=nonsense", Syntax::Text, Escaping::Underscores),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Syntax::Text,
                Escaping::AllowUtf8,
            ),
        ] {
            assert_eq!(Format::negotiate(accept), Format { syntax, escaping }, "{accept}");
        }
        let mixed = format!("text/plain;q=0.5,{protobuf};q=0.9");
        assert_eq!(Format::negotiate(&mixed).syntax, Syntax::Protobuf);
    }

    #[test]
    fn encodings() {
        for accept in ["gzip", "gzip, zstd", "deflate, gzip;q=1.0, *;q=0.5", "gzip;q=0.5, identity;q=0.2"] {
            assert!(wants_gzip(accept), "{accept}");
        }
        for accept in ["", "gzip, identity", "*", "GZIP", "x-gzip", "gzip;q=0", "identity", "zstd"] {
            assert!(!wants_gzip(accept), "{accept}");
        }
    }
}
