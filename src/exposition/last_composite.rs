//! Recognises the next bucket or quantile of a series, because its line usually differs from the one before in numbers
//! alone.

use super::assembly::Member;
use super::scan::Cursor;
use crate::model::body::Body;

/// The histogram or summary of the last sample, if the label that distinguishes its samples was the last of the line.
#[derive(Default)]
pub(super) struct LastComposite<'a>(Option<Known<'a>>);

#[derive(Clone, Copy)]
struct Known<'a> {
    /// The line from its start to the opening quote of the last label.
    start: &'a [u8],
    /// How many other labels the line has.
    labels: usize,
    member: fn(f64) -> Member,
    family: usize,
    handle: u32,
}

/// A bucket or quantile of a series that is known.
pub(super) struct Again {
    pub(super) family: usize,
    pub(super) handle: u32,
    pub(super) member: Member,
}

impl<'a> LastComposite<'a> {
    /// Another series follows, or another sample of it.
    #[inline]
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// Remembers the series of a line, which begins with `start` and goes on with the number of `member` in quotes and
    /// the closing brace. The line has this many other labels.
    pub(super) fn remember(
        &mut self,
        start: &'a [u8],
        labels: usize,
        member: Member,
        (family, handle): (usize, u32),
    ) {
        let member = match member {
            Member::None => return self.forget(),
            Member::Bound(_) => Member::Bound,
            Member::Quantile(_) => Member::Quantile,
        };
        self.0 = Some(Known { start, labels, member, family, handle });
    }

    /// Takes name and labels if they are those of the last line with another number. Only if the labels would be within
    /// the limits, so that it makes no difference whether a series is recognised.
    #[inline]
    pub(super) fn take(&self, line: &mut Cursor<'a>, body: &Body<'a>) -> Option<Again> {
        let known = self.0.as_ref().filter(|known| line.is_at(known.start) && body.has_room(known.labels))?;
        let number = line.take_number_at_end_of_labels(known.start.len())?;
        Some(Again { family: known.family, handle: known.handle, member: (known.member)(number) })
    }
}
