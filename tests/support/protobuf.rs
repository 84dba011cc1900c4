//! Delimited protobuf, written and read field by field. It is a separate implementation, so that the gateway's is
//! not tested against itself.

pub(crate) const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

pub(crate) const HISTOGRAM: u64 = 4;
pub(crate) const GAUGE_HISTOGRAM: u64 = 5;

/// A histogram as pushed and shown. A zero bucket without width and population is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    /// Cumulative counts by upper bound.
    pub(crate) classic: Vec<(f64, f64)>,
    pub(crate) native: Option<Native>,
    /// Whether counts are floats.
    pub(crate) is_float: bool,
}

/// The native part: populations by index.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Native {
    pub(crate) schema: i64,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: f64,
    pub(crate) negative: Vec<(i64, f64)>,
    pub(crate) positive: Vec<(i64, f64)>,
}

impl Histogram {
    /// A native histogram whose count follows from its buckets.
    pub(crate) fn native(sum: f64, native: Native) -> Histogram {
        let buckets = native.negative.iter().chain(&native.positive).map(|(_, count)| count);
        let count = native.zero_count + buckets.sum::<f64>();
        Histogram { count, sum, native: Some(native), ..Histogram::default() }
    }

    /// The body of a push with only this histogram, named `h`.
    pub(crate) fn body(&self, kind: u64) -> Vec<u8> {
        let count = |integer: u64, float: u64, count: f64| {
            if self.is_float { double(float, count) } else { varint_field(integer, count as u64) }
        };
        let mut message = [count(1, 4, self.count), double(2, self.sum)].concat();
        for &(bound, cumulative) in &self.classic {
            message.extend(bytes(3, &[count(1, 4, cumulative), double(2, bound)].concat()));
        }
        if let Some(native) = &self.native {
            message.extend(varint_field(5, zigzag(native.schema)));
            message.extend(double(6, native.zero_threshold));
            message.extend(count(7, 8, native.zero_count));
            for (buckets, field) in [(&native.negative, 9), (&native.positive, 12)] {
                let mut next = 0;
                let mut last = 0;
                for &(index, population) in buckets {
                    let offset = varint_field(1, zigzag(index - next));
                    message.extend(bytes(field, &[offset, varint_field(2, 1)].concat()));
                    next = index + 1;
                    let delta = varint_field(field + 1, zigzag(population as i64 - last));
                    last = population as i64;
                    message.extend(if self.is_float { double(field + 2, population) } else { delta });
                }
            }
            if native.negative.is_empty() && native.positive.is_empty() {
                message.extend(bytes(12, &[varint_field(1, 0), varint_field(2, 0)].concat()));
            }
        }
        let metric = bytes(4, &bytes(7, &message));
        let family = [bytes(1, b"h"), varint_field(3, kind), metric].concat();
        [varint(family.len() as u64), family].concat()
    }

    /// The histogram `h` of a scrape, its only series.
    pub(crate) fn of_scrape(body: &[u8]) -> Option<Histogram> {
        let mut rest = body;
        while !rest.is_empty() {
            let length = take_varint(&mut rest) as usize;
            let (family, after) = rest.split_at(length);
            rest = after;
            let family = fields(family);
            if family.iter().any(|(number, field)| *number == 1 && field.bytes() == b"h") {
                let metric = family.iter().find(|(number, _)| *number == 4).unwrap().1.bytes();
                let metric = fields(metric);
                return Some(Histogram::of(
                    metric.iter().find(|(number, _)| *number == 7).unwrap().1.bytes(),
                ));
            }
        }
        None
    }

    fn of(message: &[u8]) -> Histogram {
        let mut histogram = Histogram::default();
        let mut native = Native::default();
        let mut sides = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
        let mut is_native = false;
        for (number, field) in fields(message) {
            match number {
                1 => histogram.count = field.integer() as f64,
                2 => histogram.sum = field.double(),
                3 => {
                    let (mut bound, mut count) = (0.0, 0.0);
                    for (number, field) in fields(field.bytes()) {
                        match number {
                            1 => count = field.integer() as f64,
                            2 => bound = field.double(),
                            _ => count = field.double(),
                        }
                    }
                    histogram.classic.push((bound, count));
                }
                4 => (histogram.count, histogram.is_float) = (field.double(), true),
                5 => native.schema = unzigzag(field.integer()),
                6 => native.zero_threshold = field.double(),
                7 => native.zero_count = field.integer() as f64,
                8 => native.zero_count = field.double(),
                9 | 12 => {
                    is_native = true;
                    let (mut offset, mut length) = (0, 0);
                    for (number, field) in fields(field.bytes()) {
                        match number {
                            1 => offset = unzigzag(field.integer()),
                            _ => length = field.integer(),
                        }
                    }
                    sides[usize::from(number == 12)].0.push((offset, length));
                }
                10 | 13 => {
                    let counts = &mut sides[usize::from(number == 13)].1;
                    let last = counts.last().copied().unwrap_or(0.0);
                    counts.push(last + unzigzag(field.integer()) as f64);
                }
                11 | 14 => sides[usize::from(number == 14)].1.push(field.double()),
                15 => {}
                _ => panic!("field {number} in a histogram"),
            }
        }
        let [negative, positive] = sides.map(|(spans, counts)| {
            let mut index = 0;
            let mut counts = counts.into_iter();
            let mut buckets = Vec::new();
            for (offset, length) in spans {
                index += offset;
                for _ in 0..length {
                    buckets.push((index, counts.next().expect("a count for every bucket")));
                    index += 1;
                }
            }
            assert_eq!(counts.next(), None, "a bucket for every count");
            buckets.retain(|(_, count)| *count != 0.0);
            buckets
        });
        histogram.native = is_native.then_some(Native { negative, positive, ..native });
        histogram
    }
}

