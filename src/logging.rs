//! The log: lines on stderr in the shape of the stock gateway's, as logfmt or JSON.
//!
//! Owns the form of a line and which lines are written; what is worth a line is for the callers.

use std::fmt::{self, Debug, Display};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat, LogLevel};

/// The crate whose lines obey the level; others are heard from when they warn.
const OWN_TARGET: &str = env!("CARGO_CRATE_NAME");

/// The HTTP library calls it an error when a client sends what is no request, or goes away: anybody could fill the
/// disk with its lines. Heard only while somebody looks closely.
const HTTP_TARGET: &str = "actix_http";

/// Keys that every line has; an attribute of such a name is called `logged_…`.
const KEYS: [&str; 5] = ["ts", "level", "caller", "msg", "source"];

/// Sends log lines of this process to stderr. Without effect if called again.
pub fn init(log: &Log) {
    // The error says that somebody was first, and theirs is as good.
    _ = tracing::subscriber::set_global_default(subscriber(log, std::io::stderr));
}

fn subscriber<W>(log: &Log, writer: W) -> impl Subscriber + Send + Sync
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
    let lines =
        tracing_subscriber::fmt::layer().with_writer(writer).event_format(Line { format: log.format });
    tracing_subscriber::registry().with(filter).with(lines)
}

/// Formats an event as one line.
struct Line {
    format: LogFormat,
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
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let file = metadata.file().unwrap_or_default();
        let file = file.rsplit_once(['/', '\\']).map_or(file, |(_, name)| name);
        let caller = format!("{file}:{}", metadata.line().unwrap_or_default());
        let mut pairs = Pairs { writer: writer.by_ref(), format: self.format, first: true };
        pairs.text("ts", &time)?;
        pairs.text("level", level_name(*metadata.level()))?;
        pairs.text("caller", &caller)?;
        pairs.text("msg", &fields.message)?;
        for (name, value) in &fields.attributes {
            match value {
                Attribute::Text(text) => pairs.text(name, text)?,
                Attribute::Bare(text) => pairs.bare(name, text)?,
            }
        }
        writer.write_str(if self.format == LogFormat::Json { "}\n" } else { "\n" })
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

/// Writes keys and values of one line.
struct Pairs<'a> {
    writer: Writer<'a>,
    format: LogFormat,
    first: bool,
}

impl Pairs<'_> {
    fn text(&mut self, key: &str, value: &str) -> fmt::Result {
        self.key(key)?;
        match self.format {
            LogFormat::Json => self.writer.write_str(&json(value)?),
            LogFormat::Logfmt if needs_quotes(value) => quote(&mut self.writer, value),
            LogFormat::Logfmt => self.writer.write_str(value),
        }
    }

    /// A value that is the same in both formats: a number or a boolean.
    fn bare(&mut self, key: &str, value: &str) -> fmt::Result {
        self.key(key)?;
        self.writer.write_str(value)
    }

    fn key(&mut self, key: &str) -> fmt::Result {
        let first = std::mem::replace(&mut self.first, false);
        match (self.format, first) {
            (LogFormat::Json, _) => write!(self.writer, "{}{}:", if first { '{' } else { ',' }, json(key)?),
            (LogFormat::Logfmt, true) => write!(self.writer, "{key}="),
            (LogFormat::Logfmt, false) => write!(self.writer, " {key}="),
        }
    }
}

fn json(text: &str) -> Result<String, fmt::Error> {
    serde_json::to_string(text).map_err(|_| fmt::Error)
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.chars().any(|c| matches!(c, ' ' | '=' | '"') || !is_printable(c))
}

/// Quotes as Go's `strconv.Quote` does.
fn quote(writer: &mut impl fmt::Write, value: &str) -> fmt::Result {
    writer.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' | '\\' => write!(writer, "\\{c}"),
            '\n' => writer.write_str("\\n"),
            '\r' => writer.write_str("\\r"),
            '\t' => writer.write_str("\\t"),
            '\x07' => writer.write_str("\\a"),
            '\x08' => writer.write_str("\\b"),
            '\x0b' => writer.write_str("\\v"),
            '\x0c' => writer.write_str("\\f"),
            _ if is_printable(c) => writer.write_char(c),
            _ if c.is_ascii() => write!(writer, "\\x{:02x}", u32::from(c)),
            _ if u32::from(c) <= 0xffff => write!(writer, "\\u{:04x}", u32::from(c)),
            _ => write!(writer, "\\U{:08x}", u32::from(c)),
        }?;
    }
    writer.write_char('"')
}

/// Nearly Go's `unicode.IsPrint`: no control character, no blank but the space, nothing invisible,
/// nothing that turns the direction of writing.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e00ff}' | '\u{f0000}'..);
    c == ' ' || !(c.is_control() || c.is_whitespace() || invisible)
}

enum Attribute {
    Text(String),
    Bare(String),
}

/// What an event says, in the order in which it says it.
#[derive(Default)]
struct Fields {
    message: String,
    attributes: Vec<(String, Attribute)>,
}

impl Fields {
    fn bare(&mut self, field: &Field, value: impl Display) {
        self.attributes.push((attribute_name(field), Attribute::Bare(value.to_string())));
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
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, value.to_string());
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
        // JSON has no number for the others.
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
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = subscriber(&Log { level, format }, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Splits off the time, which differs from run to run, after a look at its form.
    fn after_time<'a>(line: &'a str, before: &str) -> &'a str {
        let (time, rest) = line.strip_prefix(before).unwrap().split_at("2026-01-02T15:04:05.000Z".len());
        let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
        assert_eq!(time.chars().map(digits).collect::<String>(), "0000-00-00T00:00:00.000Z");
        rest
    }

    /// Where `start` logs.
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
