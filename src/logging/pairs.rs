//! Keys and values of one line.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::{Level, Metadata};

use crate::config::LogFormat;
use crate::message::{self, LeftOut, MESSAGE_BYTES};

/// How many bytes of a line are reserved for its keys, its time and its source location.
const FRAME_BYTES: usize = 256;

/// Writes the keys and values of one line. The line is never longer than [`MESSAGE_BYTES`].
pub(super) struct Pairs<'a> {
    writer: &'a mut dyn fmt::Write,
    format: LogFormat,
    is_first: bool,
    /// How many bytes the remaining values may have together.
    left: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(writer: &'a mut dyn fmt::Write, format: LogFormat) -> Pairs<'a> {
        Pairs { writer, format, is_first: true, left: MESSAGE_BYTES - FRAME_BYTES }
    }

    pub(super) fn text(&mut self, key: &str, value: &str) -> fmt::Result {
        self.key(key)?;
        let is_bare = self.format == LogFormat::Logfmt && value.len() <= self.left && !needs_quotes(value);
        if is_bare {
            self.left -= value.len();
            return self.writer.write_str(value);
        }
        let push = match self.format {
            LogFormat::Json => push_json,
            LogFormat::Logfmt => |out: &mut String, c| message::push_char(out, c, '"'),
        };
        let mut escaped = String::new();
        let mut chars = value.chars();
        while let Some(c) = chars.next() {
            let before = escaped.len();
            push(&mut escaped, c);
            if escaped.len() > self.left {
                escaped.truncate(before);
                let _ = write!(escaped, "{}", LeftOut(chars.as_str().len() + c.len_utf8()));
                break;
            }
        }
        self.left = self.left.saturating_sub(escaped.len());
        write!(self.writer, "\"{escaped}\"")
    }

    /// A value that is the same in both formats: a number or a boolean.
    pub(super) fn bare(&mut self, key: &str, value: &str) -> fmt::Result {
        self.key(key)?;
        self.writer.write_str(value)
    }

    /// Ends the line.
    pub(super) fn end(self) -> fmt::Result {
        self.writer.write_str(if self.format == LogFormat::Json { "}\n" } else { "\n" })
    }

    fn key(&mut self, key: &str) -> fmt::Result {
        let is_first = std::mem::replace(&mut self.is_first, false);
        match (self.format, is_first) {
            (LogFormat::Json, true) => write!(self.writer, "{{\"{key}\":"),
            (LogFormat::Json, false) => write!(self.writer, ",\"{key}\":"),
            (LogFormat::Logfmt, true) => write!(self.writer, "{key}="),
            (LogFormat::Logfmt, false) => write!(self.writer, " {key}="),
        }
    }
}

/// Writes the keys at the beginning of every line.
pub(super) fn head(pairs: &mut Pairs<'_>, metadata: &Metadata<'_>) -> fmt::Result {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let file = metadata.file().unwrap_or_default();
    let file = file.rsplit_once(['/', '\\']).map_or(file, |(_, name)| name);
    pairs.text("ts", &time)?;
    pairs.text("level", level_name(*metadata.level()))?;
    pairs.text("caller", &format!("{file}:{}", metadata.line().unwrap_or_default()))
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.chars().any(|c| matches!(c, ' ' | '=' | '"') || !message::is_printable(c))
}

/// Appends a character of a JSON string. Also escapes what logfmt escapes, because it might affect the terminal of
/// a reader.
fn push_json(out: &mut String, c: char) {
    match c {
        '"' | '\\' => {
            out.push('\\');
            out.push(c);
        }
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        c if message::is_printable(c) => out.push(c),
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}