enum Field<'a> {
    Integer(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> &'a [u8] {
        if let Field::Bytes(bytes) = self { bytes } else { panic!("no bytes") }
    }

    fn integer(&self) -> u64 {
        if let Field::Integer(integer) = self { *integer } else { panic!("no integer") }
    }

    fn double(&self) -> f64 {
        if let Field::Double(double) = self { *double } else { panic!("no double") }
    }
}

fn fields(message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut rest = message;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = take_varint(&mut rest);
        let field = match tag & 7 {
            0 => Field::Integer(take_varint(&mut rest)),
            1 => {
                let (double, after) = rest.split_at(8);
                rest = after;
                Field::Double(f64::from_le_bytes(double.try_into().unwrap()))
            }
            2 => {
                let length = take_varint(&mut rest) as usize;
                let (bytes, after) = rest.split_at(length);
                rest = after;
                Field::Bytes(bytes)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn take_varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, after) = rest.split_first().expect("a whole varint");
        *rest = after;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            break;
        }
    }
    value
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn varint_field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn double(number: u64, value: f64) -> Vec<u8> {
    [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn bytes(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

// Bodies of any kind, and the content of a scrape.

/// A `MetricFamily` with its length prefix.
pub(crate) fn family(name: &str, kind: u64, fields: &[Vec<u8>]) -> Vec<u8> {
    let family = [bytes(1, name.as_bytes()), varint_field(3, kind), fields.concat()].concat();
    [varint(family.len() as u64), family].concat()
}

/// A `Metric` of a family, with a member of this number.
pub(crate) fn metric(labels: &[(&str, &str)], member: u64, content: &[Vec<u8>]) -> Vec<u8> {
    bytes(4, &[label_fields(labels), bytes(member, &content.concat())].concat())
}

fn label_fields(labels: &[(&str, &str)]) -> Vec<u8> {
    let label = |(name, value): &(&str, &str)| {
        bytes(1, &[bytes(1, name.as_bytes()), bytes(2, value.as_bytes())].concat())
    };
    labels.iter().flat_map(label).collect()
}

/// An `Exemplar` field.
pub(crate) fn exemplar(field: u64, labels: &[(&str, &str)], value: f64, at: Option<(u64, u64)>) -> Vec<u8> {
    let at = at.map_or(Vec::new(), |at| timestamp(3, at));
    bytes(field, &[label_fields(labels), double(2, value), at].concat())
}

/// A `Timestamp` field.
pub(crate) fn timestamp(field: u64, (seconds, nanos): (u64, u64)) -> Vec<u8> {
    bytes(field, &[varint_field(1, seconds), varint_field(2, nanos)].concat())
}

pub(crate) fn unit(text: &str) -> Vec<u8> {
    bytes(5, text.as_bytes())
}

pub(crate) fn number(field: u64, value: f64) -> Vec<u8> {
    double(field, value)
}

pub(crate) fn integer(field: u64, value: u64) -> Vec<u8> {
    varint_field(field, value)
}

pub(crate) fn signed(field: u64, value: i64) -> Vec<u8> {
    varint_field(field, zigzag(value))
}

pub(crate) fn message(field: u64, content: &[Vec<u8>]) -> Vec<u8> {
    bytes(field, &content.concat())
}

/// The families of a scrape as readable text: a line for each family and each series, with all fields in the order
/// of their numbers.
pub(crate) fn in_words(mut stream: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while !stream.is_empty() {
        let length = take_varint(&mut stream) as usize;
        let (family, rest) = stream.split_at(length);
        stream = rest;
        let mut line = String::new();
        let mut series = Vec::new();
        for (number, field) in fields(family) {
            match number {
                1 => line.push_str(&text(&field)),
                2 => line.push_str(&format!(" help={:?}", text(&field))),
                3 => line.push_str(
                    [" COUNTER", " GAUGE", " SUMMARY", " UNTYPED", " HISTOGRAM", " GAUGE_HISTOGRAM"]
                        [field.integer() as usize],
                ),
                4 => series.push(metric_in_words(field.bytes())),
                5 => line.push_str(&format!(" unit={:?}", text(&field))),
                _ => panic!("field {number} in a family"),
            }
        }
        lines.push(line);
        lines.extend(series);
    }
    lines
}

fn text(field: &Field<'_>) -> String {
    String::from_utf8(field.bytes().to_vec()).unwrap()
}

fn metric_in_words(metric: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut value = String::new();
    for (number, field) in fields(metric) {
        match number {
            1 => labels.push(label_in_words(field.bytes())),
            2..=5 => {
                let word = ["gauge", "counter", "summary", "untyped"][number as usize - 2];
                value = format!("{word}{}", member_in_words(number, field.bytes()));
            }
            7 => value = format!("histogram{}", histogram_in_words(field.bytes())),
            _ => panic!("field {number} in a metric"),
        }
    }
    format!("  {{{}}} {value}", labels.join(","))
}

fn label_in_words(label: &[u8]) -> String {
    let fields = fields(label);
    format!("{}={:?}", text(&fields[0].1), text(&fields[1].1))
}

fn member_in_words(member: u64, content: &[u8]) -> String {
    let mut words = String::new();
    for (number, field) in fields(content) {
        words.push_str(&match (member, number) {
            (4, 1) => format!(" count={}", field.integer()),
            (4, 2) => format!(" sum={}", field.double()),
            (4, 3) => {
                let quantile = fields(field.bytes());
                format!(" q{}={}", quantile[0].1.double(), quantile[1].1.double())
            }
            (3, 3) | (4, 4) => format!(" start={}", time_in_words(field.bytes())),
            (3, 2) => exemplar_in_words(field.bytes()),
            (_, 1) => format!(" {}", field.double()),
            _ => panic!("field {number} in member {member}"),
        });
    }
    words
}

fn histogram_in_words(content: &[u8]) -> String {
    let mut words = String::new();
    for (number, field) in fields(content) {
        words.push_str(&match number {
            1 => format!(" count={}", field.integer()),
            2 => format!(" sum={}", field.double()),
            3 => {
                let (mut count, mut bound, mut exemplar) = (String::new(), 0.0, String::new());
                for (number, field) in fields(field.bytes()) {
                    match number {
                        1 => count = field.integer().to_string(),
                        2 => bound = field.double(),
                        3 => exemplar = exemplar_in_words(field.bytes()),
                        4 => count = format!("{:?}", field.double()),
                        _ => panic!("field {number} in a bucket"),
                    }
                }
                format!(" le{bound}={count}{exemplar}")
            }
            4 => format!(" count={:?}", field.double()),
            5 => format!(" schema={}", unzigzag(field.integer())),
            6 => format!(" threshold={}", field.double()),
            7 => format!(" zero={}", field.integer()),
            8 => format!(" zero={:?}", field.double()),
            9 | 12 => {
                let span = fields(field.bytes());
                let sign = if number == 9 { "-" } else { "+" };
                format!(" {sign}span({},{})", unzigzag(span[0].1.integer()), span[1].1.integer())
            }
            10 | 13 => format!(" delta={}", unzigzag(field.integer())),
            11 | 14 => format!(" population={:?}", field.double()),
            15 => format!(" start={}", time_in_words(field.bytes())),
            16 => exemplar_in_words(field.bytes()),
            _ => panic!("field {number} in a histogram"),
        });
    }
    words
}

fn exemplar_in_words(content: &[u8]) -> String {
    let (mut labels, mut value, mut at) = (Vec::new(), 0.0, String::new());
    for (number, field) in fields(content) {
        match number {
            1 => labels.push(label_in_words(field.bytes())),
            2 => value = field.double(),
            3 => at = format!("@{}", time_in_words(field.bytes())),
            _ => panic!("field {number} in an exemplar"),
        }
    }
    format!(" #{{{}}}{value}{at}", labels.join(","))
}

fn time_in_words(content: &[u8]) -> String {
    let (mut seconds, mut nanos) = (0, 0);
    for (number, field) in fields(content) {
        match number {
            1 => seconds = field.integer(),
            2 => nanos = field.integer(),
            _ => panic!("field {number} in a timestamp"),
        }
    }
    format!("{seconds}.{nanos:09}")
}
