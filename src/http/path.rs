//! Parses request paths: percent escapes, components, and the grouping labels of a push.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::exposition::Names;
use crate::message::{Excerpt, quote};
use crate::model::escaping::{colliding_label, unescape_values};
use crate::model::grouping::{Grouping, GroupingLabel};
use crate::model::labels::EmptyLabels;
use crate::model::name::{is_legacy_label_name, is_reserved_label_name, is_unusable_label_name};

/// Marks a path component whose value is base64.
const BASE64_SUFFIX: &str = "@base64";

/// Why a path names no group. The messages are the stock gateway's, if it has one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum PathError {
    #[error("job name is required")]
    NoJob,
    #[error("invalid base64 encoding in job name {decoded}: illegal base64 data at input byte {at}")]
    JobBase64 { decoded: String, at: usize },
    #[error("invalid base64 encoding for label {name}={value}: illegal base64 data at input byte {at}")]
    LabelBase64 { name: Excerpt, value: String, at: usize },
    #[error("odd number of components in label string {labels}")]
    OddComponents { labels: String },
    #[error("improper label name {name}")]
    LabelName { name: String },
    #[error("the names of two labels are the same once they are escaped: {name}")]
    CollidingNames { name: Excerpt },
    #[error("the value of label {name} is not UTF-8: {value}")]
    NotUtf8 { name: Excerpt, value: String },
}

/// The error with advice on how to write the path below the route prefix, if the path has empty components. The
/// stock gateway redirects such paths, so it has no message for them.
pub fn explained(error: &PathError, prefix: &str, encoding: JobEncoding, job: &str, labels: &str) -> String {
    const PAIRS: &str =
        "each label is /LABEL/VALUE, and only a value may be empty: /LABEL//, or /LABEL@base64/=";
    let advice = match error {
        PathError::NoJob | PathError::OddComponents { .. } if encoding == JobEncoding::Missing => {
            format!("write {prefix}/metrics/LABEL/VALUE, or {prefix}/metrics/job/NAME/LABEL/VALUE")
        }
        PathError::NoJob if job.is_empty() => format!("write {prefix}/metrics/job/NAME"),
        PathError::OddComponents { .. } if job.is_empty() => {
            format!("the job is empty: write {prefix}/metrics/job/NAME/LABEL/VALUE")
        }
        PathError::OddComponents { .. } if labels.ends_with("//") => {
            format!("{PAIRS}, or at the end /LABEL/")
        }
        PathError::OddComponents { .. } | PathError::LabelName { .. } if labels.contains("//") => {
            PAIRS.to_owned()
        }
        _ => return error.to_string(),
    };
    format!("{error}: {advice}")
}

/// Decodes the percent escapes of `text`. `None` if one is malformed.
pub fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let hex = text.get(at + 1..at + 3).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))?;
            out.push(u8::from_str_radix(hex, 16).ok()?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    Some(Cow::Owned(out))
}

/// The path without empty, `.` and `..` components, as Go's `ServeMux` cleans it before it looks at
/// escapes. A trailing slash stays.
pub fn clean(path: &str) -> Cow<'_, str> {
    let is_clean = path.starts_with('/')
        && !path.contains("//")
        && !path.split('/').any(|component| matches!(component, "." | ".."));
    if is_clean {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut out = format!("/{}", kept.join("/"));
    if path.ends_with('/') && out.len() > 1 {
        out.push('/');
    }
    Cow::Owned(out)
}

/// The encoding of the job if a component is `job` or `job@base64`.
pub fn job_component(component: &str) -> Option<JobEncoding> {
    match decode(component)?.as_ref() {
        b"job" => Some(JobEncoding::Plain),
        b"job@base64" => Some(JobEncoding::Base64),
        _ => None,
    }
}

/// How the job is written in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEncoding {
    /// `/job/NAME`
    Plain,
    /// `/job@base64/BASE64`
    Base64,
    /// The path does not begin with a job: `/metrics`, or `/metrics/LABEL/VALUE`.
    Missing,
}

/// The group that a path names.
#[derive(Debug)]
pub struct NamedGroup<'a> {
    /// Its labels.
    pub grouping: Grouping<'a>,
    /// Whether the path has no job, so that the group has the default one.
    pub has_default_job: bool,
}

