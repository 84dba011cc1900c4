//! The log on stderr: lines in the stock gateway's form, as logfmt or JSON.
//!
//! Owns the form and length of a line, and decides which lines are written. The callers decide what to log.

mod pairs;
mod repeats;

use std::fmt::{self, Debug, Display, Write as _};
use std::time::Instant;

pub use repeats::{Repeats, SECOND};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use self::pairs::Pairs;
use crate::config::{Log, LogFormat, LogLevel};
use crate::message::{Bounded, Excerpt, MESSAGE_BYTES};

/// The crate whose lines follow the configured level. Other crates only log warnings and errors.
const OWN_TARGET: &str = env!("CARGO_CRATE_NAME");

/// The HTTP library logs an error if a client sends an invalid request or goes away. Anybody could fill the disk
/// with such lines, so they are logged only at the debug level.
const HTTP_TARGET: &str = "actix_http";

/// The keys of every line. An attribute with one of these names is called `logged_…`.
const KEYS: [&str; 5] = ["ts", "level", "caller", "msg", "source"];

/// Sends the log lines of this process to stderr. Has no effect if called again. All lines are written until
/// [`Repeats::limit`] is called on the result.
pub fn init(log: &Log) -> Repeats {
    let repeats = Repeats::new(log.format);
    // It fails if a subscriber is set already, which then stays.
    _ = tracing::subscriber::set_global_default(subscriber(log, repeats.clone(), std::io::stderr));
    repeats
}

fn subscriber<W>(log: &Log, repeats: Repeats, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match log.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(
            HTTP_TARGET,
            if level == LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF },
        )
        .with_target(OWN_TARGET, level);
    let line = Line { format: log.format, repeats };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).event_format(line);
    tracing_subscriber::registry().with(filter).with(lines)
}

/// Formats an event as one line.
struct Line {
    format: LogFormat,
    repeats: Repeats,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let fields = || {
            let mut fields = Fields::default();
            event.record(&mut fields);
            fields
        };
        let message = || Excerpt::of(&fields().message);
        let Some(left_out) = self.repeats.admit(metadata, Instant::now(), message) else { return Ok(()) };
        if let Some(left_out) = left_out {
            left_out.write(&mut writer, self.format)?;
        }
        let fields = fields();
        let mut pairs = Pairs::new(&mut writer, self.format);
        pairs::head(&mut pairs, metadata)?;
        pairs.text("msg", &fields.message)?;
        for (name, value) in &fields.attributes {
            match value {
                Attribute::Text(text) => pairs.text(name, text)?,
                Attribute::Bare(text) => pairs.bare(name, text)?,
            }
        }
        pairs.end()
    }
}

enum Attribute {
    Text(String),
    Bare(String),
}

/// The fields of an event, in its order.
#[derive(Default)]
struct Fields {
    message: String,
    attributes: Vec<(String, Attribute)>,
}

impl Fields {
    fn bare(&mut self, field: &Field, value: impl Display) {
        self.attributes.push((attribute_name(field), Attribute::Bare(value.to_string())));
    }

    /// Adds a text, of which no more is kept than a line shows.
    fn display(&mut self, field: &Field, value: impl Display) {
        let mut text = Bounded::new(MESSAGE_BYTES);
        // The value itself failed to format.
        _ = write!(text, "{value}");
        self.text(field, text.finish());
    }

    fn text(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.attributes.push((attribute_name(field), Attribute::Text(value)));
        }
    }
}

