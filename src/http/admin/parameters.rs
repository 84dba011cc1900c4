//! What a deletion by selector is asked to delete.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::http::api::key_of;
use crate::http::path::decode;
use crate::message::Excerpt;
use crate::rules::selector::{METRIC_NAME, Selector, SelectorError};
use crate::store::deletion::DeletionFilter;

/// A deletion has at most so many selectors, as each is tried on each group.
const MOST_SELECTORS: usize = 64;

/// A deletion names at most so many groups.
const MOST_IDS: usize = 10_000;

/// The parameters of a deletion.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) filter: DeletionFilter,
    /// All of them but `dry_run`: one text for each set of them.
    pub(super) text: String,
    pub(super) is_dry_run: bool,
}

/// Parameters that can't be used. What deletes must not overlook one.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadParameters {
    #[error("a percent sign in {:?} is not followed by two hexadecimal digits, or it is no UTF-8", Excerpt::of(.0))]
    Encoding(String),
    #[error("unknown parameter {:?}: expected match[], group[], id[] or dry_run", Excerpt::of(.0))]
    Unknown(String),
    #[error("no match[], group[] or id[] parameter provided")]
    Nothing,
    #[error("invalid parameter {name:?}: {:?}: {problem}", Excerpt::of(.text))]
    Selector { name: &'static str, text: String, problem: SelectorError },
    #[error("invalid parameter \"group[]\": {:?}: a group has no {METRIC_NAME}; use match[]", Excerpt::of(.0))]
    MetricName(String),
    #[error("invalid parameter \"id[]\": {:?} is no id of a group", Excerpt::of(.0))]
    Id(String),
    #[error("invalid parameter \"dry_run\": {:?} is neither true nor false", Excerpt::of(.0))]
    DryRun(String),
    #[error("invalid parameter \"dry_run\": it is there more than once")]
    DryRunTwice,
    #[error("more than {MOST_SELECTORS} selectors, or {MOST_IDS} ids, in one deletion")]
    TooMany,
}

impl Parameters {
    /// The parameters in the query and in a form.
    pub(super) fn of(query: &str, form: &str) -> Result<Parameters, BadParameters> {
        let mut parameters = Parameters::default();
        let mut dry_run = None;
        for pair in query.split('&').chain(form.split('&')).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if name == "dry_run" {
                let is_dry = value.parse().map_err(|_| BadParameters::DryRun(value))?;
                if dry_run.replace(is_dry).is_some() {
                    return Err(BadParameters::DryRunTwice);
                }
                continue;
            }
            let separator = if parameters.text.is_empty() { "" } else { " " };
            // Quoted, so that no value looks like another parameter.
            let _ = write!(parameters.text, "{separator}{name}={value:?}");
            parameters.add(name, value)?;
        }
        let filter = &parameters.filter;
        if filter.series.is_empty() && filter.groups.is_empty() && filter.keys.is_empty() {
            return Err(BadParameters::Nothing);
        }
        parameters.is_dry_run = dry_run.unwrap_or(false);
        Ok(parameters)
    }

    fn add(&mut self, name: String, value: String) -> Result<(), BadParameters> {
        let filter = &mut self.filter;
        let parse = |name, text: String| {
            Selector::parse(&text).map_err(|problem| BadParameters::Selector { name, text, problem })
        };
        match &*name {
            "match[]" => filter.series.push(parse("match[]", value)?),
            "group[]" => {
                let selector = parse("group[]", value.clone())?;
                if selector.matchers().iter().any(|matcher| matcher.name() == METRIC_NAME) {
                    return Err(BadParameters::MetricName(value));
                }
                filter.groups.push(selector);
            }
            "id[]" => match key_of(&value) {
                Some(key) => _ = filter.keys.insert(key.into()),
                None => return Err(BadParameters::Id(value)),
            },
            _ => return Err(BadParameters::Unknown(name)),
        }
        let are_too_many =
            filter.series.len() + filter.groups.len() > MOST_SELECTORS || filter.keys.len() > MOST_IDS;
        if are_too_many { Err(BadParameters::TooMany) } else { Ok(()) }
    }
}

/// A name or value as a form or query has it.
fn decoded(text: &str) -> Result<String, BadParameters> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let decoded = decode(&spaced).and_then(|bytes| String::from_utf8(bytes.into_owned()).ok());
    decoded.ok_or_else(|| BadParameters::Encoding(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_and_form_are_one() {
        let parameters =
            Parameters::of("match[]=a&group[]={job%3D%22x+y%22}&", "&id[]=e30&match%5B%5D=b").unwrap();
        let DeletionFilter { series, groups, keys } = &parameters.filter;
        assert_eq!((series.len(), groups.len(), keys.len()), (2, 1, 1));
        assert!(groups[0].matchers()[0].matches("x y") && keys.contains("{}"));
        assert!(!parameters.is_dry_run);
        assert_eq!(parameters.text, r#"match[]="a" group[]="{job=\"x y\"}" id[]="e30" match[]="b""#);
        for (query, is_dry_run) in [("dry_run=true&id[]=e30", true), ("id[]=e30&dry_run=false", false)] {
            let parameters = Parameters::of(query, "").unwrap();
            assert_eq!((parameters.is_dry_run, &*parameters.text), (is_dry_run, r#"id[]="e30""#));
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (query, said) in [
            ("", "no match[], group[] or id[] parameter provided"),
            ("dry_run=true", "no match[], group[] or id[] parameter provided"),
            ("match=a", r#"unknown parameter "match": expected match[], group[], id[] or dry_run"#),
            (
                "match[]=a&dryrun=true",
                r#"unknown parameter "dryrun": expected match[], group[], id[] or dry_run"#,
            ),
            ("match[]=a&dry_run=yes", r#"invalid parameter "dry_run": "yes" is neither true nor false"#),
            ("match[]=a&dry_run", r#"invalid parameter "dry_run": "" is neither true nor false"#),
            (
                "match[]=a&dry_run=true&dry_run=true",
                r#"invalid parameter "dry_run": it is there more than once"#,
            ),
            ("id[]=e30=", r#"invalid parameter "id[]": "e30=" is no id of a group"#),
            ("group[]=up", r#"invalid parameter "group[]": "up": a group has no __name__; use match[]"#),
        ] {
            assert_eq!(Parameters::of(query, "").unwrap_err().to_string(), said, "{query}");
        }
        for (query, said) in [
            ("match[]=%zz", "a percent sign in \"%zz\" is"),
            ("match[]=%ff", "a percent sign in \"%ff\" is"),
            ("match[]={}", "invalid parameter \"match[]\": \"{}\": "),
            ("group[]={job=~\".*\"}", "invalid parameter \"group[]\": \"{job=~\\\".*\\\"}\": "),
        ] {
            let error = Parameters::of("match[]=a", query).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let many = |parameter: &str, count: usize| vec![parameter; count].join("&");
        assert!(Parameters::of(&many("match[]=a", MOST_SELECTORS), "").is_ok());
        assert!(Parameters::of(&many("match[]=a", MOST_SELECTORS), "group[]={job=\"a\"}").is_err());
    }
}
