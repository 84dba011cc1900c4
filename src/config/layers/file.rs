//! Reads the TOML file, and finds the line and column of an error.

use std::ops::Range;
use std::path::Path;

use config::{ConfigError as LayerError, FileFormat, FileSourceString, Map, Source, Value};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::error::{ConfigError, Problem};
use crate::config::rules::RuleFile;
use crate::config::settings::Config;
use crate::config::{hidden, regular, settings};

/// The lists of the file that are rules. Everything else is a table of settings.
const RULES: [&str; 2] = ["groups", "metrics"];

/// The text of the file and its rules, after a check that it holds settings and rules and nothing else.
pub(super) fn read_strictly(path: &str) -> Result<(String, RuleFile), ConfigError> {
    let text = regular::read_any_text(Path::new(path))
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let (_, rules) = parse(&text).map_err(|error| {
        located(path, &text, &error.span().unwrap_or_default(), &error.message().replace('\n', ", "))
    })?;
    if let Some(span) = DeTable::parse(&text).ok().and_then(|table| too_large(table.get_ref())) {
        let message = format!("the number is too large, expected at most {}", i64::MAX);
        return Err(located(path, &text, &span, &message));
    }
    let fingerprint = sha256(text.as_bytes());
    Ok((text, RuleFile { path: path.to_owned(), fingerprint, ..rules }))
}

/// The SHA-256 hash in hexadecimal digits, as `sha256sum` prints it.
fn sha256(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a number is that TOML allows to be refused, which readers then refuse without a place.
fn too_large(table: &DeTable<'_>) -> Option<Range<usize>> {
    table.iter().find_map(|(_, value)| too_large_in(value))
}

fn too_large_in(value: &Spanned<DeValue<'_>>) -> Option<Range<usize>> {
    match value.get_ref() {
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).is_err().then(|| value.span())
        }
        DeValue::Array(items) => items.iter().find_map(too_large_in),
        DeValue::Table(table) => too_large(table),
        _ => None,
    }
}

/// The settings and the rules of a text.
pub(super) fn parse(text: &str) -> Result<(Config, RuleFile), toml::de::Error> {
    let mut settings = DeTable::parse(text)?;
    let lists = RULES.into_iter().filter_map(|list| settings.get_mut().remove_entry(list));
    let rules = Spanned::new(0..text.len(), lists.collect::<DeTable<'_>>());
    let settings = Config::deserialize(Deserializer::from(settings))?;
    let mut rules = RuleFile::deserialize(Deserializer::from(rules))?;
    rules.locate(text);
    Ok((settings, rules))
}

/// The settings of a text, without its rules, which `config` would lose the places of.
#[derive(Clone, Debug)]
pub(super) struct Settings(config::File<FileSourceString, FileFormat>);

impl Settings {
    pub(super) fn of(text: &str) -> Settings {
        Settings(config::File::from_str(text, FileFormat::Toml))
    }
}

impl Source for Settings {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, LayerError> {
        let mut settings = self.0.collect()?;
        settings.retain(|key, _| !RULES.contains(&key.as_str()));
        Ok(settings)
    }
}

/// The error for what is at `span`, with line, column and key.
fn located(path: &str, text: &str, span: &Range<usize>, message: &str) -> ConfigError {
    let table = DeTable::parse(text).ok();
    let key = table.and_then(|table| key_at(table.get_ref(), span)).unwrap_or_default();
    if hidden::is_hidden(&key) {
        let key = hidden::known_part(&key).to_owned();
        return file_error(path, text, span.start, key, hidden::without_value(message));
    }
    file_error(path, text, span.start, key, message.to_owned())
}

/// The error for a problem: with line and column if the file has the setting.
pub(super) fn placed(path: &str, text: &str, problem: Problem) -> ConfigError {
    let table = DeTable::parse(text).ok();
    match table.and_then(|table| value_position(table.get_ref(), problem.key)) {
        Some(position) => file_error(path, text, position, problem.key.to_owned(), problem.message),
        None => ConfigError::Setting(problem),
    }
}

fn file_error(path: &str, text: &str, position: usize, key: String, message: String) -> ConfigError {
    let before = text.get(..position).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |position| position + 1);
    ConfigError::File {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        key,
        message,
    }
}

/// Where the value of a dotted key begins.
fn value_position(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    let (_, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => value_position(inner, rest),
        _ => Some(value.span().start),
    }
}

/// The settings that the file has, with the line of each.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&'static str, usize)> {
    let table = DeTable::parse(text).ok();
    let position = |key: &str| value_position(table.as_ref()?.get_ref(), key);
    let found: Vec<_> = settings::KEYS.iter().filter_map(|key| Some((*key, position(key)?))).collect();
    let breaks: Vec<usize> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
    found.into_iter().map(move |(key, at)| (key, breaks.partition_point(|end| *end < at) + 1))
}

/// The dotted key whose name or value is at `span`, down to the deepest table.
fn key_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, span),
            DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
                DeValue::Table(inner) => key_at(inner, span),
                _ => None,
            }),
            _ => None,
        };
        let here = || [key.span(), value.span()].iter().any(|own| own.contains(&span.start));
        match inner {
            Some(rest) => Some(format!("{}.{rest}", key.get_ref())),
            None if here() => Some(key.get_ref().to_string()),
            None => None,
        }
    })
}
