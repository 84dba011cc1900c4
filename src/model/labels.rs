//! Label blocks: the canonical text of a label set.
//!
//! `{code="200",instance="",job="batch"}`: sorted by name, values escaped as in the text format, names quoted
//! unless they are legacy names. The block is the key of a series in its family, and also the bytes that a text
//! scrape copies out.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Display};

use crate::message::{LeftOut, QUOTED_BYTES, beginning, is_printable, printable, quote_beginning};
use crate::model::name::is_legacy_label_name;

/// How a label with an empty value is treated. Prometheus takes it for absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyLabels {
    /// It counts as absent. Nevertheless, series without `instance` are shown with an empty one, as in the stock
    /// gateway.
    Absent,
    /// It is kept, as in the stock gateway.
    Kept,
}

impl EmptyLabels {
    /// The treatment in a gateway that adds up values (`aggregate`), or in one that replaces them.
    pub fn of(aggregate: bool) -> EmptyLabels {
        if aggregate { EmptyLabels::Absent } else { EmptyLabels::Kept }
    }
}

/// The label that every series is shown with. It is empty if the series has none.
pub const INSTANCE: &str = "instance";

/// One label of a block. Name and value are borrowed from the block, escapes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Pair<'a> {
    /// The label name.
    pub fn name(&self) -> Cow<'a, str> {
        unescape(self.name)
    }

    /// The label value.
    pub fn value(&self) -> Cow<'a, str> {
        unescape(self.value)
    }

    /// The label name as in the block, escapes included.
    pub fn escaped_name(&self) -> &'a str {
        self.name
    }

    /// The label value as in the block, escapes included.
    pub fn escaped_value(&self) -> &'a str {
        self.value
    }
}

/// How many bytes of the labels of a series or group a message shows. The label that exceeds this is the last one.
pub const SHOWN_LABELS_BYTES: usize = 400;

/// A block for a message. Shows only the first labels if there are many, and shortens long ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownLabels(String);

impl ShownLabels {
    /// Shortens `block` for a message.
    pub fn of(block: &str) -> ShownLabels {
        if block.len() <= QUOTED_BYTES && block.chars().all(is_printable) {
            return ShownLabels(block.to_owned());
        }
        let (mut out, mut labels) = (String::from("{"), pairs(block));
        while out.len() < SHOWN_LABELS_BYTES
            && let Some(pair) = labels.next()
        {
            if out.len() > 1 {
                out.push(',');
            }
            let (name, value) = (escaped_beginning(pair.name), escaped_beginning(pair.value));
            if is_legacy_label_name(name) {
                out.push_str(name);
            } else {
                out.push_str(&format!("\"{}\"", printable(name)));
            }
            let left_out = |whole: &str, shown: &str| LeftOut(whole.len() - shown.len());
            out.push_str(&format!("{}=\"{}\"", left_out(pair.name, name), printable(value)));
            out.push_str(&left_out(pair.value, value).to_string());
        }
        if let Some(more) = MoreLabels::of(labels) {
            out.push_str(&format!(",{more}"));
        }
        out.push('}');
        ShownLabels(out)
    }
}

impl Display for ShownLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of labels that a message leaves out.
pub struct MoreLabels(usize);

impl MoreLabels {
    /// Counts the remaining labels. `None` if there are none.
    pub fn of<L>(rest: impl Iterator<Item = L>) -> Option<MoreLabels> {
        let count = rest.count();
        (count > 0).then_some(MoreLabels(count))
    }
}

impl Display for MoreLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "... ({} more label{plural})", self.0)
    }
}

/// Quotes a name or value that has escapes, for a message. Shortens a long one.
pub fn quote_value(escaped: &str) -> String {
    let shown = escaped_beginning(escaped);
    quote_beginning(unescape(shown).as_bytes(), escaped.len() - shown.len())
}

/// The beginning of a text with escapes. Cuts no escape in two.
fn escaped_beginning(escaped: &str) -> &str {
    let shown = beginning(escaped);
    let backslashes = shown.bytes().rev().take_while(|byte| *byte == b'\\').count();
    &shown[..shown.len() - backslashes % 2]
}

/// How many escapes a text has.
pub fn escape_count(escaped: &str) -> usize {
    let (bytes, mut at, mut count) = (escaped.as_bytes(), 0, 0);
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found + 2;
        count += usize::from(at <= bytes.len());
    }
    count
}

/// The labels of `block`, in its order.
pub fn pairs(block: &str) -> Pairs<'_> {
    Pairs { rest: block.strip_prefix('{').unwrap_or(block) }
}

