//! When a group was pushed to, and how often.

/// The times of a group, in nanoseconds since the epoch, and how often it was pushed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When the first request came.
    pub created_at: i64,
    /// The latest accepted push; 0 for never.
    pub pushed_at: i64,
    /// The latest refused push; 0 for never.
    pub failed_at: i64,
    /// How many pushes were accepted since the group was created.
    pub pushes: u64,
}

impl Times {
    /// Joins the times of two groups that become one.
    pub fn join(&mut self, other: Times) {
        self.created_at = self.created_at.min(other.created_at);
        self.pushed_at = self.pushed_at.max(other.pushed_at);
        self.failed_at = self.failed_at.max(other.failed_at);
        self.pushes += other.pushes;
    }

    /// The latest of them.
    pub fn latest(&self) -> i64 {
        self.created_at.max(self.pushed_at).max(self.failed_at)
    }

    /// Since when the group got no accepted push: the time of the latest one, or of its creation.
    pub fn quiet_since(&self) -> i64 {
        self.pushed_at.max(self.created_at)
    }

    /// Whether no push was accepted since the group had these times. Refused pushes do not count, and pushes at the
    /// same moment are told apart by their number.
    pub fn is_quiet_since(&self, seen: Times) -> bool {
        (self.created_at, self.pushed_at, self.pushes) == (seen.created_at, seen.pushed_at, seen.pushes)
    }

    /// Whether the latest push that could be parsed was accepted.
    pub fn last_push_successful(&self) -> bool {
        self.failed_at <= self.pushed_at
    }
}
