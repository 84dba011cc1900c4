//! Why a body can't be parsed, whatever its format.

use std::fmt::{self, Display, Formatter};

use super::ending;
use crate::model::limits::Limit;

/// Why a body can't be parsed.
#[derive(Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What the message begins with where there is a place: the name of the format.
    pub(super) format: &'static str,
    /// Line and column of the fault, both from 1; none in a format without lines.
    pub place: Option<(usize, usize)>,
    /// The limit that the body is over, if that is what is wrong.
    pub limit: Option<Limit>,
    /// What is wrong, in the words of the stock gateway where it has some.
    pub message: String,
}

impl ParseError {
    /// Whether the body ends within a line.
    pub fn is_unfinished(&self) -> bool {
        self.place.is_some() && self.message == ending::UNFINISHED
    }
}

impl Display for ParseError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ParseError { format, place, message, .. } = self;
        match place {
            Some((line, column)) => {
                write!(f, "{format} parsing error in line {line}: {message} (column {column})")
            }
            None => f.write_str(message),
        }
    }
}

impl std::error::Error for ParseError {}