/// Iterates over the labels of a block; see [`pairs`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let rest = self.rest.strip_prefix(',').unwrap_or(self.rest);
        let (name, rest) = if let Some(quoted) = rest.strip_prefix('"') {
            let end = closing_quote(quoted.as_bytes())?;
            (&quoted[..end], &quoted[end + 1..])
        } else {
            let end = memchr::memchr(b'=', rest.as_bytes())?;
            (&rest[..end], &rest[end..])
        };
        let value = rest.strip_prefix("=\"")?;
        let end = closing_quote(value.as_bytes())?;
        self.rest = &value[end + 1..];
        Some(Pair { name, value: &value[..end] })
    }
}

/// Whether any label name of `block` needs quotes.
pub fn has_quoted_names(block: &str) -> bool {
    // A quoted name follows the brace or a comma. The quote that ends a value may do so too.
    let may_have = block.starts_with("{\"") || block.contains(",\"");
    may_have && pairs(block).any(|pair| !is_legacy_label_name(&pair.name()))
}

/// Whether `block` has labels with empty values, `instance` aside.
pub fn has_empty_labels(block: &str) -> bool {
    // Within a value a quote has a backslash before it, so these bytes usually are an empty value.
    let is_instance =
        |before: &str| before.strip_suffix(INSTANCE).is_some_and(|before| before.ends_with(['{', ',']));
    let may_be_empty = |at: usize| block[at..].starts_with("=\"\"") && !is_instance(&block[..at]);
    memchr::memchr_iter(b'=', block.as_bytes()).any(may_be_empty) && pairs(block).any(|pair| is_empty(&pair))
}

/// `block` without labels that have empty values; only `instance` stays.
pub fn without_empty_labels(block: &str) -> Cow<'_, str> {
    if !has_empty_labels(block) {
        return Cow::Borrowed(block);
    }
    let kept = pairs(block).filter(|pair| !is_empty(pair));
    let mut out = String::with_capacity(block.len());
    write_block(&mut out, kept.map(|pair| (pair.name(), pair.value)));
    Cow::Owned(out)
}

fn is_empty(pair: &Pair<'_>) -> bool {
    pair.value.is_empty() && pair.name != INSTANCE
}

/// The maximum total length of name and value of a simple label, in bytes.
const SIMPLE_LABEL_BYTES: usize = 123;

/// How many labels a block has if all of them are simple: short, with a name that needs no quotes and a value that
/// needs no escapes. Zero otherwise.
pub fn simple_labels(block: &str) -> u16 {
    if memchr::memchr(b'\\', block.as_bytes()).is_some() || has_quoted_names(block) {
        return 0;
    }
    let is_simple = |pair: &Pair<'_>| pair.name.len() + pair.value.len() <= SIMPLE_LABEL_BYTES;
    let mut count = 0;
    for pair in pairs(block) {
        if !is_simple(&pair) || count == u16::MAX {
            return 0;
        }
        count += 1;
    }
    count
}

/// The offset of the first quote in `text` that no backslash escapes.
pub fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', &text[from..])?;
        if text[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
        if from > text.len() {
            return None;
        }
    }
}

/// Resolves the escapes of the text format in `text` (`\\`, `\"`, `\n`).
pub fn unescape(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// Escapes `text` for quotes in the text format.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'\\' | b'"' | b'\n')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// Appends `name="value"` to a block under construction. `value` is escaped already.
pub fn write_pair(out: &mut String, name: &str, escaped_value: &str) {
    if is_legacy_label_name(name) {
        out.push_str(name);
    } else {
        out.push('"');
        out.push_str(&escape(name));
        out.push('"');
    }
    out.push_str("=\"");
    out.push_str(escaped_value);
    out.push('"');
}

/// Builds a block from labels that are sorted by name, with values not yet escaped.
pub fn block_of<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::with_capacity(48);
    write_block(&mut out, labels.into_iter().map(|(name, value)| (name, escape(value))));
    out
}

/// Appends a block of labels that are sorted by name, with values that are escaped already.
pub fn write_block<N: AsRef<str>, V: AsRef<str>>(out: &mut String, labels: impl IntoIterator<Item = (N, V)>) {
    out.push('{');
    for (at, (name, escaped_value)) in labels.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_pair(out, name.as_ref(), escaped_value.as_ref());
    }
    out.push('}');
}

