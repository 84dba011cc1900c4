//! The formats of pushed bodies. The details of each format are in its own folder.

use bumpalo::Bump;

use super::error::ParseError;
use super::media_type::MediaType;
use super::negotiation::Offers;
use super::reading::Reading;
use super::{openmetrics, protobuf, text};
use crate::model::body::Body;
use crate::model::limits::PushLimits;

/// The format of a pushed body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// The text format.
    Text,
    /// OpenMetrics text.
    OpenMetrics,
    /// Delimited protobuf.
    Protobuf,
}

impl BodyFormat {
    /// The format of a body with this `Content-Type`: any version of OpenMetrics, unless only the stock gateway's
    /// formats are offered; protobuf only with the parameters that clients send. Everything else is read as text,
    /// as in the stock gateway.
    pub fn of(content_type: &str, offers: Offers) -> BodyFormat {
        let media_type = MediaType::of(content_type);
        if offers == Offers::All && openmetrics::is_body(media_type) {
            BodyFormat::OpenMetrics
        } else if protobuf::is_body(media_type) {
            BodyFormat::Protobuf
        } else {
            BodyFormat::Text
        }
    }

    /// An upper estimate of the memory for parsing a body and giving each series `grouping` bytes of labels. A body
    /// that exceeds `limits` is not parsed to its end.
    pub fn cost(self, body: &[u8], grouping: usize, limits: PushLimits) -> u64 {
        let cost = match self {
            BodyFormat::Text => text::cost(body, limits),
            BodyFormat::OpenMetrics => openmetrics::cost(body, limits),
            BodyFormat::Protobuf => protobuf::cost(body, limits),
        };
        cost.with_grouping(grouping) as u64
    }

    /// Parses a body. Texts whose form in the body differs, such as a quoted name with escapes, are stored in
    /// `arena`.
    ///
    /// # Errors
    ///
    /// The first fault in the body. Nothing of a faulty body is returned.
    pub fn parse<'a>(
        self,
        body: &'a [u8],
        reading: &Reading,
        arena: &'a Bump,
    ) -> Result<Body<'a>, ParseError> {
        match self {
            BodyFormat::Text => text::read(body, reading, arena),
            BodyFormat::OpenMetrics => openmetrics::read(body, reading, arena),
            BodyFormat::Protobuf => protobuf::read(body, reading, arena),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::reading::Names;
    use crate::model::grouping::{Grouping, GroupingLabel};
    use crate::model::push::Push;

    /// A format, the beginning of a body, and a function for its lines.
    type Lines = (BodyFormat, &'static str, fn(usize) -> String);

    /// Bodies that consist of one kind of line.
    const LINES: [Lines; 15] = [
        (BodyFormat::Text, "", |n| format!("m{n} 1\n")),
        (BodyFormat::Text, "", |n| format!("# TYPE m{n} gauge\n")),
        (BodyFormat::Text, "", |n| format!("# HELP m{n} \\\\\n")),
        (BodyFormat::Text, "", |n| format!("{{\"m{n}\"}} 1\n")),
        (BodyFormat::Text, "", |n| format!("m{{l=\"{n}\"}} 1\n")),
        (BodyFormat::Text, "", |n| format!("m{{l=\"{n}{n:0200}\"}} 1\n")),
        (BodyFormat::Text, "", |n| format!("m{{l=\"{n}\",a=\"\",b=\"2\",c=\"\",d=\"3\"}} 1\n")),
        (BodyFormat::Text, "# TYPE h histogram\n", |n| format!("h_sum{{l=\"{n}\"}} 1\n")),
        (BodyFormat::Text, "# TYPE h histogram\n", |n| format!("h_bucket{{l=\"{n}\",le=\"+Inf\"}} 1\n")),
        (BodyFormat::Text, "# TYPE h histogram\nh_count 9999\n", |n| format!("h_bucket{{le=\"{n}\"}} {n}\n")),
        (BodyFormat::Text, "# TYPE s summary\n", |n| format!("s{{quantile=\"{n}\"}} 1\n")),
        (BodyFormat::Text, "", |n| format!("# TYPE h{n} summary\nh{n}_sum 1\n")),
        (BodyFormat::OpenMetrics, "", |n| format!("m{n} 1\n")),
        (BodyFormat::OpenMetrics, "# TYPE c counter\n", |n| {
            format!("c_total{{l=\"{n}\"}} 1 # {{t=\"{n}\"}} 1 1\n")
        }),
        (BodyFormat::OpenMetrics, "# TYPE s summary\n", |n| {
            format!("s_count{{l=\"{n}\"}} 1\ns_created{{l=\"{n}\"}} 1\n")
        }),
    ];

    #[test]
    fn no_body_takes_more_than_its_cost() {
        let label = |name: &'static str, value: &'static str| GroupingLabel {
            name: name.into(),
            value: value.into(),
        };
        let grouping = Grouping::new(vec![label("job", "a"), label("path", "/some/where")]);
        // Just before and after a growing vector doubles.
        for (count, (format, head, line)) in
            [2000, 2100].into_iter().flat_map(|n| LINES.map(|line| (n, line)))
        {
            let body = head.to_owned() + &(0..count).map(line).collect::<String>();
            let cost = format.cost(body.as_bytes(), grouping.key().len(), PushLimits::NONE);
            let arena = Bump::new();
            let parsed = format.parse(body.as_bytes(), &Reading::unlimited(Names::Legacy), &arena).unwrap();
            let push = Push::prepare(&parsed, &grouping, true).unwrap();
            let taken = (arena.allocated_bytes() + parsed.size() + push.size()) as u64;
            assert!(taken <= cost, "{taken} bytes and not {cost}: {body:.60}");
        }
    }

    #[test]
    fn content_types() {
        use BodyFormat::{OpenMetrics, Protobuf, Text};
        for (content_type, all, stock) in [
            ("", Text, Text),
            ("text/plain; version=0.0.4", Text, Text),
            ("application/json", Text, Text),
            ("application/openmetrics-text", OpenMetrics, Text),
            (" Application/OpenMetrics-Text ; version=2.0.0", OpenMetrics, Text),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
                Protobuf,
                Protobuf,
            ),
            (
                "Application/Vnd.Google.Protobuf;Encoding = \"delimited\" ;PROTO=io.prometheus.client.MetricFamily;x",
                Protobuf,
                Protobuf,
            ),
            // The first one of a name counts.
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text; encoding=delimited",
                Text,
                Text,
            ),
            ("application/vnd.google.protobuf; encoding=delimited", Text, Text),
            ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily", Text, Text),
            ("application/vnd.google.protobuf", Text, Text),
        ] {
            assert_eq!(BodyFormat::of(content_type, Offers::All), all, "{content_type}");
            assert_eq!(BodyFormat::of(content_type, Offers::Stock), stock, "{content_type}");
        }
    }
}
