//! Limits repeated log lines: a few lines of a kind are written in a second, then one that counts the others.
//!
//! A kind is a place in the source, so clients can't cause more kinds than the program has.

use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

use super::pairs::{Pairs, head};
use crate::config::LogFormat;
use crate::message::Excerpt;

/// The period in which lines of a kind are counted together.
pub const SECOND: Duration = Duration::from_secs(1);

/// How many lines of a kind are written in that period.
const LINES_A_SECOND: u32 = 10;

/// The counts of recent lines. Clones share them.
#[derive(Clone, Debug)]
pub struct Repeats {
    format: LogFormat,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether the limit is on.
    is_limited: bool,
    kinds: HashMap<Identifier, Kind>,
}

/// The lines of one place in the source since an instant.
#[derive(Debug)]
struct Kind {
    metadata: &'static Metadata<'static>,
    since: Instant,
    written: u32,
    left_out: u64,
    /// The message of the last written line.
    message: Option<Excerpt>,
}

/// Lines that were left out.
#[derive(Debug)]
pub(super) struct LeftOut {
    metadata: &'static Metadata<'static>,
    count: u64,
    message: Option<Excerpt>,
}

impl Repeats {
    pub(super) fn new(format: LogFormat) -> Repeats {
        Repeats { format, known: Arc::default() }
    }

    /// Turns the limit on. Before the gateway serves, all lines are written, because no client has caused them and
    /// each one matters.
    pub fn limit(&self) {
        self.known().is_limited = true;
    }

    /// Logs the numbers of left-out lines for seconds that are over.
    pub fn settle(&self) {
        self.tell(self.known().over(Instant::now()));
    }

    /// Logs the numbers of left-out lines before the process ends.
    pub fn finish(&self) {
        self.tell(self.known().all());
    }

    /// Whether a line from this place is written now. If so, also returns the lines left out before it, whose
    /// number has to be written first. Remembers the message.
    pub(super) fn admit(
        &self,
        metadata: &'static Metadata<'static>,
        now: Instant,
        message: impl FnOnce() -> Excerpt,
    ) -> Option<Option<LeftOut>> {
        self.known().admit(metadata, now, message)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // If a thread panicked with the lock, the counts are still valid.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, all: Vec<LeftOut>) {
        for line in self.lines(all) {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn lines(&self, all: Vec<LeftOut>) -> Vec<String> {
        let line = |left_out: &LeftOut| {
            let mut line = String::new();
            left_out.write(&mut line, self.format).ok().map(|()| line)
        };
        all.iter().filter_map(line).collect()
    }

    /// The lines that [`Repeats::finish`] would write.
    #[cfg(test)]
    pub(super) fn left_out(&self) -> String {
        let all = self.known().all();
        self.lines(all).concat()
    }
}

impl Known {
    fn admit(
        &mut self,
        metadata: &'static Metadata<'static>,
        now: Instant,
        message: impl FnOnce() -> Excerpt,
    ) -> Option<Option<LeftOut>> {
        // Debug lines are never limited, because their reader wants all of them.
        if !self.is_limited || *metadata.level() > Level::INFO {
            return Some(None);
        }
        let kind = self.kinds.entry(metadata.callsite()).or_insert_with(|| Kind {
            metadata,
            since: now,
            written: 0,
            left_out: 0,
            message: None,
        });
        let before = if kind.is_over(now) { kind.take() } else { None };
        if kind.is_over(now) {
            (kind.since, kind.written) = (now, 0);
        }
        if kind.written == LINES_A_SECOND {
            kind.left_out += 1;
            return None;
        }
        kind.written += 1;
        if kind.written == LINES_A_SECOND {
            kind.message = Some(message());
        }
        Some(before)
    }

    fn over(&mut self, now: Instant) -> Vec<LeftOut> {
        self.kinds.values_mut().filter(|kind| kind.is_over(now)).filter_map(Kind::take).collect()
    }

    fn all(&mut self) -> Vec<LeftOut> {
        self.kinds.values_mut().filter_map(Kind::take).collect()
    }
}

impl Kind {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= SECOND
    }

    fn take(&mut self) -> Option<LeftOut> {
        let count = std::mem::take(&mut self.left_out);
        (count > 0).then(|| LeftOut { metadata: self.metadata, count, message: self.message.clone() })
    }
}

impl LeftOut {
    /// Writes a line with the number of left-out lines.
    pub(super) fn write(&self, out: &mut dyn fmt::Write, format: LogFormat) -> fmt::Result {
        let mut pairs = Pairs::new(out, format);
        head(&mut pairs, self.metadata)?;
        pairs.text("msg", &format!("{} more like this were not logged", self.count))?;
        pairs.bare("count", &self.count.to_string())?;
        if let Some(message) = &self.message {
            pairs.text("like", &message.to_string())?;
        }
        pairs.end()
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt as _};

    use super::*;

    /// Notes the source location of events.
    #[derive(Clone, Default)]
    struct Places(Arc<Mutex<Vec<&'static Metadata<'static>>>>);

    impl<S: tracing::Subscriber> Layer<S> for Places {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata());
        }
    }

    fn place() -> &'static Metadata<'static> {
        let places = Places::default();
        let subscriber = tracing_subscriber::registry().with(places.clone());
        tracing::subscriber::with_default(subscriber, || tracing::warn!("here"));
        let places = places.0.lock().unwrap();
        places[0]
    }

    #[test]
    fn a_second_has_so_many_lines_and_the_next_says_how_many_there_were() {
        let (place, start) = (place(), Instant::now());
        let mut known = Known { is_limited: true, ..Known::default() };
        let mut at = |millis: u64| {
            let now = start + Duration::from_millis(millis);
            known
                .admit(place, now, || Excerpt::of("here"))
                .map(|before| before.map(|left_out| left_out.count))
        };
        for line in 0..10 {
            assert_eq!(at(line), Some(None));
        }
        assert_eq!((0..7).map(|_| at(999)).collect::<Vec<_>>(), [None; 7]);
        assert_eq!(at(1000), Some(Some(7)));
        for line in 1001..1010 {
            assert_eq!(at(line), Some(None));
        }
        assert_eq!(at(1999), None);
        // A clock that steps back changes nothing.
        assert_eq!(at(0), None);
        let over = |known: &mut Known, millis| {
            let over = known.over(start + Duration::from_millis(millis));
            over.iter().map(|left_out| left_out.count).collect::<Vec<_>>()
        };
        assert!(over(&mut known, 1999).is_empty());
        assert_eq!(over(&mut known, 2000), [2]);
        assert!(over(&mut known, 5000).is_empty() && known.all().is_empty());
    }
}