/// The order of the series of a family in a scrape: fewer labels first, then by label values, position by position,
/// as bytes. Names count only if two sets are equal so far (client_golang, `internal.MetricSorter`).
pub fn scrape_order(a: &str, b: &str) -> Ordering {
    pairs(a)
        .count()
        .cmp(&pairs(b).count())
        .then_with(|| {
            for (x, y) in pairs(a).zip(pairs(b)) {
                let order = x.value().as_bytes().cmp(y.value().as_bytes());
                if order.is_ne() {
                    return order;
                }
            }
            Ordering::Equal
        })
        .then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label_sets() -> impl Strategy<Value = Vec<(String, String)>> {
        let name = prop_oneof!["[a-c]", "[a-z]{1,3}", "\\PC{1,4}"];
        let value = prop_oneof!["[ab]{0,3}", "[\\\\\"\n\u{0}a]{0,4}", "\\PC{0,5}"];
        prop::collection::btree_map(name, value, 0..5).prop_map(|map| map.into_iter().collect())
    }

    fn block(labels: &[(String, String)]) -> String {
        block_of(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }

    proptest! {
        #[test]
        fn a_block_gives_its_labels_back(labels in label_sets()) {
            let block = block(&labels);
            let back: Vec<(String, String)> =
                pairs(&block).map(|p| (p.name().into_owned(), p.value().into_owned())).collect();
            prop_assert_eq!(back, labels);
        }
    }

    #[test]
    fn messages_show_the_beginning_of_labels() {
        let shown = |block: &str| ShownLabels::of(block).to_string();
        assert_eq!(shown(r#"{"a b"="\"",job="x"}"#), r#"{"a b"="\"",job="x"}"#);
        // Cuts neither an escape nor a character.
        let long = format!("{}\\\\é", "é".repeat(99) + "x");
        assert_eq!(
            shown(&format!("{{a=\"{long}\",b=\"1\"}}")),
            format!("{{a=\"{}\"... (4 more bytes),b=\"1\"}}", "é".repeat(99) + "x")
        );
        let many = block_of((0..100).map(|_| ("name", "0123456789")));
        let label = r#"name="0123456789""#;
        assert_eq!(shown(&many), format!("{{{},... (77 more labels)}}", [label; 23].join(",")));
        assert_eq!(shown("{a=\"\x1b\",job=\"\u{202e}\"}"), r#"{a="\x1b",job="\u202e"}"#);
        let name = "n".repeat(1000);
        assert_eq!(
            shown(&block_of([(&*name, "1")])),
            format!("{{{}... (800 more bytes)=\"1\"}}", &name[..200])
        );
        assert_eq!(quote_value(r#"a\"\\\n"#), r#""a\"\\\n""#);
    }

    proptest! {
        #[test]
        fn escapes_are_counted(text in "[a\\\\\"\n]{0,20}") {
            let escaped = escape(&text);
            prop_assert_eq!(escaped.len() - escape_count(&escaped), text.len());
        }

        #[test]
        fn shown_labels_are_short(labels in label_sets(), times in 1_usize..300) {
            let long: Vec<(String, String)> =
                labels.iter().map(|(name, value)| (name.clone(), value.repeat(times))).collect();
            let shown = ShownLabels::of(&block(&long)).to_string();
            // The bound, plus the last label (name and value) and the notes about left-out parts.
            prop_assert!(shown.len() <= SHOWN_LABELS_BYTES + 2 * QUOTED_BYTES + 120, "{}", shown);
        }
    }

    #[test]
    fn empty_labels_can_be_left_out() {
        for (block, without) in [
            (r#"{instance="",job="a"}"#, None),
            (r#"{a="=\"\"",instance="i",job="x="}"#, None),
            ("{}", None),
            (r#"{a="",instance="",job="x"}"#, Some(r#"{instance="",job="x"}"#)),
            (r#"{"a b"="",env="",job="x",z=""}"#, Some(r#"{job="x"}"#)),
            (r#"{"a=\"\""="1",my_instance=""}"#, Some(r#"{"a=\"\""="1"}"#)),
            (r#"{a=""}"#, Some("{}")),
        ] {
            assert_eq!(has_empty_labels(block), without.is_some(), "{block}");
            assert_eq!(without_empty_labels(block), without.unwrap_or(block));
        }
    }

    #[test]
    fn fewer_labels_come_first_and_names_do_not_count() {
        let mut blocks = vec![r#"{b="1"}"#, r#"{a="0",b="0"}"#, r#"{a="2"}"#, r#"{c="\\"}"#, r#"{a="10"}"#];
        blocks.sort_by(|a, b| scrape_order(a, b));
        assert_eq!(blocks, [r#"{b="1"}"#, r#"{a="10"}"#, r#"{a="2"}"#, r#"{c="\\"}"#, r#"{a="0",b="0"}"#]);
    }
}