/// Parses the grouping labels of a push or delete: the job, and the rest of the path behind it, still
/// percent-encoded and with its leading slash. A percent-encoded slash belongs to a value.
///
/// # Errors
///
/// Checked in the order of the stock gateway: the encoding of the job, the labels, a missing job.
pub fn grouping<'a>(
    encoding: JobEncoding,
    job: &'a str,
    labels: &'a str,
    names: Names,
    empty_labels: EmptyLabels,
) -> Result<Grouping<'a>, PathError> {
    let job = decode(job).unwrap_or_default();
    let job = match encoding {
        JobEncoding::Plain | JobEncoding::Missing => job,
        JobEncoding::Base64 => Cow::Owned(
            decode_base64(&job)
                .map_err(|fault| PathError::JobBase64 { decoded: quote(&fault.decoded), at: fault.at })?,
        ),
    };
    let mut grouping = self::labels(labels, names)?;
    if job.is_empty() {
        return Err(PathError::NoJob);
    }
    grouping.retain(|label| label.name != "job");
    grouping.push(GroupingLabel { name: Cow::Borrowed("job"), value: text("job", job)? });
    without_collisions(Grouping::with(grouping, empty_labels))
}

/// Parses the grouping labels of a path that may have no job; see [`grouping`]. Its job is `default_job` then.
///
/// # Errors
///
/// As [`grouping`].
pub fn group<'a>(
    encoding: JobEncoding,
    job: &'a str,
    labels: &'a str,
    default_job: &'a str,
    names: Names,
    empty_labels: EmptyLabels,
) -> Result<NamedGroup<'a>, PathError> {
    if encoding == JobEncoding::Missing {
        return group_without_job(default_job, labels, names, empty_labels);
    }
    let grouping = grouping(encoding, job, labels, names, empty_labels)?;
    Ok(NamedGroup { grouping, has_default_job: false })
}

/// Parses a path that does not begin with a job, but may have one among its labels.
#[cold]
fn group_without_job<'a>(
    default_job: &'a str,
    labels: &'a str,
    names: Names,
    empty_labels: EmptyLabels,
) -> Result<NamedGroup<'a>, PathError> {
    // As in prom-aggregation-gateway, a slash may stand behind the last value.
    let is_odd = labels.split('/').count().is_multiple_of(2);
    let labels = if is_odd { labels.strip_suffix('/').unwrap_or(labels) } else { labels };
    let mut grouping = self::labels(labels, names)?;
    // The last of several labels with this name counts.
    let job = grouping.iter().rev().find(|label| label.name == "job");
    if job.is_some_and(|job| job.value.is_empty()) {
        return Err(PathError::NoJob);
    }
    let has_default_job = job.is_none();
    if has_default_job {
        grouping.push(GroupingLabel { name: Cow::Borrowed("job"), value: Cow::Borrowed(default_job) });
    }
    let grouping = without_collisions(Grouping::with(grouping, empty_labels))?;
    Ok(NamedGroup { grouping, has_default_job })
}

fn without_collisions(grouping: Grouping<'_>) -> Result<Grouping<'_>, PathError> {
    match colliding_label(grouping.key()) {
        Some(name) => Err(PathError::CollidingNames { name: Excerpt::of(&name) }),
        None => Ok(grouping),
    }
}

/// Parses the labels behind the job.
fn labels(path: &str, names: Names) -> Result<Vec<GroupingLabel<'_>>, PathError> {
    if path.len() <= 1 {
        return Ok(Vec::with_capacity(1));
    }
    let components = path.strip_prefix('/').unwrap_or(path);
    let count = components.bytes().filter(|byte| *byte == b'/').count() + 1;
    if !count.is_multiple_of(2) {
        return Err(PathError::OddComponents { labels: quote(&decode(path).unwrap_or_default()) });
    }
    let mut labels = Vec::with_capacity(count / 2 + 1);
    let mut components = components.split('/');
    while let (Some(name), Some(value)) = (components.next(), components.next()) {
        let name = decode(name).unwrap_or_default();
        let (name, is_base64) = match name.strip_suffix(BASE64_SUFFIX.as_bytes()) {
            Some(stripped) => (Cow::Owned(stripped.to_vec()), true),
            None => (name, false),
        };
        let name = label_name(name, names)?;
        let value = decode(value).unwrap_or_default();
        let value = if is_base64 {
            Cow::Owned(decode_base64(&value).map_err(|fault| PathError::LabelBase64 {
                name: Excerpt::of(&name),
                value: quote(&value),
                at: fault.at,
            })?)
        } else {
            value
        };
        let value = text(&name, value)?;
        labels.push(GroupingLabel { name, value });
    }
    Ok(labels)
}

