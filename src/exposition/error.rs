//! Why a body can't be parsed, whatever its format.

use std::fmt::{self, Display, Formatter};

use super::ending;
use crate::model::limits::Limit;

/// Why a body can't be parsed.
#[derive(Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The name of the format, with which the message begins if there is a place.
    pub(super) format: &'static str,
    /// Line and column of the fault, both from 1. `None` in a format without lines.
    pub place: Option<(usize, usize)>,
    /// The exceeded limit, if that is the fault.
    pub limit: Option<Limit>,
    /// The message, that of the stock gateway if it has one.
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
