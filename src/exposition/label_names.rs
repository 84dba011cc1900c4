//! Remembers the label names of the last series, because most series have the same ones as the series before.

use super::scan::Cursor;

/// The label names of the last series in their order, without quoted ones.
///
/// Names from [`LabelNames::take`] alone are never repeated, because a line with a repeated name is an error.
#[derive(Default)]
pub(super) struct LabelNames<'a> {
    names: Vec<&'a str>,
    /// How many of them the current series has used so far.
    read: usize,
    has_others: bool,
}

impl<'a> LabelNames<'a> {
    /// Begins a series.
    #[inline]
    pub(super) fn begin(&mut self) {
        (self.read, self.has_others) = (0, false);
    }

    /// Takes the name that the last series had at this position, if it follows here with an equals sign.
    #[inline]
    pub(super) fn take(&mut self, line: &mut Cursor<'a>) -> Option<&'a str> {
        let name = self.names.get(self.read).copied().filter(|name| line.take_label_name(name))?;
        self.read += 1;
        Some(name)
    }

    /// Adds a name that was not expected. `is_bare` is false for a name in quotes.
    pub(super) fn add(&mut self, name: &'a str, is_bare: bool) {
        self.has_others = true;
        if is_bare {
            self.names.truncate(self.read);
            self.names.push(name);
            self.read += 1;
        }
    }

    /// Whether the current series may have a repeated name.
    #[inline]
    pub(super) fn may_repeat(&self) -> bool {
        self.has_others
    }
}
