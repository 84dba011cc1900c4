//! Random pushes that are as odd as a gateway accepts, made from a seed: names that are parts of others, numbers
//! that no type allows, different spellings of the same.

use std::fmt::Write;

use tallygate::gateway::BodyFormat;

use crate::support::protobuf;
use crate::support::random::Random;

/// Whether some labels have empty values.
pub(crate) const EMPTY_LABELS: bool = true;

/// Makes random pushes. The same seed gives the same pushes.
pub(crate) struct Odd {
    random: Random,
    /// Whether to use names that only newer parsers know.
    pub(crate) utf8_names: bool,
}

/// A push.
#[derive(Clone, Debug)]
pub(crate) struct OddPush {
    /// The number of the group.
    pub(crate) group: usize,
    pub(crate) is_put: bool,
    pub(crate) format: BodyFormat,
    pub(crate) body: Vec<u8>,
}

type Labels = Vec<(&'static str, &'static str)>;

const BASES: [&str; 3] = ["a", "b_seconds", "c"];
const SUFFIXES: [&str; 16] = [
    "",
    "",
    "",
    "",
    "_total",
    "_total",
    "_created",
    "_created",
    "_bucket",
    "_count",
    "_sum",
    "_info",
    "_gsum",
    "_gcount",
    "_total_total",
    "_x",
];
const MORE_SUFFIXES: [&str; 6] =
    ["_total", "_info", "_created", "_created_total", "_sum_total", "_bucket_info"];

/// Names that may clash with the gateway's own.
const BESIDE_OWN: [&str; 14] = [
    "process_open_fds",
    "process_cpu_seconds",
    "process_cpu_seconds_total",
    "process_cpu_seconds_created",
    "push_time_seconds_total",
    "push_time_seconds_info",
    "push_failure_time_seconds_created",
    "pushgateway_http_requests_created",
    "pushgateway_http_requests",
    "tallygate_commit_duration_seconds_created",
    "tallygate_pushes",
    "tallygate_pushes_info",
    "a",
    "a_created",
];

const UTF8_NAMES: [&str; 22] = [
    "a.total",
    "a.b",
    "a_b",
    "a b",
    "a.b_total",
    "a_b_created",
    "a.b_created",
    "a_dot_b",
    "U__a_2e_b",
    "é",
    "a\"b",
    "a\\b",
    "a\nb",
    "a b_total",
    "push.time.seconds",
    "push_failure.time.seconds",
    "push time seconds_total",
    "process.open.fds",
    "process.cpu.seconds.total",
    "pushgateway.build.info",
    "tallygate.pushes_total",
    "tallygate.commit_duration_seconds_created",
];

const LABELS: [(&str, &str); 12] = [
    ("k", "v"),
    ("k", "w"),
    ("instance", "i"),
    ("l", "q\"uote"),
    ("l", "\\"),
    ("l", "li\nne"),
    ("l", " # {x=\"y\"} 1"),
    ("l", "}"),
    ("l", "{"),
    ("l", "ü 😊"),
    ("a", "1"),
    ("a_info", "on"),
];

const UTF8_LABELS: [(&str, &str); 6] =
    [("a.b", "1"), ("a_b", "1"), ("a b", "1"), ("a_dot_b", "1"), ("é\"\\", "1"), ("k", "v")];

const HELPS: [&str; 8] =
    ["", "plain", "back\\slash", "li\nne", "\"quoted\"", "odd \" quote", " blanks  ", "# EOF"];
const UNITS: [&str; 4] = ["seconds", "sum", "a", "nonsense"];
const NUMBERS: [f64; 14] = [
    0.0,
    1.0,
    1.0,
    2.0,
    3.5,
    -0.0,
    -1.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e300,
    9007199254740993.0,
    36893488147419103232.0,
    1795887984.5,
];
const BOUNDS: [&str; 12] = ["0.5", "1", "1.0", "1e0", "-1", "-0", "0", "+Inf", "inf", "NaN", "1e6", "5"];
const QUANTILES: [&str; 10] = ["0.5", "0.50", "0.99", "0", "-0", "1", "1.5", "-1", "NaN", "5e-1"];
const EXEMPLARS: [&[(&str, &str)]; 6] = [
    &[],
    &[("id", "1")],
    &[("__id", "1")],
    &[("id", "a\"b")],
    &[("id", "}"), ("x", " # {")],
    &[("id", "\\"), ("x", "\n")],
];

