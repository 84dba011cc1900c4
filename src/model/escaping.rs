//! Escapes metric and label names for clients that know only legacy names.
//!
//! The schemes are those of prometheus/common `model.EscapeName`. Legacy names never change.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use crate::model::labels::{has_quoted_names, pairs, write_pair};
use crate::model::name::{
    LABEL_NAME_BYTES, METRIC_NAME_BYTES, is_legacy_at, is_legacy_label_name, is_legacy_metric_name,
};

/// How a scrape shows names that are not legacy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// They are quoted.
    AllowUtf8,
    /// Each character that is not allowed in a legacy name becomes `_`.
    Underscores,
    /// `.` becomes `_dot_`. `_` and every other such character become `__`.
    Dots,
    /// The name begins with `U__`, `_` becomes `__`, and every other such character becomes its code as `_HEX_`.
    Values,
}

impl Escaping {
    /// The schemes that change names.
    pub const CHANGING: [Escaping; 3] = [Escaping::Underscores, Escaping::Dots, Escaping::Values];

    /// The scheme with this name in `Accept` and `Content-Type`.
    pub fn from_name(name: &str) -> Option<Escaping> {
        match name {
            "allow-utf-8" => Some(Escaping::AllowUtf8),
            "underscores" => Some(Escaping::Underscores),
            "dots" => Some(Escaping::Dots),
            "values" => Some(Escaping::Values),
            _ => None,
        }
    }

    /// The name of the scheme.
    pub fn name(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// A metric name under this scheme.
    pub fn metric_name(self, name: &str) -> Cow<'_, str> {
        match self {
            Escaping::AllowUtf8 => Cow::Borrowed(name),
            _ if is_legacy_metric_name(name) => Cow::Borrowed(name),
            Escaping::Underscores => Cow::Owned(underscores(name, &METRIC_NAME_BYTES)),
            Escaping::Dots => Cow::Owned(dots(name, &METRIC_NAME_BYTES)),
            Escaping::Values => Cow::Owned(values(name, &METRIC_NAME_BYTES)),
        }
    }

    /// A label name under this scheme.
    pub fn label_name(self, name: &str) -> Cow<'_, str> {
        match self {
            Escaping::AllowUtf8 => Cow::Borrowed(name),
            _ if is_legacy_label_name(name) => Cow::Borrowed(name),
            Escaping::Underscores => Cow::Owned(underscores(name, &LABEL_NAME_BYTES)),
            Escaping::Dots => Cow::Owned(dots(name, &LABEL_NAME_BYTES)),
            Escaping::Values => Cow::Owned(values(name, &LABEL_NAME_BYTES)),
        }
    }

    /// A label block with its names under this scheme. The order of the labels stays.
    pub fn block(self, block: &str) -> Cow<'_, str> {
        if self == Escaping::AllowUtf8 {
            return Cow::Borrowed(block);
        }
        let mut out = String::from("{");
        for pair in pairs(block) {
            if out.len() > 1 {
                out.push(',');
            }
            write_pair(&mut out, &self.label_name(&pair.name()), pair.escaped_value());
        }
        out.push('}');
        Cow::Owned(out)
    }
}

/// The escaped form of a label name in a block, if under some scheme another label gets the same form, or if it
/// becomes the name under which Prometheus keeps metric names. No scrape could show both.
pub fn colliding_label(block: &str) -> Option<String> {
    if !has_quoted_names(block) {
        return None;
    }
    Escaping::CHANGING.into_iter().find_map(|scheme| {
        let mut seen = HashSet::from([Cow::Borrowed("__name__")]);
        pairs(block)
            .map(|pair| scheme.label_name(&pair.name()).into_owned())
            .find(|shown| !seen.insert(Cow::Owned(shown.clone())))
    })
}

fn underscores(name: &str, name_bytes: &[bool; 256]) -> String {
    name.char_indices().map(|(at, c)| if is_legacy_at(at, c, name_bytes) { c } else { '_' }).collect()
}

