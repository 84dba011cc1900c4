//! Sample lines of both text formats.

use std::borrow::Cow;

use crate::exposition::written::Labels;
use crate::model::escaping::Escaping;
use crate::model::labels::escape;
use crate::model::name::is_legacy_metric_name;

/// Writes the names and labels of samples, family by family.
#[derive(Debug)]
pub(super) struct Lines {
    escaping: Escaping,
    /// The escaped name of the current family, without quotes.
    name: String,
    /// Whether the name must be in quotes within the braces.
    is_quoted: bool,
}

impl Lines {
    /// Writes lines with this escaping scheme.
    pub(super) fn new(escaping: Escaping) -> Lines {
        Lines { escaping, name: String::new(), is_quoted: false }
    }

    /// Begins a family. Its name is escaped already.
    pub(super) fn begin(&mut self, name: &str) {
        self.is_quoted = !is_legacy_metric_name(name);
        self.name.clear();
        self.name.push_str(&if self.is_quoted { escape(name) } else { Cow::Borrowed(name) });
    }

    /// The name of the family as in HELP and TYPE lines.
    pub(super) fn shown_name(&self) -> Cow<'_, str> {
        if self.is_quoted { Cow::Owned(format!("\"{}\"", self.name)) } else { Cow::Borrowed(&self.name) }
    }

    /// Writes the name with `suffix`, the labels, and a space.
    #[inline]
    pub(super) fn plain(&self, out: &mut Vec<u8>, suffix: &str, labels: Labels<'_>) {
        if self.is_quoted || labels.has_quoted_names {
            return self.series(out, suffix, self.block(labels).as_bytes(), None);
        }
        out.extend_from_slice(self.name.as_bytes());
        if !suffix.is_empty() {
            out.extend_from_slice(suffix.as_bytes());
        }
        out.extend_from_slice(labels.block.as_bytes());
        out.push(b' ');
    }

    /// The labels under the escaping scheme.
    #[inline]
    pub(super) fn block<'a>(&self, labels: Labels<'a>) -> Cow<'a, str> {
        if labels.has_quoted_names { self.escaping.block(labels.block) } else { Cow::Borrowed(labels.block) }
    }

    /// Writes the name with `suffix`, the labels followed by `extra`, and a space.
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
        out.push(b' ');
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
        out.extend_from_slice(b"} ");
    }
}

#[inline]
fn write_extra(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    out.extend_from_slice(value);
    out.push(b'"');
}