fn label_name(name: Cow<'_, [u8]>, names: Names) -> Result<Cow<'_, str>, PathError> {
    let improper = |name: &[u8]| PathError::LabelName { name: quote(name) };
    let name = utf8(name).map_err(|name| improper(&name))?;
    let is_proper = |name: &str| match names {
        Names::Legacy => is_legacy_label_name(name),
        Names::Utf8 => !is_unusable_label_name(name),
    };
    let unescaped = match (names, &name) {
        (Names::Legacy, _) => name.clone(),
        (Names::Utf8, Cow::Borrowed(name)) => unescape_values(name),
        (Names::Utf8, Cow::Owned(name)) => Cow::Owned(unescape_values(name).into_owned()),
    };
    if is_proper(&unescaped) && !is_reserved_label_name(&name) && !is_reserved_label_name(&unescaped) {
        Ok(unescaped)
    } else {
        Err(improper(name.as_bytes()))
    }
}

fn text<'a>(name: &str, value: Cow<'a, [u8]>) -> Result<Cow<'a, str>, PathError> {
    utf8(value).map_err(|value| PathError::NotUtf8 { name: Excerpt::of(name), value: quote(&value) })
}

/// `bytes` as text, or unchanged if they are not UTF-8.
fn utf8(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Cow<'_, [u8]>> {
    match bytes {
        Cow::Borrowed(bytes) => {
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Cow::Borrowed(bytes))
        }
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).map(Cow::Owned).map_err(|error| Cow::Owned(error.into_bytes()))
        }
    }
}

/// Where base64 is malformed, and the bytes that were decoded before.
struct Base64Fault {
    at: usize,
    decoded: Vec<u8>,
}