fn dots(name: &str, name_bytes: &[bool; 256]) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for (at, c) in name.char_indices() {
        match c {
            '.' => out.push_str("_dot_"),
            c if c != '_' && is_legacy_at(at, c, name_bytes) => out.push(c),
            _ => out.push_str("__"),
        }
    }
    out
}

fn values(name: &str, name_bytes: &[bool; 256]) -> String {
    let mut out = String::from("U__");
    for (at, c) in name.char_indices() {
        match c {
            '_' => out.push_str("__"),
            c if is_legacy_at(at, c, name_bytes) => out.push(c),
            c => {
                let _ = write!(out, "_{:x}_", c as u32);
            }
        }
    }
    out
}

/// Escapes a label name so that [`unescape_values`] returns it.
pub fn escape_values(name: &str) -> String {
    values(name, &LABEL_NAME_BYTES)
}

/// Reverses [`Escaping::Values`], which a path of a push may use: `U__` at the start, `__` for `_` and `_HEX_` for
/// other characters. Other names stay unchanged.
pub fn unescape_values(name: &str) -> Cow<'_, str> {
    fn decoded(escaped: &str) -> Option<String> {
        let mut out = String::with_capacity(escaped.len());
        let mut rest = escaped;
        while let Some(at) = rest.find('_') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('_') {
                out.push('_');
                rest = after;
                continue;
            }
            let (hex, after) = rest.split_once('_')?;
            if hex.is_empty() || hex.len() > 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }
    match name.strip_prefix("U__").and_then(decoded) {
        Some(name) => Cow::Owned(name),
        None => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes() {
        for (scheme, name, escaped) in [
            (Escaping::Underscores, "my.metric", "my_metric"),
            (Escaping::Dots, "my.metric", "my_dot_metric"),
            (Escaping::Dots, "my.met_ric-x", "my_dot_met__ric__x"),
            (Escaping::Values, "my.metric", "U__my_2e_metric"),
            (Escaping::Values, "数_量", "U___6570____91cf_"),
            (Escaping::AllowUtf8, "my.metric", "my.metric"),
            (Escaping::Values, "legacy_name", "legacy_name"),
            (Escaping::Underscores, "1a", "_a"),
        ] {
            assert_eq!(scheme.metric_name(name), escaped);
        }
        assert_eq!(Escaping::Underscores.block(r#"{a="x,","b.c"="y"}"#), r#"{a="x,",b_c="y"}"#);
    }

    #[test]
    fn labels_that_look_the_same_under_some_scheme() {
        for (block, label) in [
            (r#"{a_b="",c="a.b"}"#, None),
            (r#"{"a.b"="",a_c=""}"#, None),
            (r#"{"a.b"="",a_b=""}"#, Some("a_b")),
            (r#"{"a b"="","a.b"=""}"#, Some("a_b")),
            (r#"{"a.b"="",a_dot_b=""}"#, Some("a_dot_b")),
            (r#"{U__a_2e_b="","a.b"=""}"#, Some("U__a_2e_b")),
            (r#"{".-name.-"=""}"#, Some("__name__")),
        ] {
            assert_eq!(colliding_label(block).as_deref(), label, "{block}");
        }
    }

    #[test]
    fn names_in_paths() {
        for (escaped, name) in [
            ("U__foo_2e_bar", "foo.bar"),
            ("U___55_____foo", "U__foo"),
            ("U___41_", "A"),
            ("U____", "_"),
            ("U__", ""),
            ("U__in_xxx_valid", "U__in_xxx_valid"),
            ("U___d800_", "U___d800_"),
            ("U___1234567_", "U___1234567_"),
            ("U__job", "job"),
            ("plain_name", "plain_name"),
        ] {
            assert_eq!(unescape_values(escaped), name, "{escaped}");
        }
    }
}
