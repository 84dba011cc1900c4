//! Pushes that all benchmarks share, similar to those of real batch jobs: a small one with five
//! counters and a histogram, and a large one of 10,000 series.

#![allow(dead_code, reason = "each benchmark uses its own part")]
#![allow(clippy::expect_used, reason = "a benchmark that can't run should stop")]

use tallygate::config::Config;
use tallygate::exposition::negotiation::{Format, Offers};
use tallygate::gateway::{BodyFormat, Gateway, Method, PushRequest};
use tallygate::model::grouping::{Grouping, GroupingLabel};

/// The upper bounds of the histogram of the small push.
pub(crate) const BOUNDS: [&str; 10] = ["0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// The `Accept` header of a scrape, by the name of the format.
pub(crate) const FORMATS: [(&str, &str); 3] = [
    ("text", "text/plain;version=0.0.4"),
    ("OpenMetrics", "application/openmetrics-text;version=1.0.0"),
    (
        "protobuf",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ),
];

/// Five counters and a histogram of ten buckets, each with HELP and TYPE.
pub(crate) fn small_body(openmetrics: bool) -> String {
    let mut body = String::new();
    for counter in 0..5 {
        let name = format!("batch_records_{counter}");
        let declared = if openmetrics { name.clone() } else { format!("{name}_total") };
        body.push_str(&format!(
            "# HELP {declared} Records handled by the batch job.\n\
             # TYPE {declared} counter\n{name}_total 1\n"
        ));
    }
    body.push_str(
        "# HELP batch_step_seconds Time that one step took.\n# TYPE batch_step_seconds histogram\n",
    );
    for (count, bound) in BOUNDS.iter().enumerate() {
        body.push_str(&format!("batch_step_seconds_bucket{{le=\"{bound}\"}} {}\n", count + 1));
    }
    body.push_str("batch_step_seconds_sum 12.5\nbatch_step_seconds_count 10\n");
    if openmetrics {
        body.push_str("# EOF\n");
    }
    body
}

/// Ten counters and ten gauges of 500 series each with three labels. With `exemplars`, some
/// counters have exemplars.
pub(crate) fn large_body(openmetrics: bool, exemplars: bool) -> String {
    let mut body = String::new();
    for family in 0..20 {
        let (kind, suffix) = if family % 2 == 0 { ("counter", "_total") } else { ("gauge", "") };
        let name = format!("app_metric_{family}");
        let declared = if openmetrics { name.clone() } else { format!("{name}{suffix}") };
        body.push_str(&format!(
            "# HELP {declared} A metric of the batch worker.\n# TYPE {declared} {kind}\n"
        ));
        for series in 0..500 {
            let value = f64::from(series * 31 + family * 997) / 8.0;
            body.push_str(&format!(
                "{name}{suffix}{{path=\"/api/v1/items/{series}\",method=\"GET\",code=\"20{}\"}} {value}",
                series % 5
            ));
            if exemplars && suffix == "_total" {
                body.push_str(&format!(" # {{trace_id=\"{:032x}\"}} 1.0 1520879607.789", series));
            }
            body.push('\n');
        }
    }
    if openmetrics {
        body.push_str("# EOF\n");
    }
    body
}

/// The grouping labels of one of many groups.
pub(crate) fn grouping(instance: usize) -> Grouping<'static> {
    let label = |name: &'static str, value: String| GroupingLabel { name: name.into(), value: value.into() };
    Grouping::new(vec![label("job", "batch".into()), label("instance", instance.to_string())])
}

/// A push in the text format that adds.
pub(crate) fn text_push<'a>(grouping: &'a Grouping<'a>, body: &'a str) -> PushRequest<'a> {
    PushRequest::new(Method::Post, grouping, BodyFormat::Text, body.as_bytes())
}

/// A gateway without a file and without groups.
pub(crate) fn empty_gateway() -> Gateway {
    Gateway::new(&Config::default()).expect("the metrics of the gateway are constants")
}

/// A gateway without a file that has this many groups of these series.
pub(crate) fn gateway(groups: usize, format: BodyFormat, body: &str) -> Gateway {
    let gateway = empty_gateway();
    for instance in 0..groups {
        let grouping = grouping(instance);
        let push = PushRequest::new(Method::Post, &grouping, format, body.as_bytes());
        gateway.push_blocking(&push).expect("a valid body");
    }
    gateway
}

/// The answer to a scrape with this `Accept` header.
pub(crate) fn scraped(gateway: &Gateway, accept: &str) -> Vec<u8> {
    let mut exposition = Vec::new();
    let written = gateway.scrape(Format::negotiate(accept, Offers::All), |chunk| {
        exposition.append(chunk);
        Ok(())
    });
    written.expect("the receiver stays");
    exposition
}
