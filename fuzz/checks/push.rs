//! Bodies of pushes: they cause no panic, and no accepted push makes a scrape invalid.

use bumpalo::Bump;
use tallygate::config::{Config, PutMode, Sync};
use tallygate::exposition::text::Names;
use tallygate::exposition::{
    ending, openmetrics as openmetrics_format, protobuf as protobuf_format, text as text_format,
};
use tallygate::gateway::{BodyFormat, Gateway, Method, PushError, PushRequest};
use tallygate::model::grouping::{Grouping, GroupingLabel};

use super::exposition::{FORMATS, check_escaped, pushed, scraped, shown};
use super::memory::Memory;

/// Separates the bodies of an input; the last byte of the input is [`Options`].
const SEPARATOR: &[u8] = b"\n---\n";

/// What the check does with an input.
#[derive(Clone, Copy, Debug)]
struct Options(u8);

impl Options {
    fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }

    fn utf8_names(self) -> bool {
        self.has(0)
    }

    fn aggregate(self) -> bool {
        self.has(1)
    }

    fn two_groups(self) -> bool {
        self.has(2)
    }

    fn put(self) -> bool {
        self.has(3)
    }

    fn repeated(self) -> bool {
        self.has(4)
    }

    /// Whether the gateway is restarted. One input in eight, because it takes long.
    fn restarted(self) -> bool {
        self.0 >> 5 == 2
    }

    /// Whether the bodies are only parsed, which is a thousand times as fast.
    fn parsed_only(self) -> bool {
        self.has(7)
    }

    fn config(self) -> Config {
        let mut config = Config::default();
        config.push.enable_utf8_names = self.utf8_names();
        config.push.put = PutMode::Aggregate;
        config.aggregation.enabled = self.aggregate();
        config.exposition.created_series = true;
        config.exposition.stock_formats = Some(false);
        config
    }
}

/// Bodies in the text format.
pub fn text(input: &[u8]) {
    check(input, BodyFormat::Text);
}

/// Bodies in OpenMetrics.
pub fn openmetrics(input: &[u8]) {
    check(input, BodyFormat::OpenMetrics);
}

/// Bodies in protobuf.
pub fn protobuf(input: &[u8]) {
    check(input, BodyFormat::Protobuf);
}

fn check(input: &[u8], format: BodyFormat) {
    let Some((&options, input)) = input.split_last() else { return };
    let options = Options(options);
    let bodies = split(input, format);
    let parsed = bodies.iter().filter(|body| parses(body, format, options)).count();
    if parsed == 0 || options.parsed_only() {
        return;
    }
    let disk = Memory::default();
    let start = || {
        let mut config = options.config();
        if options.restarted() {
            config.persistence.file = "memory".to_owned();
            config.persistence.sync = Sync::Interval;
        }
        Gateway::with_disk(&config, Box::new(disk.clone())).unwrap()
    };
    let gateway = start();
    for (number, body) in bodies.iter().enumerate() {
        let grouping = grouping(if options.two_groups() { number % 2 } else { 0 });
        push(&gateway, &grouping, format, body, options);
        if options.repeated() {
            push(&gateway, &grouping, format, body, options);
        }
    }
    let before = shown(&gateway);
    let some_format = input.len() % FORMATS.len();
    check_escaped(&gateway, FORMATS[some_format], ["values", "underscores", "dots"][bodies.len() % 3]);
    if !options.two_groups() {
        check_round_trip(&before[some_format], FORMATS[some_format], options);
    }
    if options.restarted() {
        assert!(gateway.close());
        drop(gateway);
        let restarted = start();
        for (format, (before, after)) in FORMATS.into_iter().zip(before.iter().zip(&shown(&restarted))) {
            assert_same(before, after, "after a restart", format);
        }
        restarted.close();
    }
}

fn split(mut input: &[u8], format: BodyFormat) -> Vec<&[u8]> {
    // In text formats the line feed before the separator belongs to the body.
    let last = usize::from(format != BodyFormat::Protobuf);
    let mut bodies = Vec::new();
    while let Some(at) = input.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        bodies.push(&input[..at + last]);
        input = &input[at + SEPARATOR.len()..];
    }
    bodies.push(input);
    bodies
}

