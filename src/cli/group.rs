//! The group that a command pushes to or deletes, as the path of a request.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;

use crate::message::Excerpt;
use crate::model::escaping::escape_values;
use crate::model::name::{is_legacy_label_name, is_unusable_label_name};

/// The flags that name a group.
#[derive(Args, Clone, Debug)]
pub struct GroupArguments {
    /// The job of the group
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub job: String,
    /// Another label of the group; can be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair, allow_hyphen_values = true)]
    pub labels: Vec<(String, String)>,
}

/// Splits a label into its name and the value behind the first `=`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no = in it")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A group of the gateway.
///
/// ```
/// use tallygate::cli::group::Group;
///
/// let group = Group::new("backup", &[("db".to_owned(), "a/b".to_owned())]).unwrap();
/// assert_eq!(group.path(), "/metrics/job/backup/db@base64/YS9i");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    path: String,
}

/// Why a job and labels do not name a group.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The job is empty.
    #[error("--job is empty, but every group has a job")]
    NoJob,
    /// The job is given as a label.
    #[error("--label job: the job is given with --job")]
    JobAsLabel,
    /// The name of a label is not allowed.
    #[error(
        "--label {0:?}: no label can have this name, which is empty, reserved (__), or has a NUL character"
    )]
    Name(Excerpt),
    /// A label is given twice.
    #[error("--label {0} is given twice")]
    Repeated(Excerpt),
}

impl Group {
    /// The group of this job and these other labels, in any order. Values can be anything.
    ///
    /// # Errors
    ///
    /// If the job is empty, or a label has a name that is not allowed or is given twice.
    pub fn new(job: &str, labels: &[(String, String)]) -> Result<Group, GroupError> {
        if job.is_empty() {
            return Err(GroupError::NoJob);
        }
        let mut path = format!("/metrics/{}", component("job", job));
        let mut seen = BTreeSet::new();
        for (name, value) in labels {
            if name == "job" {
                return Err(GroupError::JobAsLabel);
            }
            if is_unusable_label_name(name) {
                return Err(GroupError::Name(Excerpt::of(name)));
            }
            if !seen.insert(name) {
                return Err(GroupError::Repeated(Excerpt::of(name)));
            }
            path.push('/');
            // The escaping is client_golang's. A gateway without --push.enable-utf8-names keeps the escaped name.
            let escaped = (!is_legacy_label_name(name)).then(|| escape_values(name));
            path.push_str(&component(escaped.as_ref().unwrap_or(name), value));
        }
        Ok(Group { path })
    }

    /// The path of the group below the URL of the gateway.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Name and value in a path. A value with special characters goes in base64, which no proxy misinterprets.
fn component(name: &str, value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    match value {
        // `=` is base64 for an empty value. The stock gateway reads it so, too.
        "" => format!("{name}@base64/="),
        "." | ".." => encoded(name, value),
        _ if value.bytes().all(is_plain) => format!("{name}/{value}"),
        _ => encoded(name, value),
    }
}

fn encoded(name: &str, value: &str) -> String {
    format!("{name}@base64/{}", URL_SAFE_NO_PAD.encode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(job: &str, labels: &[(&str, &str)]) -> Result<String, GroupError> {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Group::new(job, &labels).map(|group| group.path)
    }

    #[test]
    fn paths() {
        assert_eq!(path("a", &[]).unwrap(), "/metrics/job/a");
        assert_eq!(path("a b", &[]).unwrap(), "/metrics/job@base64/YSBi");
        assert_eq!(
            path("a", &[("b", "x-1.~_"), ("e", ""), ("c", ".."), ("d", "/?#%")]).unwrap(),
            "/metrics/job/a/b/x-1.~_/e@base64/=/c@base64/Li4/d@base64/Lz8jJQ"
        );
        assert_eq!(path("a", &[("b.c", "1")]).unwrap(), "/metrics/job/a/U__b_2e_c/1");
    }

    #[test]
    fn what_is_no_group() {
        assert_eq!(path("", &[]), Err(GroupError::NoJob));
        assert_eq!(path("a", &[("job", "b")]), Err(GroupError::JobAsLabel));
        for name in ["", "__x", "a\0"] {
            assert_eq!(path("a", &[(name, "b")]), Err(GroupError::Name(Excerpt::of(name))));
        }
        assert_eq!(path("a", &[("b", "1"), ("b", "2")]), Err(GroupError::Repeated(Excerpt::of("b"))));
    }
}
