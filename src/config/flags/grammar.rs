//! Splits a command line into flags as kingpin, the stock gateway's flag library, does.
//!
//! Knows how flags are spelt, negated, given values and read from `@file`s; `flags` checks the values. clap can't read
//! this grammar (no `--no-…` that counts as a repetition, no `@file`s, other messages), so it is not used.

use std::collections::VecDeque;
use std::path::Path;

use thiserror::Error;

use crate::config::flag::{Flag, Kind};
use crate::config::regular;

/// An `@file` may name further ones. More than this many means that they name each other.
const MOST_FILES: usize = 100;

/// A flag that was given, with its value; switches have `true` or `false`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) flag: &'static Flag,
    pub(super) value: String,
}

/// Why a command line can't be split into flags, with kingpin's messages.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum GrammarError {
    /// A positional argument; there are none.
    #[error("unexpected {0}")]
    Unexpected(String),
    /// `--name` is not a flag.
    #[error("unknown long flag '--{0}'")]
    UnknownLong(String),
    /// `-x` is not a flag.
    #[error("unknown short flag '-{0}'")]
    UnknownShort(String),
    /// A flag that needs a value and has none.
    #[error("expected argument for flag '--{0}'")]
    ExpectedArgument(String),
    /// `@` alone.
    #[error("expected @ file to expand arguments from")]
    ExpectedFile,
    /// `@file` can't be read.
    #[error("failed to read arguments file {0:?}: {1}")]
    UnreadableFile(String, String),
    /// `@file`s name each other.
    #[error("more than {MOST_FILES} arguments files, do they name each other?")]
    TooManyFiles,
}

/// The flags up to the first error, and the error.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) given: Vec<Given>,
    pub(super) error: Option<GrammarError>,
}

/// Reads arguments (without the program's name) against the table of flags.
pub(super) fn parse(table: &'static [Flag], arguments: Vec<String>) -> Parsed {
    let mut words = Words { rest: arguments.into(), attached: None, only_values: false, files: 0 };
    let mut parsed = Parsed::default();
    loop {
        match next_flag(table, &mut words) {
            Ok(Some(given)) => parsed.given.push(given),
            Ok(None) => return parsed,
            Err(error) => return Parsed { error: Some(error), ..parsed },
        }
    }
}

fn next_flag(table: &'static [Flag], words: &mut Words) -> Result<Option<Given>, GrammarError> {
    let (flag, negated) = match words.next()? {
        None => return Ok(None),
        Some(Word::Value(value)) => return Err(GrammarError::Unexpected(value)),
        Some(Word::Short(name)) => {
            let found = table.iter().find(|flag| flag.short.is_some_and(|short| name.chars().eq([short])));
            (found.ok_or(GrammarError::UnknownShort(name))?, false)
        }
        Some(Word::Long(name)) => find_long(table, &name).ok_or(GrammarError::UnknownLong(name))?,
    };
    let value = match flag.kind {
        Kind::Switch => (!negated).to_string(),
        _ => match words.next()? {
            Some(Word::Value(value)) => value,
            _ => return Err(GrammarError::ExpectedArgument(flag.name.to_owned())),
        },
    };
    Ok(Some(Given { flag, value }))
}

/// The flag called `name`, and whether it is negated; only switches can be.
fn find_long(table: &'static [Flag], name: &str) -> Option<(&'static Flag, bool)> {
    let named = |name: &str| table.iter().find(|flag| flag.name == name);
    let negated = || named(name.strip_prefix("no-")?).filter(|flag| flag.kind == Kind::Switch);
    named(name).map(|flag| (flag, false)).or_else(|| negated().map(|flag| (flag, true)))
}

enum Word {
    Long(String),
    Short(String),
    Value(String),
}

/// Arguments taken apart, one word at a time.
struct Words {
    rest: VecDeque<String>,
    /// The value behind the `=` of the last long flag.
    attached: Option<String>,
    /// After `--` everything is a value.
    only_values: bool,
    files: usize,
}

impl Words {
    fn next(&mut self) -> Result<Option<Word>, GrammarError> {
        if let Some(value) = self.attached.take() {
            return Ok(Some(Word::Value(value)));
        }
        while let Some(argument) = self.rest.pop_front() {
            if self.only_values {
                return Ok(Some(Word::Value(argument)));
            }
            if argument == "--" {
                self.only_values = true;
            } else if let Some(path) = argument.strip_prefix('@') {
                self.expand(path)?;
            } else {
                return Ok(Some(self.word(argument)));
            }
        }
        Ok(None)
    }