/// Whether the parser accepts a body. Checks that an error is one line, and that a comment without
/// a line feed is an error.
fn parses(body: &[u8], format: BodyFormat, options: Options) -> bool {
    let names = if options.utf8_names() { Names::Utf8 } else { Names::Legacy };
    let arena = Bump::new();
    let message = match format {
        BodyFormat::Text => text_format::parse(body, names, &arena).err().map(|error| error.to_string()),
        BodyFormat::OpenMetrics => {
            openmetrics_format::parse(body, names, &arena).err().map(|error| error.to_string())
        }
        BodyFormat::Protobuf => protobuf_format::parse(body, &arena).err().map(|error| error.to_string()),
    };
    match &message {
        Some(message) => assert!(!message.is_empty() && !message.contains('\n'), "{message}"),
        None if format == BodyFormat::Protobuf => {}
        None => assert!(!ending::ends_in_comment(body), "an unfinished comment is accepted"),
    }
    let _ = protobuf_format::shape(body);
    message.is_none()
}

fn grouping(number: usize) -> Grouping<'static> {
    let label =
        |name: &'static str, value: &'static str| GroupingLabel { name: name.into(), value: value.into() };
    Grouping::new(vec![label("job", ["one", "two"][number])])
}

/// Pushes a body, and checks that a refused push changes nothing.
fn push(gateway: &Gateway, grouping: &Grouping<'_>, format: BodyFormat, body: &[u8], options: Options) {
    let method = if options.put() { Method::Put } else { Method::Post };
    let shown = || pushed(&scraped(gateway, BodyFormat::OpenMetrics, "allow-utf-8"), BodyFormat::OpenMetrics);
    let before = if gateway.group_labels().is_empty() { b"# EOF\n".to_vec() } else { shown() };
    let result = gateway.push_blocking(&PushRequest::new(method, grouping, format, body));
    if let Err(error) = result {
        assert!(!matches!(error, PushError::Failed(_)), "{error}");
        assert_same(&before, &shown(), "after a refused push", BodyFormat::OpenMetrics);
    }
}

/// Pushes what a gateway shows to another gateway that replaces, and checks that it shows the same.
fn check_round_trip(shown: &[u8], format: BodyFormat, options: Options) {
    let mut config = options.config();
    config.aggregation.enabled = false;
    config.push.enable_utf8_names = true;
    let other = Gateway::new(&config).unwrap();
    let grouping = grouping(0);
    if let Err(error) = other.push_blocking(&PushRequest::new(Method::Put, &grouping, format, shown)) {
        panic!("{format:?} is shown, but refused: {error}\n{}", String::from_utf8_lossy(shown));
    }
    let again = pushed(&scraped(&other, format, "allow-utf-8"), format);
    assert_same(&plain(shown, format), &plain(&again, format), "after a round trip", format);
}

/// Removes differences that are only in the notation: whole-number counts and times in OpenMetrics,
/// and a carriage return before a line feed, which a parser takes as a part of the line end.
fn plain(shown: &[u8], format: BodyFormat) -> Vec<u8> {
    if format == BodyFormat::Protobuf {
        return shown.to_vec();
    }
    let text = String::from_utf8_lossy(shown).replace("\r\n", "\n");
    if format == BodyFormat::Text {
        return text.into_bytes();
    }
    let plain = |line: &str| {
        let (sample, exemplar) = line.split_at(line.find(" # {").unwrap_or(line.len()));
        match sample.rsplit_once(' ') {
            Some((rest, number)) if !line.starts_with('#') => match number.parse::<f64>() {
                Ok(number) => format!("{rest} {number:?}{exemplar}\n"),
                Err(_) => format!("{line}\n"),
            },
            _ => format!("{line}\n"),
        }
    };
    let mut lines: Vec<String> = text.lines().map(plain).collect();
    // Only an invalid histogram is shown as a family of buckets without a type. Pushed again, that is a family like any
    // other, sorted by its labels as texts.
    if lines.iter().any(|line| line.ends_with("_bucket unknown\n") || line.ends_with("_bucket\" unknown\n")) {
        lines.sort_unstable();
    }
    lines.concat().into_bytes()
}

fn assert_same(before: &[u8], after: &[u8], when: &str, format: BodyFormat) {
    assert!(
        before == after,
        "{format:?} {when}:\n{}\n--- was\n{}",
        String::from_utf8_lossy(after),
        String::from_utf8_lossy(before)
    );
}