/// Decodes base64 as the stock gateway does: URL-safe alphabet, any number of `=` at the end. Line ends and spare
/// bits are ignored.
fn decode_base64(text: &[u8]) -> Result<Vec<u8>, Base64Fault> {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone);
    let engine = GeneralPurpose::new(&base64::alphabet::URL_SAFE, config);
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let (positions, digits): (Vec<usize>, Vec<u8>) =
        text[..end].iter().copied().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n')).unzip();
    engine.decode(&digits).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol { offset: at, .. } => at,
            base64::DecodeError::InvalidLength(length) => length.saturating_sub(1),
            base64::DecodeError::InvalidPadding => digits.len(),
        };
        let whole = digits.get(..at / 4 * 4).unwrap_or_default();
        Base64Fault {
            at: positions.get(at).copied().unwrap_or(at),
            decoded: engine.decode(whole).unwrap_or_default(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(job: &str, labels: &str) -> Result<String, PathError> {
        grouping(JobEncoding::Plain, job, labels, Names::Legacy, EmptyLabels::Kept)
            .map(|g| g.key().to_owned())
    }

    #[test]
    fn labels_of_a_path() {
        for (labels, expected) in [
            ("", r#"{job="j"}"#),
            ("/", r#"{job="j"}"#),
            ("/a/b", r#"{a="b",job="j"}"#),
            ("/a/", r#"{a="",job="j"}"#),
            ("/a/x%2Fy", r#"{a="x/y",job="j"}"#),
            ("/a/b+c", r#"{a="b+c",job="j"}"#),
            ("/job/other", r#"{job="j"}"#),
            ("/a/1/a/2", r#"{a="2",job="j"}"#),
            ("/a@base64/L3Zhci90bXA", r#"{a="/var/tmp",job="j"}"#),
            ("/a%40base64/YR", r#"{a="a",job="j"}"#),
            ("/a@base64/=", r#"{a="",job="j"}"#),
            ("/a@base64/", r#"{a="",job="j"}"#),
            ("/a//b/v", r#"{a="",b="v",job="j"}"#),
            ("/a//b//c/", r#"{a="",b="",c="",job="j"}"#),
            ("/a@base64//b/v", r#"{a="",b="v",job="j"}"#),
        ] {
            assert_eq!(key("j", labels).as_deref(), Ok(expected), "{labels}");
        }
    }

    #[test]
    fn errors_in_the_words_of_the_stock_gateway() {
        for (labels, message) in [
            ("/b/c/", r#"odd number of components in label string "/b/c/""#),
            ("/l-l/x", r#"improper label name "l-l""#),
            ("/__name__/x", r#"improper label name "__name__""#),
            ("/l@base64@base64/x", r#"improper label name "l@base64""#),
            (
                "/l@base64/ab+_",
                r#"invalid base64 encoding for label l="ab+_": illegal base64 data at input byte 2"#,
            ),
            ("/a/%ff", r#"the value of label a is not UTF-8: "\xff""#),
        ] {
            assert_eq!(key("j", labels).map_err(|e| e.to_string()), Err(message.to_owned()));
        }
        assert_eq!(key("", "/a/b"), Err(PathError::NoJob));
        let job = grouping(JobEncoding::Base64, "!!!", "", Names::Legacy, EmptyLabels::Kept)
            .map_err(|e| e.to_string());
        let message = r#"invalid base64 encoding in job name "": illegal base64 data at input byte 0"#;
        assert_eq!(job.err().as_deref(), Some(message));
    }

    #[test]
    fn what_to_do_about_empty_components_is_said() {
        let said = |job: &str, labels: &str| {
            let error =
                grouping(JobEncoding::Plain, job, labels, Names::Legacy, EmptyLabels::Kept).unwrap_err();
            explained(&error, "/p", JobEncoding::Plain, job, labels)
        };
        let components = "odd number of components in label string";
        let pairs = "each label is /LABEL/VALUE, and only a value may be empty: /LABEL//, or /LABEL@base64/=";
        for (job, labels, words) in [
            ("", "", "job name is required: write /p/metrics/job/NAME".to_owned()),
            (
                "",
                "/x",
                format!("{components} \"/x\": the job is empty: write /p/metrics/job/NAME/LABEL/VALUE"),
            ),
            ("j", "//b/c", format!("{components} \"//b/c\": {pairs}")),
            ("j", "/b//", format!("{components} \"/b//\": {pairs}, or at the end /LABEL/")),
            ("j", "//b", format!("improper label name \"\": {pairs}")),
            ("j", "/a/b//c", format!("improper label name \"\": {pairs}")),
            ("j", "/b", format!("{components} \"/b\"")),
            ("j", "/b/c/", format!("{components} \"/b/c/\"")),
        ] {
            assert_eq!(said(job, labels), words);
        }
        let error = grouping(JobEncoding::Base64, "=", "", Names::Legacy, EmptyLabels::Kept).unwrap_err();
        assert_eq!(explained(&error, "", JobEncoding::Base64, "=", ""), "job name is required");
    }

    #[test]
    fn paths_without_a_job_have_the_default_one() {
        let group = |labels| {
            group(JobEncoding::Missing, "", labels, "default", Names::Legacy, EmptyLabels::Absent)
                .map(|group| (group.grouping.key().to_owned(), group.has_default_job))
        };
        for (labels, key, has_default_job) in [
            ("", r#"{job="default"}"#, true),
            ("/", r#"{job="default"}"#, true),
            ("/domain/a", r#"{domain="a",job="default"}"#, true),
            ("/domain/a/", r#"{domain="a",job="default"}"#, true),
            ("/domain/", r#"{job="default"}"#, true),
            ("/domain/a/job/b", r#"{domain="a",job="b"}"#, false),
            ("/domain/a/job@base64/Yg", r#"{domain="a",job="b"}"#, false),
        ] {
            assert_eq!(group(labels), Ok((key.to_owned(), has_default_job)), "{labels}");
        }
        let said = |labels| explained(&group(labels).unwrap_err(), "/p", JobEncoding::Missing, "", labels);
        let advice = "write /p/metrics/LABEL/VALUE, or /p/metrics/job/NAME/LABEL/VALUE";
        let odd = "odd number of components in label string";
        assert_eq!(said("/a"), format!("{odd} \"/a\": {advice}"));
        for path in ["/domain/a/job/", "/job@base64/=/domain/a"] {
            assert_eq!(said(path), format!("job name is required: {advice}"));
        }
        assert_eq!(said("/a-b/c"), "improper label name \"a-b\"");
    }

    #[test]
    fn utf8_names() {
        let key = |labels| {
            grouping(JobEncoding::Plain, "j", labels, Names::Utf8, EmptyLabels::Kept)
                .map(|g| g.key().to_owned())
        };
        assert_eq!(key("/U__foo_2e_bar@base64/YQ").as_deref(), Ok(r#"{"foo.bar"="a",job="j"}"#));
        assert_eq!(key("/foo.bar/a").as_deref(), Ok(r#"{"foo.bar"="a",job="j"}"#));
        for labels in ["/U__/x", "/U______name____/x", "/%ff/x"] {
            assert!(key(labels).is_err(), "{labels}");
        }
    }

    #[test]
    fn cleaning() {
        assert_eq!(clean("/a//b/./c/../d/"), "/a/b/d/");
        assert_eq!(clean("/a/%2F%2F/%2e%2e"), "/a/%2F%2F/%2e%2e");
        assert_eq!(clean("/.."), "/");
    }
}
