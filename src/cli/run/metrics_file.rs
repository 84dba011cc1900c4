//! The file to which a program writes metrics of its own.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

use crate::config::regular::{self, Links};

/// A file may be as large as the largest body that a gateway accepts by default.
const MOST_BYTES: u64 = 64 << 20;

/// A file for metrics. A temporary one is removed when this is dropped.
#[derive(Debug)]
pub(super) struct MetricsFile {
    path: PathBuf,
    is_temporary: bool,
}

/// The metrics that a program has added.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) text: String,
    /// Whether the text is OpenMetrics, with `# EOF`.
    pub(super) is_openmetrics: bool,
}

impl Added {
    /// The command's own metrics and these, as one body.
    pub(super) fn behind(&self, own: &str) -> String {
        match self.is_openmetrics {
            // In OpenMetrics the TYPE and HELP of a counter lack `_total`.
            true => format!(
                "{}{}",
                own.replace("runs_total counter\n", "runs counter\n").replace("runs_total Runs", "runs Runs"),
                self.text
            ),
            false => format!("{own}{}", self.text),
        }
    }
}

impl MetricsFile {
    /// Creates an empty file at this path, or else a temporary one that nobody else can read.
    pub(super) fn new(path: Option<&Path>) -> io::Result<MetricsFile> {
        if let Some(path) = path {
            let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
            // The program may change its working directory.
            let path = std::path::absolute(path).map_err(named)?;
            OpenOptions::new().write(true).create(true).truncate(true).open(&path).map_err(named)?;
            return Ok(MetricsFile { path, is_temporary: false });
        }
        let mut bytes = [0; 16];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let folder = std::env::temp_dir();
        let path = folder.join(format!("tallygate-run-{:032x}", u128::from_ne_bytes(bytes)));
        let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(named)?;
        Ok(MetricsFile { path, is_temporary: true })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the metrics.
    pub(super) fn take(self) -> Added {
        let read = || {
            let file = regular::open(&self.path, OpenOptions::new().read(true), Links::Followed)?;
            read(file)
        };
        read().map_or_else(
            |error| {
                super::say(format_args!(
                    "the metrics that the program added were left out: {}: {error}",
                    self.path.display()
                ));
                Added::default()
            },
            |text| arranged(&text),
        )
    }
}

impl Drop for MetricsFile {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn read(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("it has more than {MOST_BYTES} bytes")));
    }
    Ok(text)
}

/// Arranges lines in any order as a body. The lines of a metric come together, and of each series only the last stays. A
/// metric without a type is a counter if its name ends in `_total`, else a gauge. Lines that can't be read stay as they
/// are, so that the gateway says what is wrong with them.
fn arranged(text: &str) -> Added {
    if text.lines().any(|line| line.trim_end() == "# EOF") {
        return Added { text: text.to_owned(), is_openmetrics: true };
    }
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut rest = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let parsed = Line::of(line);
        let name = match parsed {
            Line::Type(name) | Line::Help(name) => name,
            Line::Sample { name, .. } => family_of(name, &places),
            Line::Other => {
                rest.extend([line, "\n"]);
                continue;
            }
        };
        let at = *places.entry(name).or_insert_with(|| {
            families.push(Family { name, ..Family::default() });
            families.len() - 1
        });
        families[at].add(line, parsed);
    }
    let text = families.iter().map(Family::text).collect::<String>() + &rest;
    Added { text, is_openmetrics: false }
}

/// A line of the text format.
#[derive(Clone, Copy)]
enum Line<'a> {
    Type(&'a str),
    Help(&'a str),
    /// A sample, with the name of the metric alone and with its labels.
    Sample {
        name: &'a str,
        series: &'a str,
    },
    Other,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Line<'a> {
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.split_whitespace();
            return match (words.next(), words.next()) {
                (Some("TYPE"), Some(name)) => Line::Type(name),
                (Some("HELP"), Some(name)) => Line::Help(name),
                // A comment, or a TYPE or HELP without a name. Its place does not matter.
                _ => Line::Other,
            };
        }
        let name_ends = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
        let name = &line[..name_ends];
        if name.is_empty() {
            return Line::Other;
        }
        Line::Sample { name, series: series(line, name_ends) }
    }
}

/// The part of a line that names the series.
fn series(line: &str, name_ends: usize) -> &str {
    if !line[name_ends..].starts_with('{') {
        return &line[..name_ends];
    }
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate().skip(name_ends) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return &line[..=at],
            _ => {}
        }
    }
    line
}

/// The family of a sample. A name with `_bucket`, `_sum` or `_count` belongs to a family that came before.
fn family_of<'a>(name: &'a str, known: &HashMap<&'a str, usize>) -> &'a str {
    let whole = ["_bucket", "_sum", "_count"].into_iter().find_map(|part| name.strip_suffix(part));
    whole.filter(|whole| known.contains_key(whole)).unwrap_or(name)
}

#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    help: Option<&'a str>,
    kind: Option<&'a str>,
    samples: Vec<(&'a str, &'a str)>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Family<'a> {
    fn add(&mut self, line: &'a str, parsed: Line<'a>) {
        match parsed {
            Line::Type(_) => self.kind = Some(line),
            Line::Help(_) => self.help = Some(line),
            Line::Sample { series, .. } => match self.places.get(series) {
                Some(at) => self.samples[*at].1 = line,
                None => {
                    self.places.insert(series, self.samples.len());
                    self.samples.push((series, line));
                }
            },
            Line::Other => {}
        }
    }

    fn text(&self) -> String {
        let guess = if self.name.ends_with("_total") { "counter" } else { "gauge" };
        let kind = self.kind.map_or_else(|| format!("# TYPE {} {guess}", self.name), str::to_owned);
        let lines =
            self.help.into_iter().chain([kind.as_str()]).chain(self.samples.iter().map(|(_, line)| *line));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_any_order_become_a_body() {
        let text = "rows_total 1\nsize_bytes{table=\"a}\\\"\"} 5\n\n  rows_total 12  \nsize_bytes{table=\"b\"} 6\n\
                    size_bytes{table=\"a}\\\"\"} 7";
        assert_eq!(
            arranged(text).text,
            "# TYPE rows_total counter\nrows_total 12\n# TYPE size_bytes gauge\nsize_bytes{table=\"a}\\\"\"} 7\n\
             size_bytes{table=\"b\"} 6\n"
        );
    }

    #[test]
    fn what_is_announced_stays_what_it_is() {
        let text =
            "# HELP h Help.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\nother_sum 1\n";
        assert_eq!(arranged(text).text, text.replace("other_sum", "# TYPE other_sum gauge\nother_sum"));
    }

    #[test]
    fn openmetrics_is_left_as_it_is() {
        let text = "# TYPE a counter\na_total 1\n# EOF\n";
        assert_eq!(arranged(text), Added { text: text.to_owned(), is_openmetrics: true });
    }

    #[test]
    fn what_can_not_be_read_is_left_to_the_gateway() {
        assert_eq!(arranged("{ 1\n# a comment\n").text, "{ 1\n# a comment\n");
        assert_eq!(arranged(""), Added::default());
    }
}
