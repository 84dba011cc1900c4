//! Parses the text format in tests: single samples, the pushed part, and whether it is valid.

use std::collections::{HashMap, HashSet};

/// The value of exactly this series in an exposition.
pub(crate) fn sample(exposition: &str, series: &str) -> Option<f64> {
    exposition
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{series} has the value {value:?}")))
}

/// The lines of a scrape without the gateway's own metrics. A pushed series with such a name has a `job` and stays.
pub(crate) fn pushed_lines(exposition: &str) -> Vec<String> {
    const OWN: [&str; 5] = ["go_", "process_", "promhttp_", "pushgateway_", "tallygate_"];
    exposition
        .lines()
        .filter(|line| {
            let comment = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
            let own = OWN.iter().any(|prefix| comment.unwrap_or(line).starts_with(prefix));
            !own || (comment.is_none() && line.contains("job=\""))
        })
        .map(str::to_owned)
        .collect()
}

/// Fails unless the text is valid in the text format and a Prometheus scraper would read it without errors.
#[track_caller]
pub(crate) fn assert_valid_exposition(text: &str) {
    if let Err(problem) = check_exposition(text) {
        panic!("{problem} in\n{}", pushed_lines(text).join("\n"));
    }
}

fn check_exposition(text: &str) -> Result<(), String> {
    let mut types = HashMap::new();
    let mut series = HashSet::new();
    let mut finished = HashSet::new();
    let mut family = String::new();
    // The labels except le, and the bound and count of the bucket before.
    let mut last_bucket: Option<(String, f64, f64)> = None;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("no line feed at the end".to_owned());
    }
    for line in text.lines() {
        let comment = line.strip_prefix("# TYPE ").or_else(|| line.strip_prefix("# HELP "));
        let (name, labels, value) = match comment {
            Some(rest) => (rest.split(' ').next().unwrap_or_default(), Vec::new(), 0.0),
            None => parse_sample(line).ok_or_else(|| format!("no sample: {line:?}"))?,
        };
        let belongs = name == family
            || (matches!(types.get(&family).map(String::as_str), Some("histogram" | "summary"))
                && name
                    .strip_prefix(&family)
                    .is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end)));
        if !belongs {
            if !finished.insert(name.to_owned()) {
                return Err(format!("the family {name} comes twice"));
            }
            name.clone_into(&mut family);
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let kind = rest.rsplit(' ').next().unwrap_or_default().to_owned();
            if types.insert(family.clone(), kind).is_some() {
                return Err(format!("a second TYPE of {family}"));
            }
        }
        if comment.is_some() {
            continue;
        }
        let mut names: Vec<_> = labels.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        if names.len() != labels.len() {
            return Err(format!("a label comes twice: {line:?}"));
        }
        let mut sorted = labels.clone();
        sorted.sort();
        if !series.insert((name.to_owned(), sorted)) {
            return Err(format!("a second sample: {line:?}"));
        }
        if types.get(&family).is_some_and(|kind| kind == "histogram") && name.ends_with("_bucket") {
            let bound =
                labels.iter().find(|(name, _)| name == "le").and_then(|(_, bound)| bound.parse().ok());
            let bound: f64 = bound.ok_or_else(|| format!("no bound: {line:?}"))?;
            let others = labels.iter().filter(|(name, _)| name != "le").collect::<Vec<_>>();
            let others = format!("{name}{others:?}");
            if let Some((labels, last_bound, last_value)) = &last_bucket
                && *labels == others
                && (bound <= *last_bound || value < *last_value)
            {
                return Err(format!("a bucket out of order: {line:?}"));
            }
            last_bucket = Some((others, bound, value));
        }
    }
    Ok(())
}

/// Label names and unescaped values, in their order.
type Labels = Vec<(String, String)>;

/// Name, labels and value of a sample line.
fn parse_sample(line: &str) -> Option<(&str, Labels, f64)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = line.find(|c| !is_name(c))?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            if label.is_empty() || !label.chars().all(|c| is_name(c) && c != ':') {
                return None;
            }
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        _ => return None,
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &after[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    Some((name, labels, rest.strip_prefix(' ')?.parse().ok()?))
}