fn attribute_name(field: &Field) -> String {
    let name = field.name().trim_start_matches("r#");
    if KEYS.contains(&name) { format!("logged_{name}") } else { name.to_owned() }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.display(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.display(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.display(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no notation for infinity and NaN.
        if value.is_finite() { self.bare(field, value) } else { self.text(field, value.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat, events: impl FnOnce()) -> String {
        logged_with(Repeats::new(format), level, format, events)
    }

    fn logged_with(repeats: Repeats, level: LogLevel, format: LogFormat, events: impl FnOnce()) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = subscriber(&Log { level, format }, repeats, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Checks the form of the time, which differs from run to run, and returns the rest of the line.
    fn after_time<'a>(line: &'a str, before: &str) -> &'a str {
        let (time, rest) = line.strip_prefix(before).unwrap().split_at("2026-01-02T15:04:05.000Z".len());
        let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
        assert_eq!(time.chars().map(digits).collect::<String>(), "0000-00-00T00:00:00.000Z");
        rest
    }

    /// The line number at which `start` logs.
    const LINE: u32 = line!() + 3;

    fn start() {
        tracing::info!(version = "(version=1)", workers = 2, ready = true, half = 0.5, "starting tallygate");
    }

    #[test]
    fn logfmt_has_the_keys_of_stock_in_order() {
        let text = logged(LogLevel::Info, LogFormat::Logfmt, start);
        assert_eq!(
            after_time(&text, "ts="),
            format!(
                " level=info caller=logging.rs:{LINE} msg=\"starting tallygate\" version=\"(version=1)\" \
                 workers=2 ready=true half=0.5\n"
            )
        );
    }

    #[test]
    fn json_has_the_same_keys_as_one_object() {
        let text = logged(LogLevel::Info, LogFormat::Json, start);
        let rest = after_time(&text, "{\"ts\":\"");
        assert!(rest.starts_with("\",\"level\":\"info\",\"caller\":\"logging.rs:"), "{rest}");
        assert!(
            rest.ends_with(
                ",\"msg\":\"starting tallygate\",\"version\":\"(version=1)\",\"workers\":2,\"ready\":true,\"half\":0.5}\n"
            ),
            "{rest}"
        );
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["workers"], 2);
    }

    #[test]
    fn json_stays_json_with_odd_values() {
        let text = logged(LogLevel::Info, LogFormat::Json, || {
            tracing::info!(nan = f64::NAN, text = "a\"b\n\u{1b}", source = "s", "odd \\ \"message\"");
        });
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["nan"], "NaN");
        assert_eq!(parsed["text"], "a\"b\n\u{1b}");
        assert_eq!(parsed["logged_source"], "s");
        assert_eq!(parsed["msg"], "odd \\ \"message\"");
    }

    #[test]
    fn json_escapes_what_logfmt_escapes() {
        let odd = "\u{7f}\u{9b}31m\u{202e}\u{2028}\u{feff}\u{e0001}\u{8}é✓";
        let events = || tracing::info!(odd, "{odd}");
        let text = logged(LogLevel::Info, LogFormat::Json, events);
        assert!(
            text.ends_with(",\"odd\":\"\\u007f\\u009b31m\\u202e\\u2028\\ufeff\\udb40\\udc01\\bé✓\"}\n"),
            "{text}"
        );
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&parsed["msg"], &parsed["odd"]), (&odd.into(), &odd.into()));
        let text = logged(LogLevel::Info, LogFormat::Logfmt, events);
        assert!(
            text.trim_end().ends_with(r#" odd="\x7f\u009b31m\u202e\u2028\ufeff\U000e0001\bé✓""#),
            "{text}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_short_line_that_reads_back(text in "\\PC{0,40}|[\\x00-\\x1f\u{80}-\u{9f}\u{2000}-\u{206f}\"\\\\]{0,40}", times in 1_usize..400) {
            let long = text.repeat(times);
            let events = || tracing::error!(err = %long, group = %long, %long, "{long}");
            let line = logged(LogLevel::Info, LogFormat::Json, events);
            proptest::prop_assert!(line.len() <= MESSAGE_BYTES && line.matches('\n').count() == 1, "{}", line.len());
            let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
            let said = parsed["msg"].as_str().unwrap();
            let said = said.split("... (").next().unwrap();
            proptest::prop_assert!(long.starts_with(said), "{}", line);
            let line = logged(LogLevel::Info, LogFormat::Logfmt, events);
            proptest::prop_assert!(line.len() <= MESSAGE_BYTES && line.matches('\n').count() == 1, "{}", line.len());
            proptest::prop_assert!(line.trim_end().chars().all(crate::message::is_printable), "{}", line);
        }
    }

    fn left_out_in(log: &str) -> Vec<(String, u64)> {
        let lines = log.lines().filter(|line| line.contains(" more like this were not logged"));
        let of = |line: &str, key: &str| {
            let (_, rest) = line.split_once(key).unwrap();
            rest.trim_start_matches('"').split(['"', ' ']).next().unwrap().to_owned()
        };
        lines.map(|line| (of(line, " like="), of(line, " count=").parse().unwrap())).collect()
    }

    #[test]
    fn of_what_comes_again_and_again_the_rest_is_counted() {
        let repeats = Repeats::new(LogFormat::Logfmt);
        let events = |_| {
            tracing::error!(number = 1, "first");
            tracing::warn!("second");
            tracing::debug!("all");
        };
        let log = |count| {
            logged_with(repeats.clone(), LogLevel::Debug, LogFormat::Logfmt, || (0..count).for_each(events))
        };
        assert_eq!(log(100).lines().count(), 300);
        repeats.limit();
        let log = log(1000);
        let written = |text: &str| log.lines().filter(|line| line.contains(text)).count() as u64;
        assert_eq!(written("msg=all"), 1000);
        let last = repeats.left_out();
        for message in ["first", "second"] {
            let counted = left_out_in(&log).into_iter().chain(left_out_in(&last));
            let counted: u64 = counted.filter(|(like, _)| like == message).map(|(_, count)| count).sum();
            let lines = written(&format!("msg={message}"));
            assert_eq!(counted + lines, 1000, "{message}: {log}{last}");
            assert!(lines < 1000, "{lines} lines {message:?}");
        }
        assert!(repeats.left_out().is_empty());
        let of_the_first = last.lines().chain(log.lines()).find(|line| line.contains("like=first")).unwrap();
        assert!(of_the_first.contains(" level=error caller=logging.rs:"), "{of_the_first}");
    }

    #[test]
    fn attributes_do_not_hide_the_keys_of_a_line() {
        let text = logged(LogLevel::Info, LogFormat::Logfmt, || {
            tracing::info!(
                source = "1.2.3.4:5",
                level = 1,
                caller = "c",
                ts = "t",
                msg = "m",
                r#type = "x",
                "hello"
            );
        });
        assert!(
            text.ends_with(
                " msg=hello logged_source=1.2.3.4:5 logged_level=1 logged_caller=c logged_ts=t logged_msg=m type=x\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn values_are_quoted_as_go_quotes() {
        for (value, expected) in [
            ("plain", "plain"),
            ("[::]:9091", "[::]:9091"),
            ("back\\slash", "back\\slash"),
            ("é", "é"),
            ("कि", "कि"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a=b", r#""a=b""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("a\nb\r\t\u{7}\u{8}\u{b}\u{c}\0\u{1b}\u{7f}", r#""a\nb\r\t\a\b\v\f\x00\x1b\x7f""#),
            ("\u{85}\u{a0}\u{202e}\u{feff}\u{e0001}", r#""\u0085\u00a0\u202e\ufeff\U000e0001""#),
        ] {
            let text = logged(LogLevel::Info, LogFormat::Logfmt, || tracing::info!(value, "m"));
            assert!(text.ends_with(&format!(" msg=m value={expected}\n")), "{text}");
        }
    }

    #[test]
    fn errors_and_debug_values_are_text() {
        let error = io::Error::other("disk full");
        let text = logged(LogLevel::Error, LogFormat::Logfmt, || {
            tracing::error!(err = &error as &dyn std::error::Error, debug = ?Some(1), display = %"x y", "failed");
        });
        assert!(text.ends_with(" msg=failed err=\"disk full\" debug=Some(1) display=\"x y\"\n"), "{text}");
    }

    #[test]
    fn the_level_holds_for_our_lines_and_others_must_warn() {
        let events = || {
            tracing::debug!("ours");
            tracing::info!(target: "actix_server::builder", "starting 1 workers");
            tracing::warn!(target: "actix_rt", "theirs");
            tracing::error!(target: "actix_http::h1::dispatcher", "client's");
        };
        let messages = |level| -> Vec<String> {
            let text = logged(level, LogFormat::Logfmt, events);
            text.lines().map(|line| line.rsplit_once("msg=").unwrap().1.to_owned()).collect()
        };
        assert_eq!(messages(LogLevel::Debug), ["ours", "theirs", "client's"]);
        assert_eq!(messages(LogLevel::Info), ["theirs"]);
        assert_eq!(messages(LogLevel::Warn), ["theirs"]);
        assert!(messages(LogLevel::Error).is_empty());
    }
}
