//! The header fields that decide how the library reads what follows them.

/// A field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Length,
    Coding,
    Connection,
    Expect,
    Upgrade,
    Other,
}

impl Field {
    pub(super) fn named(name: &Word) -> Field {
        let known = [
            ("content-length", Field::Length),
            ("transfer-encoding", Field::Coding),
            ("connection", Field::Connection),
            ("expect", Field::Expect),
            ("upgrade", Field::Upgrade),
        ];
        known.into_iter().find(|(known, _)| name.is(known)).map_or(Field::Other, |(_, field)| field)
    }
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    #[default]
    Empty,
    Length(u64),
    Chunked,
    /// The fields contradict each other, so the library refuses the head.
    Contradictory,
}

impl Framing {
    /// Adds the value of another field. A second one is an error.
    pub(super) fn add(&mut self, field: Field, value: &Word) {
        let framing = match field {
            Field::Length => value.number().map_or(Framing::Contradictory, Framing::Length),
            _ if value.is("chunked") => Framing::Chunked,
            _ => Framing::Contradictory,
        };
        *self = if *self == Framing::Empty { framing } else { Framing::Contradictory };
    }
}

/// What a client waits for before it sends the body of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) enum Expectation {
    #[default]
    None,
    /// `100 Continue`.
    Continue,
    /// Something that the gateway does not know.
    Unknown,
}

impl Expectation {
    /// Adds a word of the value.
    pub(super) fn add(&mut self, word: &Word) {
        if word.is("100-continue") {
            *self = Expectation::Continue;
        } else if *self == Expectation::None {
            *self = Expectation::Unknown;
        }
    }
}

/// A word that may arrive in parts. Only the beginning of a long one is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Word {
    bytes: [u8; 24],
    length: usize,
}

impl Word {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let length = self.length.min(self.bytes.len());
        let fitting = bytes.len().min(self.bytes.len() - length);
        self.bytes[length..length + fitting].copy_from_slice(&bytes[..fitting]);
        self.length += bytes.len();
    }

    /// Appends digits without leading zeros.
    pub(super) fn push_digits(&mut self, digits: &[u8]) {
        for digit in digits {
            if self.is_exactly("0") && digit.is_ascii_digit() {
                self.clear();
            }
            self.push(&[*digit]);
        }
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether the word is `name`, whatever its case.
    pub(super) fn is(&self, name: &str) -> bool {
        self.text().is_some_and(|text| text.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether the word is exactly `name`.
    pub(super) fn is_exactly(&self, name: &str) -> bool {
        self.text() == Some(name.as_bytes())
    }

    fn number(&self) -> Option<u64> {
        let digits = self.text()?;
        let is_number = digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
    }

    fn text(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }
}