impl Odd {
    pub(crate) fn new(seed: u64, utf8_names: bool) -> Odd {
        Odd { random: Random::new(seed), utf8_names }
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// True once in `of` calls on average.
    fn rarely(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn push(&mut self) -> OddPush {
        let format =
            self.one(&[BodyFormat::Text, BodyFormat::Text, BodyFormat::OpenMetrics, BodyFormat::Protobuf]);
        let mut body = Vec::new();
        for _ in 0..1 + self.below(2) {
            match format {
                BodyFormat::Text => body.extend(self.text_family().into_bytes()),
                BodyFormat::OpenMetrics => body.extend(self.openmetrics_family().into_bytes()),
                BodyFormat::Protobuf => body.extend(self.protobuf_family()),
            }
        }
        if format == BodyFormat::OpenMetrics {
            body.extend(b"# EOF\n");
        }
        OddPush { group: self.below(4), is_put: self.rarely(6), format, body }
    }

    fn name(&mut self) -> String {
        if self.utf8_names && self.rarely(2) {
            return self.one(&UTF8_NAMES).to_owned();
        }
        if self.rarely(6) {
            return self.one(&BESIDE_OWN).to_owned();
        }
        let mut name = self.one(&BASES).to_owned() + self.one(&SUFFIXES);
        if self.rarely(10) {
            name += self.one(&MORE_SUFFIXES);
        }
        name
    }

    fn labels(&mut self) -> Labels {
        let mut labels: Labels = Vec::new();
        for _ in 0..self.below(3) {
            let pool: &[_] = if self.utf8_names && self.rarely(2) { &UTF8_LABELS } else { &LABELS };
            let label = if EMPTY_LABELS && self.rarely(6) { ("k", "") } else { self.one(pool) };
            if !labels.iter().any(|(name, _)| *name == label.0) {
                labels.push(label);
            }
        }
        labels
    }

    /// A number that its type usually allows.
    fn number(&mut self) -> f64 {
        if self.rarely(4) { self.one(&NUMBERS) } else { self.below(9) as f64 }
    }

    /// Bounds and counts that usually do not fall.
    fn buckets(&mut self) -> (Vec<(String, f64)>, f64) {
        let mut buckets: Vec<(String, f64)> = Vec::new();
        let mut count = 0.0;
        if self.rarely(2) {
            for bound in [["0.5", "1", "5"], ["-1", "0", "1"], ["1", "2", "+Inf"]][self.below(3)] {
                count += self.below(3) as f64;
                buckets.push((bound.to_owned(), count));
            }
            count += if buckets[2].0 == "+Inf" { 0.0 } else { self.below(3) as f64 };
        } else {
            for _ in 0..self.below(4) {
                count = if self.rarely(5) { self.number() } else { count + self.below(3) as f64 };
                buckets.push((self.one(&BOUNDS).to_owned(), count));
            }
            count = if self.rarely(4) { self.number() } else { count };
        }
        if self.rarely(5) {
            buckets.iter_mut().for_each(|(_, count)| *count += 0.5);
            count += 0.5;
        }
        (buckets, count)
    }

    fn quantiles(&mut self) -> Vec<(String, f64)> {
        let ordinary = self.rarely(2);
        let mut quantiles = Vec::new();
        for at in 0..self.below(4) {
            let quantile = if ordinary { ["0.5", "0.9", "1"][at] } else { self.one(&QUANTILES) };
            quantiles.push((quantile.to_owned(), self.number()));
        }
        quantiles
    }

    fn text_family(&mut self) -> String {
        let name = self.name();
        let kinds = ["counter", "gauge", "untyped", "histogram", "summary"];
        let kind = match self.below(8) {
            at if at < kinds.len() => kinds[at],
            _ if name.ends_with("_total") => "counter",
            _ if name.ends_with("_created") => "gauge",
            _ => self.one(&kinds),
        };
        let mut out = String::new();
        if self.rarely(2) {
            let help = self.one(&HELPS).replace('\\', "\\\\").replace('\n', "\\n");
            writeln!(out, "# HELP {} {help}", in_text(&name)).unwrap();
        }
        writeln!(out, "# TYPE {} {kind}", in_text(&name)).unwrap();
        for _ in 0..1 + self.below(2) {
            let labels = self.labels();
            match kind {
                "histogram" => {
                    let (buckets, count) = self.buckets();
                    for (bound, count) in buckets {
                        line(&mut out, &name, "_bucket", &labels, Some(("le", &bound)), count);
                    }
                    line(&mut out, &name, "_sum", &labels, None, self.number());
                    line(&mut out, &name, "_count", &labels, None, count);
                }
                "summary" => {
                    for (quantile, value) in self.quantiles() {
                        line(&mut out, &name, "", &labels, Some(("quantile", &quantile)), value);
                    }
                    line(&mut out, &name, "_sum", &labels, None, self.number());
                    line(&mut out, &name, "_count", &labels, None, self.below(9) as f64);
                }
                _ => line(&mut out, &name, "", &labels, None, self.number()),
            }
        }
        out
    }

    fn openmetrics_family(&mut self) -> String {
        let name = self.name();
        let kinds =
            ["counter", "gauge", "unknown", "histogram", "summary", "gaugehistogram", "info", "stateset"];
        let kind = self.one(&kinds);
        let mut out = String::new();
        if self.rarely(2) {
            let help = self.one(&HELPS).replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            writeln!(out, "# HELP {} {help}", in_text(&name)).unwrap();
        }
        writeln!(out, "# TYPE {} {kind}", in_text(&name)).unwrap();
        let unit = self.one(&UNITS);
        if name.ends_with(&format!("_{unit}")) && kind != "info" && kind != "stateset" {
            writeln!(out, "# UNIT {} {unit}", in_text(&name)).unwrap();
        }
        for _ in 0..1 + self.below(2) {
            let mut labels = self.labels();
            match kind {
                "counter" => {
                    line(&mut out, &name, "_total", &labels, None, self.number());
                    self.exemplar(&mut out);
                    if self.rarely(2) {
                        line(&mut out, &name, "_created", &labels, None, 1795887984.5);
                    }
                }
                "info" => {
                    labels.retain(|(label, _)| *label != name);
                    line(&mut out, &name, "_info", &labels, None, 1.0);
                }
                "stateset" => {
                    labels.retain(|(label, _)| *label != name);
                    for (state, value) in [("on", 1.0), ("off", 0.0)] {
                        line(&mut out, &name, "", &labels, Some((&name, state)), value);
                    }
                }
                "histogram" | "gaugehistogram" => {
                    let (buckets, count) = self.buckets();
                    for (bound, count) in buckets {
                        line(&mut out, &name, "_bucket", &labels, Some(("le", &bound)), count);
                        self.exemplar(&mut out);
                    }
                    let [sum, all] =
                        if kind == "histogram" { ["_sum", "_count"] } else { ["_gsum", "_gcount"] };
                    line(&mut out, &name, sum, &labels, None, self.number());
                    line(&mut out, &name, all, &labels, None, count);
                }
                "summary" => {
                    for (quantile, value) in self.quantiles() {
                        line(&mut out, &name, "", &labels, Some(("quantile", &quantile)), value);
                    }
                    line(&mut out, &name, "_sum", &labels, None, self.number());
                    line(&mut out, &name, "_count", &labels, None, self.below(9) as f64);
                    if self.rarely(2) {
                        line(&mut out, &name, "_created", &labels, None, 1795887984.5);
                    }
                }
                _ => line(&mut out, &name, "", &labels, None, self.number()),
            }
        }
        out
    }

    /// Sometimes appends an exemplar to the last line.
    fn exemplar(&mut self, out: &mut String) {
        if self.rarely(2) {
            return;
        }
        let labels: Vec<String> = self
            .one(&EXEMPLARS)
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let value = self.number();
        let time = if self.rarely(2) { " 1795887984.25" } else { "" };
        out.truncate(out.len() - 1);
        writeln!(out, " # {{{}}} {value}{time}", labels.join(",")).unwrap();
    }

    fn protobuf_family(&mut self) -> Vec<u8> {
        let name = self.name();
        let kind = self.below(6);
        let mut fields = Vec::new();
        if self.rarely(3) {
            fields.push(protobuf::unit(self.one(&UNITS)));
        }
        for _ in 0..1 + self.below(2) {
            let labels = self.labels();
            let (member, content) = match kind {
                0 => {
                    let mut content = vec![protobuf::number(1, self.number())];
                    if self.rarely(2) {
                        let at = self.rarely(2).then_some((1_795_887_984, 5));
                        content.push(protobuf::exemplar(2, self.one(&EXEMPLARS), self.number(), at));
                    }
                    (3, content)
                }
                1 => (2, vec![protobuf::number(1, self.number())]),
                2 => {
                    let mut content =
                        vec![protobuf::integer(1, self.below(9) as u64), protobuf::number(2, self.number())];
                    for (quantile, value) in self.quantiles() {
                        let quantile = protobuf::number(1, quantile.parse().unwrap());
                        content.push(protobuf::message(3, &[quantile, protobuf::number(2, value)]));
                    }
                    (4, content)
                }
                3 => (5, vec![protobuf::number(1, self.number())]),
                _ => (7, self.protobuf_histogram()),
            };
            fields.push(protobuf::metric(&labels, member, &content));
        }
        protobuf::family(&name, kind as u64, &fields)
    }

    fn protobuf_histogram(&mut self) -> Vec<Vec<u8>> {
        if self.rarely(2) {
            let (buckets, count) = self.buckets();
            let is_float = self.rarely(3);
            let counted = |integer, float, count: f64| {
                if is_float {
                    protobuf::number(float, count)
                } else {
                    protobuf::integer(integer, count as u64)
                }
            };
            let mut content = vec![counted(1, 4, count), protobuf::number(2, self.number())];
            for (bound, count) in buckets {
                let bound = protobuf::number(2, bound.parse().unwrap());
                let mut bucket = vec![counted(1, 4, count), bound];
                if self.rarely(3) {
                    bucket.push(protobuf::exemplar(3, self.one(&EXEMPLARS), self.number(), None));
                }
                content.push(protobuf::message(3, &bucket));
            }
            return content;
        }
        // Native: one observation of zero, and some in one bucket.
        let count = self.below(4) as u64;
        let mut content = vec![
            protobuf::integer(1, count + 1),
            protobuf::number(2, self.number()),
            protobuf::signed(5, self.one(&[0, 3])),
            protobuf::number(6, 0.001),
            protobuf::integer(7, 1),
            protobuf::message(12, &[protobuf::signed(1, 0), protobuf::integer(2, 1)]),
            protobuf::signed(13, count as i64),
        ];
        if self.rarely(2) {
            let bucket =
                [protobuf::integer(1, count + 1), protobuf::number(2, self.one(&[-1.0, 1.0, f64::INFINITY]))];
            content.push(protobuf::message(3, &bucket));
        }
        content
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn is_legacy(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn in_text(name: &str) -> String {
    if is_legacy(name) { name.to_owned() } else { format!("\"{}\"", escaped(name)) }
}

/// Appends a sample line.
fn line(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &[(&str, &str)],
    extra: Option<(&str, &str)>,
    value: f64,
) {
    let name = format!("{name}{suffix}");
    let label = |(name, value): &(&str, &str)| format!("{}=\"{}\"", in_text(name), escaped(value));
    let mut inner: Vec<String> = labels.iter().chain(&extra).map(label).collect();
    let number = match value {
        value if value == f64::INFINITY => "+Inf".to_owned(),
        value if value == f64::NEG_INFINITY => "-Inf".to_owned(),
        value => format!("{value:?}"),
    };
    if is_legacy(&name) {
        writeln!(out, "{name}{{{}}} {number}", inner.join(",")).unwrap();
    } else {
        inner.insert(0, in_text(&name));
        writeln!(out, "{{{}}} {number}", inner.join(",")).unwrap();
    }
}