    fn word(&mut self, argument: String) -> Word {
        if let Some(long) = argument.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            self.attached = value;
            return Word::Long(name.to_owned());
        }
        match argument.strip_prefix('-') {
            Some(letters) => {
                let (first, rest) = letters.split_at(letters.chars().next().map_or(0, char::len_utf8));
                if !rest.is_empty() {
                    self.rest.push_front(format!("-{rest}"));
                }
                Word::Short(first.to_owned())
            }
            None => Word::Value(argument),
        }
    }

    /// Replaces the name of a file by its lines. Lines that begin with `#` are comments.
    fn expand(&mut self, path: &str) -> Result<(), GrammarError> {
        if path.is_empty() {
            return Err(GrammarError::ExpectedFile);
        }
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(GrammarError::TooManyFiles);
        }
        let text = regular::read_any_text(Path::new(path))
            .map_err(|error| GrammarError::UnreadableFile(path.to_owned(), error.to_string()))?;
        for line in text.lines().rev().filter(|line| !line.starts_with('#')) {
            self.rest.push_front(line.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[
        Flag {
            name: "help",
            short: Some('h'),
            kind: Kind::Switch,
            key: "",
            default: String::new(),
            help: "x",
        },
        Flag { name: "on", short: None, kind: Kind::Switch, key: "", default: String::new(), help: "x" },
        Flag { name: "file", short: None, kind: Kind::Text, key: "", default: String::new(), help: "x" },
        Flag {
            name: "listen",
            short: None,
            kind: Kind::Addresses,
            key: "",
            default: String::new(),
            help: "x",
        },
    ];

    fn read(arguments: &[&str]) -> (Vec<String>, Option<String>) {
        let parsed = parse(TABLE, arguments.iter().map(|argument| (*argument).to_owned()).collect());
        let given = parsed.given.iter().map(|given| format!("{}={}", given.flag.name, given.value)).collect();
        (given, parsed.error.map(|error| error.to_string()))
    }

    #[test]
    fn reads_flags_with_and_without_values() {
        for (arguments, expected) in [
            (&[][..], &[][..]),
            (&["--on"], &["on=true"]),
            (&["--no-on"], &["on=false"]),
            (&["-h"], &["help=true"]),
            (&["-hh"], &["help=true", "help=true"]),
            (&["--file=a", "--on"], &["file=a", "on=true"]),
            (&["--file", "a"], &["file=a"]),
            (&["--file="], &["file="]),
            (&["--file", ""], &["file="]),
            (&["--file=--x=y"], &["file=--x=y"]),
            (&["--file", "--", "-a"], &["file=-a"]),
            (&["--listen=:1", "--listen", ":2"], &["listen=:1", "listen=:2"]),
            (&["--"], &[]),
        ] {
            let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(read(arguments), (expected, None), "{arguments:?}");
        }
    }

    /// The messages are those of the stock gateway 1.11.2 for its own flags.
    #[test]
    fn says_what_is_wrong_as_kingpin_does() {
        for (arguments, message) in [
            (&["--on=true"][..], "unexpected true"),
            (&["--on", "true"], "unexpected true"),
            (&["--no-on=false"], "unexpected false"),
            (&["foo", "--bogus"], "unexpected foo"),
            (&[""], "unexpected "),
            (&["--", "-h"], "unexpected -h"),
            (&["--foo=bar"], "unknown long flag '--foo'"),
            (&["--no-foo"], "unknown long flag '--no-foo'"),
            (&["--no-file=x"], "unknown long flag '--no-file'"),
            (&["--no-no-on"], "unknown long flag '--no-no-on'"),
            (&["--ON"], "unknown long flag '--ON'"),
            (&["--fil"], "unknown long flag '--fil'"),
            (&["--=x"], "unknown long flag '--'"),
            (&["---"], "unknown long flag '---'"),
            (&["-file=x"], "unknown short flag '-f'"),
            (&["-hx"], "unknown short flag '-x'"),
            (&["-é"], "unknown short flag '-é'"),
            (&["-"], "unknown short flag '-'"),
            (&["--file"], "expected argument for flag '--file'"),
            (&["--file", "--on"], "expected argument for flag '--file'"),
            (&["--file", "--"], "expected argument for flag '--file'"),
            (&["--file", "-"], "expected argument for flag '--file'"),
            (&["--file", "-5m"], "expected argument for flag '--file'"),
            (&["@"], "expected @ file to expand arguments from"),
            (&["--", "@x"], "unexpected @x"),
            (
                &["@/nonexistent"],
                "failed to read arguments file \"/nonexistent\": No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(read(arguments).1.as_deref(), Some(message), "{arguments:?}");
        }
    }

    #[test]
    fn keeps_what_stood_before_an_error() {
        assert_eq!(read(&["--on", "--bogus", "-h"]).0, ["on=true"]);
    }

    #[test]
    fn arguments_come_from_files() {
        let path = std::env::temp_dir().join(format!("tallygate-arguments-{}", std::process::id()));
        let name = format!("@{}", path.display());
        std::fs::write(&path, "# comment\r\n--file=a b\r\n--listen\n:1").unwrap();
        assert_eq!(read(&["--on", &name, "-h"]).0, ["on=true", "file=a b", "listen=:1", "help=true"]);
        assert_eq!(read(&["--file=@x"]).0, ["file=@x"]);
        std::fs::write(&path, format!("--on\n{name}\n")).unwrap();
        assert!(read(&[&name]).1.unwrap().starts_with("more than 100 arguments files"));
        std::fs::remove_file(&path).unwrap();
    }
}
