//! What a body may hold, and how much of that it has.

use super::Body;
use crate::model::limits::{Limit, PushLimits, TooMuch};

impl<'a> Body<'a> {
    /// Sets limits on what the body may hold.
    pub fn within(self, limits: PushLimits) -> Body<'a> {
        Body { limits, ..self }
    }

    /// What the body may hold.
    pub fn limits(&self) -> PushLimits {
        self.limits
    }

    /// Counts a sample. Called before the sample is added.
    ///
    /// # Errors
    ///
    /// If there are too many.
    #[inline]
    pub fn count_sample(&mut self) -> Result<(), TooMuch> {
        self.count_parts(1)
    }

    /// Counts the parts that a sample is made into.
    ///
    /// # Errors
    ///
    /// If there are too many.
    #[inline]
    pub fn count_parts(&mut self, parts: usize) -> Result<(), TooMuch> {
        self.samples = self.samples.saturating_add(parts);
        if self.samples > self.limits.samples { Err(TooMuch(Limit::SamplesPerPush)) } else { Ok(()) }
    }

    /// Checks the number of families, because a family may have no samples.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn check_families(&self) -> Result<(), TooMuch> {
        let is_too_much = self.families.len() > self.limits.samples;
        if is_too_much { Err(TooMuch(Limit::SamplesPerPush)) } else { Ok(()) }
    }
}
