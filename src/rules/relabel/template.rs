//! Replacements: texts into which what a pattern matched is put, as Go's `Regexp.Expand` has them.

use std::sync::LazyLock;

use regex::Regex;

use crate::model::limits::MAX_RELABELLED_BYTES;
use crate::rules::pattern::Pattern;

/// A text with the groups of a pattern: `$1`, `${1}`, `$name`, `${name}`; `$$` is a dollar sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// The first of these groups that matched something.
    Groups(Box<[usize]>),
}

/// What Go takes for a name behind a dollar sign.
#[allow(clippy::unwrap_used, reason = "the expression is a constant, and a test uses it")]
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[\pL\p{Nd}_]+").unwrap());

impl Template {
    /// Reads a template for a pattern. Groups that it does not have are empty.
    pub(in crate::rules) fn new(text: &str, pattern: &Pattern) -> Template {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let Some((name, after)) = name(after) else {
                literal.push('$');
                rest = after;
                continue;
            };
            rest = after;
            let groups: Box<[usize]> = match number(name) {
                Some(number) => [number].into(),
                None => pattern.groups(name).collect(),
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Groups(groups));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Template { parts: parts.into() }
    }

    /// The text for what the pattern matches in `text`. `None` if it does not match.
    pub(in crate::rules) fn expand(&self, pattern: &Pattern, text: &str) -> Option<String> {
        let is_constant = self.parts.iter().all(|part| matches!(part, Part::Text(_)));
        if is_constant || pattern.is_anything() {
            let whole = |number: usize| (number < 2).then_some(text);
            return pattern.is_match(text).then(|| self.filled(whole));
        }
        let captures = pattern.captures(text)?;
        Some(self.filled(|number| captures.get(number).map(|group| group.as_str())))
    }

    fn filled<'t>(&self, group: impl Fn(usize) -> Option<&'t str>) -> String {
        let mut filled = String::new();
        for part in &self.parts {
            // Whoever sets more than this goes no further.
            if filled.len() > MAX_RELABELLED_BYTES {
                break;
            }
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Groups(numbers) => {
                    filled.push_str(numbers.iter().find_map(|number| group(*number)).unwrap_or_default());
                }
            }
        }
        filled
    }
}

/// The name behind a dollar sign, in braces or not, and what follows it.
fn name(after: &str) -> Option<(&str, &str)> {
    let in_braces = after.strip_prefix('{');
    let text = in_braces.unwrap_or(after);
    let (name, rest) = text.split_at(NAME.find(text)?.end());
    match in_braces {
        Some(_) => Some((name, rest.strip_prefix('}')?)),
        None => Some((name, rest)),
    }
}

/// The number that a name is, if it is one.
fn number(name: &str) -> Option<usize> {
    let is_number =
        name.bytes().all(|byte| byte.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
    // Go does not read larger ones, and then looks for a group of that name.
    if is_number && name.len() <= 8 { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_expands() {
        let pattern = Pattern::new(r"(?P<first>a+)(b)?(?:c)(?<_2>d*)").unwrap();
        for (template, expected) in [
            ("", ""),
            ("x", "x"),
            ("$0", "aacd"),
            ("$1", "aa"),
            ("[$2]", "[]"),
            ("$3", "d"),
            ("$4", ""),
            ("$1x", ""),
            ("${1}x", "aax"),
            ("$first-$1", "aa-aa"),
            ("${first}${_2}", "aad"),
            ("$firsts", ""),
            ("$$1", "$1"),
            ("$$$1", "$aa"),
            ("$", "$"),
            ("a$", "a$"),
            ("$-", "$-"),
            ("${}", "${}"),
            ("${1", "${1"),
            ("${1 }", "${1 }"),
            ("${1}}", "aa}"),
            ("$1$3", "aad"),
            ("$1ä", ""),
            ("$01", ""),
            ("$999999999", ""),
            ("€$1€", "€aa€"),
        ] {
            assert_eq!(
                Template::new(template, &pattern).expand(&pattern, "aacd").unwrap(),
                expected,
                "{template}"
            );
        }
        assert_eq!(Template::new("x", &pattern).expand(&pattern, "b"), None);
        let either = Pattern::new("(?P<x>a)|(?P<x>b)").unwrap();
        assert_eq!(Template::new("<$x>", &either).expand(&either, "b").unwrap(), "<b>");
        let anything = Pattern::new("(.*)").unwrap();
        assert_eq!(Template::new("$0-$1-$2", &anything).expand(&anything, "a\nb").unwrap(), "a\nb-a\nb-");
    }
}
