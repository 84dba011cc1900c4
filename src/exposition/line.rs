//! Sample lines of both text formats.

use std::borrow::Cow;

use crate::exposition::written::Labels;
use crate::model::escaping::Escaping;
use crate::model::labels::escape;
use crate::model::name::is_legacy_metric_name;

/// Up to this many bytes, a name is copied without asking how long it is.
const SHORT_NAME: usize = 32;

/// Writes the names and labels of samples, family by family.
#[derive(Debug)]
pub(super) struct Lines {
    escaping: Escaping,
    /// The escaped name of the current family, without quotes.
    name: String,
    /// The name with zeros behind it, if it is not long.
    short_name: Option<[u8; SHORT_NAME]>,
    /// Whether the name must be in quotes within the braces.
    is_quoted: bool,
}

impl Lines {
    /// Writes lines with this escaping scheme.
    pub(super) fn new(escaping: Escaping) -> Lines {
        Lines { escaping, name: String::new(), short_name: None, is_quoted: false }
    }

    /// Begins a family. Its name is escaped already.
    pub(super) fn begin(&mut self, name: &str) {
        self.is_quoted = !is_legacy_metric_name(name);
        self.name.clear();
        self.name.push_str(&if self.is_quoted { escape(name) } else { Cow::Borrowed(name) });
        self.short_name = (self.name.len() <= SHORT_NAME).then(|| {
            let mut padded = [0; SHORT_NAME];
            padded[..self.name.len()].copy_from_slice(self.name.as_bytes());
            padded
        });
    }

    /// Appends the name.
    #[inline]
    fn write_name(&self, out: &mut Vec<u8>) {
        match &self.short_name {
            Some(padded) => {
                let end = out.len() + self.name.len();
                out.extend_from_slice(padded);
                out.truncate(end);
            }
            None => out.extend_from_slice(self.name.as_bytes()),
        }
    }

    /// Writes the name and a block of labels whose names need no quotes.
    #[inline]
    pub(super) fn simple(&self, out: &mut Vec<u8>, block: &[u8]) {
        if self.is_quoted {
            return self.quoted_series(out, "", block, None);
        }
        self.write_name(out);
        out.extend_from_slice(block);
    }

    /// Writes what the lines of all samples of a series have in common that differ in the value of the label `extra` alone:
    /// everything up to that value.
    pub(super) fn start(&self, out: &mut Vec<u8>, suffix: &str, block: &[u8], extra: &str) {
        self.series(out, suffix, block, Some((extra, b"")));
        // The closing quote and brace.
        out.truncate(out.len() - 2);
    }

    /// The name of the family as in HELP and TYPE lines.
    pub(super) fn shown_name(&self) -> Cow<'_, str> {
        if self.is_quoted { Cow::Owned(format!("\"{}\"", self.name)) } else { Cow::Borrowed(&self.name) }
    }

    /// Writes the name with `suffix`, and the labels.
    #[inline]
    pub(super) fn plain(&self, out: &mut Vec<u8>, suffix: &str, labels: Labels<'_>) {
        if self.is_quoted || labels.has_quoted_names {
            return self.series(out, suffix, self.block(labels).as_bytes(), None);
        }
        self.write_name(out);
        if !suffix.is_empty() {
            out.extend_from_slice(suffix.as_bytes());
        }
        out.extend_from_slice(labels.block.as_bytes());
    }

    /// The labels under the escaping scheme.
    #[inline]
    pub(super) fn block<'a>(&self, labels: Labels<'a>) -> Cow<'a, str> {
        if labels.has_quoted_names { self.escaping.block(labels.block) } else { Cow::Borrowed(labels.block) }
    }

    /// Writes the name with `suffix`, and the labels followed by `extra`.
    #[inline]
    pub(super) fn series(&self, out: &mut Vec<u8>, suffix: &str, block: &[u8], extra: Option<(&str, &[u8])>) {
        if self.is_quoted {
            return self.quoted_series(out, suffix, block, extra);
        }
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        match extra {
            None => out.extend_from_slice(block),
            Some((name, value)) => {
                let open = block.split_last().map_or(&b"{"[..], |(_, open)| open);
                out.extend_from_slice(open);
                if open.len() > 1 {
                    out.push(b',');
                }
                write_extra(out, name, value);
                out.push(b'}');
            }
        }
    }

    /// Writes the name among the labels.
    fn quoted_series(&self, out: &mut Vec<u8>, suffix: &str, block: &[u8], extra: Option<(&str, &[u8])>) {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'"');
        // The name is followed by a list of labels that begins with a comma.
        let inner = block.get(1..block.len().saturating_sub(1)).unwrap_or_default();
        if !inner.is_empty() {
            out.push(b',');
            out.extend_from_slice(inner);
        }
        if let Some((name, value)) = extra {
            out.push(b',');
            write_extra(out, name, value);
        }
        out.push(b'}');
    }
}

#[inline]
fn write_extra(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    out.extend_from_slice(value);
    out.push(b'"');
}
