//! The label names of a body: most series have the same as the one before.

use super::scan::Cursor;

/// The label names of the last series, in their order, but for those that stood in quotes.
///
/// What is read by [`LabelNames::take`] alone has no name twice, because a line with one is an error.
#[derive(Default)]
pub(super) struct LabelNames<'a> {
    names: Vec<&'a str>,
    /// How many of them the current series has had so far.
    read: usize,
    has_others: bool,
}

impl<'a> LabelNames<'a> {
    /// Begins a series.
    #[inline]
    pub(super) fn begin(&mut self) {
        (self.read, self.has_others) = (0, false);
    }

    /// Takes the name that stood here in the last series, if it stands here again with an equals sign behind it.
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

    /// Whether the current series may have a name twice.
    #[inline]
    pub(super) fn may_repeat(&self) -> bool {
        self.has_others
    }
}
