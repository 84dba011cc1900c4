//! Search words for names and label values. Case does not matter.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use memchr::memmem::Finder;

use super::state::{GroupState, STALE_AFTER};
use crate::config::duration;
use crate::model::labels::{INSTANCE, Pair, pairs};
use crate::model::time::nanos_of;
use crate::store::group_labels::GroupLabels;
use crate::store::piece::Piece;

/// A query has at most this many words.
pub const MAX_WORDS: usize = 32;

/// The query has more than [`MAX_WORDS`] words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most {MAX_WORDS} words can be looked for at once")]
pub struct TooManyWords;

/// A buffer for lower-case copies of texts.
#[derive(Debug, Default)]
struct Folded(String);

impl Folded {
    fn push(&mut self, text: &str) {
        if text.is_ascii() {
            let from = self.0.len();
            self.0.push_str(text);
            self.0[from..].make_ascii_lowercase();
        } else {
            // Converts each character alone, because the result must not depend on its neighbours.
            self.0.extend(text.chars().flat_map(char::to_lowercase));
        }
    }

    fn of(&mut self, text: &str) -> &str {
        self.0.clear();
        self.push(text);
        &self.0
    }
}

fn folded(text: &str) -> String {
    let mut folded = Folded::default();
    folded.push(text);
    folded.0
}

fn finder(text: &str) -> Finder<'static> {
    Finder::new(folded(text).as_bytes()).into_owned()
}

fn is_in(finder: &Finder<'_>, text: &str) -> bool {
    finder.find(text.as_bytes()).is_some()
}

fn words(query: &str) -> Result<Vec<&str>, TooManyWords> {
    let words: Vec<&str> = query.split_whitespace().take(MAX_WORDS + 1).collect();
    if words.len() > MAX_WORDS { Err(TooManyWords) } else { Ok(words) }
}

/// A search for groups. All words must match.
#[derive(Debug, Default)]
pub struct GroupFilter(Vec<GroupWord>);

#[derive(Debug)]
enum GroupWord {
    /// `label=text`: the group has this label, and its value begins with the text.
    Label { name: String, start: String },
    /// `family:text`: the name of a family contains the text.
    Family(Finder<'static>),
    /// `is:failed`: the last push was refused.
    Failed,
    /// `is:suspicious`: a process seems to push running totals.
    Suspicious,
    /// `older:2h`, or `is:stale`: no push was accepted for this many nanoseconds.
    Older(i64),
    /// The name or value of a grouping label, or the name of a family, contains this text.
    Any(Finder<'static>),
}

impl GroupFilter {
    /// Parses the words of a query.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn parse(query: &str) -> Result<GroupFilter, TooManyWords> {
        let plain = |word: &str| match (word.strip_prefix("family:"), word.split_once('=')) {
            (Some(text), _) => GroupWord::Family(finder(text)),
            (None, Some((name, start))) if !name.is_empty() => {
                GroupWord::Label { name: folded(name), start: folded(start) }
            }
            _ => GroupWord::Any(finder(word)),
        };
        let word = |word: &str| GroupWord::of_state(word).unwrap_or_else(|| plain(word));
        Ok(GroupFilter(words(query)?.into_iter().map(word).collect()))
    }

    /// A matcher for these words.
    pub fn matcher(&self) -> GroupMatcher<'_> {
        GroupMatcher { words: &self.0, names: HashMap::default(), folded: Folded::default() }
    }
}

/// Matches one group after the other.
#[derive(Debug)]
pub struct GroupMatcher<'a> {
    words: &'a [GroupWord],
    /// One bit for each word that matches a family name, by the address of the name, because groups share names.
    names: HashMap<usize, u32, RandomState>,
    folded: Folded,
}

impl GroupMatcher<'_> {
    /// Whether a group with these labels and family names matches. The names must keep their addresses while the
    /// matcher is used.
    pub(super) fn matches<'n>(
        &mut self,
        labels: &GroupLabels,
        state: GroupState,
        families: impl Iterator<Item = &'n str>,
    ) -> bool {
        let mut missing = 0u32;
        for (at, word) in self.words.iter().enumerate() {
            if let Some(holds) = word.holds(state) {
                if !holds {
                    return false;
                }
            } else if !word.is_in_labels(labels, &mut self.folded) {
                if matches!(word, GroupWord::Label { .. }) {
                    return false;
                }
                missing |= 1 << at;
            }
        }
        for name in families {
            if missing == 0 {
                break;
            }
            let (words, folded) = (self.words, &mut self.folded);
            let found = self.names.entry(name.as_ptr() as usize).or_insert_with(|| {
                let name = folded.of(name);
                let found = words.iter().enumerate().filter(|(_, word)| word.is_in_family(name));
                found.fold(0, |found, (at, _)| found | 1 << at)
            });
            missing &= !*found;
        }
        missing == 0
    }
}

impl GroupWord {
    /// A word about the state of a group. A word that is none is looked for as a text.
    fn of_state(word: &str) -> Option<GroupWord> {
        Some(match word {
            "is:failed" => GroupWord::Failed,
            "is:suspicious" => GroupWord::Suspicious,
            "is:stale" => GroupWord::Older(nanos_of(STALE_AFTER)),
            _ => GroupWord::Older(nanos_of(duration::parse_with_days(word.strip_prefix("older:")?).ok()?)),
        })
    }

    /// Whether a word about the state of a group holds. None for other words.
    fn holds(&self, state: GroupState) -> Option<bool> {
        match self {
            GroupWord::Failed => Some(state.has_failed),
            GroupWord::Suspicious => Some(state.is_suspicious),
            GroupWord::Older(nanos) => Some(state.quiet_nanos >= *nanos),
            GroupWord::Label { .. } | GroupWord::Family(_) | GroupWord::Any(_) => None,
        }
    }

    fn is_in_labels(&self, labels: &GroupLabels, folded: &mut Folded) -> bool {
        labels.labels.iter().any(|(name, value)| match self {
            GroupWord::Label { name: wanted, start } => {
                folded.of(name) == wanted && folded.of(value).starts_with(&**start)
            }
            GroupWord::Any(finder) => is_in(finder, folded.of(name)) || is_in(finder, folded.of(value)),
            _ => false,
        })
    }

    fn is_in_family(&self, folded_name: &str) -> bool {
        match self {
            GroupWord::Family(finder) | GroupWord::Any(finder) => is_in(finder, folded_name),
            _ => false,
        }
    }
}

/// A search for series of a family. All words must be in the labels of a series, written `name="value"` or
/// `name=value`.
#[derive(Debug, Default)]
pub struct SeriesFilter(Vec<SeriesWord>);

#[derive(Debug)]
struct SeriesWord {
    word: Finder<'static>,
    /// The longest part of the word that must be in the label block of every matching series.
    probe: Finder<'static>,
    /// The two forms in which the word can be in a label block without escapes and quoted names. `None` if that is
    /// not certain.
    in_blocks: Option<[Finder<'static>; 2]>,
}

/// Characters that may be written differently in a label block and in a word.
const NOT_IN_BLOCKS: [char; 3] = ['=', '"', '\\'];

impl SeriesWord {
    fn of(word: &str) -> SeriesWord {
        let probe = word.split(NOT_IN_BLOCKS).max_by_key(|part| part.len()).unwrap_or_default();
        // The word is within a name or a value, or spans the `=` between them.
        let is_certain = |part: &str| !part.contains(NOT_IN_BLOCKS) && !part.contains([',', '{', '}']);
        let in_blocks = match word.split_once('=') {
            Some((name, start)) if is_certain(name) && is_certain(start) => {
                Some([finder(word), finder(&format!("{name}=\"{start}"))])
            }
            None if is_certain(word) => Some([finder(word), finder(word)]),
            _ => None,
        };
        SeriesWord { word: finder(word), probe: finder(probe), in_blocks }
    }

    fn is_in_block(&self, folded: &str) -> Option<bool> {
        let [first, second] = self.in_blocks.as_ref()?;
        Some(is_in(first, folded) || (first.needle() != second.needle() && is_in(second, folded)))
    }
}

impl SeriesFilter {
    /// Parses the words of a query.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn parse(query: &str) -> Result<SeriesFilter, TooManyWords> {
        Ok(SeriesFilter(words(query)?.into_iter().map(SeriesWord::of).collect()))
    }

    /// Whether the filter has no words, so that all series match.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A matcher for series of this group. It ignores the labels of the group.
    pub fn matcher<'a>(&'a self, group: &'a GroupLabels) -> SeriesMatcher<'a> {
        let mut folded = Folded::default();
        let of_group = folded.of(&group.series_block);
        // A word that occurs in the labels of the group may be in a block for that reason alone.
        let decides = |word: &SeriesWord| word.is_in_block(of_group) == Some(false);
        SeriesMatcher {
            decisive: self.0.iter().filter(|word| decides(word)).collect(),
            others: self.0.iter().filter(|word| !decides(word)).collect(),
            group,
            blocks: Folded::default(),
            folded,
        }
    }
}

/// Matches the series of one piece after the other.
#[derive(Debug)]
pub struct SeriesMatcher<'a> {
    /// Words that are in the labels of a series exactly if they are in its block.
    decisive: Vec<&'a SeriesWord>,
    others: Vec<&'a SeriesWord>,
    group: &'a GroupLabels,
    /// The blocks of the current piece in lower case.
    blocks: Folded,
    folded: Folded,
}

impl<'a> SeriesMatcher<'a> {
    /// Calls `found` with the rows of a piece that match.
    pub fn rows(&mut self, piece: &Piece, mut found: impl FnMut(usize)) {
        self.blocks.of(piece.blocks());
        if !self.words().all(|word| is_in(&word.probe, &self.blocks.0)) {
            return;
        }
        // In ASCII the lower-case copy has the same length, so each block has the same position in it.
        let is_plain = !piece.has_quoted_names()
            && piece.blocks().is_ascii()
            && memchr::memchr(b'\\', piece.blocks().as_bytes()).is_none();
        let mut end = 0;
        for row in 0..piece.len() {
            let block = piece.block(row);
            let start = end;
            end += block.len();
            let is_found = if is_plain {
                let folded = &self.blocks.0[start..end];
                let mut words = self.decisive.iter();
                words.all(|word| word.is_in_block(folded) == Some(true))
                    && (self.others.is_empty() || self.is_in_plain_labels(block, start))
            } else {
                self.is_in_labels(block, true)
            };
            if is_found {
                found(row);
            }
        }
    }

    /// Whether the words that are not decisive are in the labels of this block. The block has neither escapes nor
    /// quoted names, and starts at `place` in the lower-case copy of the piece.
    fn is_in_plain_labels(&mut self, block: &str, place: usize) -> bool {
        if self.others.iter().any(|word| word.in_blocks.is_none()) {
            return self.is_in_labels(block, false);
        }
        let folded = &mut self.folded.0;
        folded.clear();
        let mut apart = Apart::of(self.group);
        let mut start = 1;
        while let Some((name, rest)) = block.get(start..).and_then(|rest| rest.split_once("=\""))
            && let Some(value) = memchr::memchr(b'"', rest.as_bytes())
        {
            let end = start + name.len() + 2 + value + 1;
            if apart.is_own(name, value == 0) {
                folded.push_str(&self.blocks.0[place + start..place + end]);
                folded.push('\n');
            }
            start = end + 1;
        }
        self.others.iter().all(|word| word.is_in_block(folded) == Some(true))
    }

    fn words(&self) -> impl Iterator<Item = &'a SeriesWord> {
        self.decisive.iter().chain(&self.others).copied()
    }

    /// Whether all words, or only those that are not decisive, are in the labels of this block.
    fn is_in_labels(&mut self, block: &str, all: bool) -> bool {
        // Words hold no line feed, so no match spans two lines.
        let folded = &mut self.folded;
        folded.0.clear();
        for pair in own_labels(self.group, block) {
            let (name, value) = (pair.name(), pair.value());
            for part in [&name, "=\"", pair.escaped_value(), "\"\n", &name, "=", &value, "\n"] {
                folded.push(part);
            }
        }
        let is_found = |word: &&SeriesWord| is_in(&word.word, &folded.0);
        self.others.iter().all(is_found) && (!all || self.decisive.iter().all(is_found))
    }
}

/// The labels of a series without those of its group, and without the empty `instance` label that the gateway adds
/// if neither has one.
pub(super) fn own_labels<'a>(group: &'a GroupLabels, block: &'a str) -> impl Iterator<Item = Pair<'a>> {
    let mut apart = Apart::of(group);
    pairs(block).filter(move |pair| apart.is_own(&pair.name(), pair.escaped_value().is_empty()))
}

/// Separates the labels of a series from those of its group. Both are sorted by name.
#[derive(Debug)]
struct Apart<'a> {
    /// The labels of the group, from the last requested name on.
    ahead: &'a [(Box<str>, Box<str>)],
}

impl<'a> Apart<'a> {
    fn of(group: &'a GroupLabels) -> Apart<'a> {
        Apart { ahead: &group.labels }
    }

    /// Whether the next label belongs to the series itself.
    fn is_own(&mut self, name: &str, is_empty: bool) -> bool {
        while let [(known, _), ahead @ ..] = self.ahead
            && **known < *name
        {
            self.ahead = ahead;
        }
        let is_added = is_empty && name == INSTANCE;
        !is_added && self.ahead.first().is_none_or(|(known, _)| **known != *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::grouping::{Grouping, GroupingLabel};
    use crate::model::kind::Form;
    use crate::model::labels::block_of;
    use crate::model::sum::Sum;
    use crate::model::time::Start;
    use crate::store::piece::OwnedValue;
    use proptest::prelude::*;

    fn group(labels: &[(&'static str, &'static str)]) -> GroupLabels {
        let label = |(name, value): &(&'static str, &'static str)| GroupingLabel {
            name: (*name).into(),
            value: (*value).into(),
        };
        GroupLabels::of(&Grouping::new(labels.iter().map(label).collect()))
    }

    #[test]
    fn words_of_groups() {
        let labels = group(&[("job", "Nightly/backup"), ("größe", "XÄ"), ("empty", "")]);
        let families = ["disk_bytes", "Runs_total", "a=b"];
        for (query, expected) in [
            ("", true),
            ("  ", true),
            ("night BACKUP", true),
            ("runs nightly", true),
            ("GRÖSSE", false),
            ("GRÖß xä", true),
            ("nightlier", false),
            ("night nothing", false),
            ("job=night", true),
            ("JOB=NIGHTLY/", true),
            ("job=backup", false),
            ("jo=night", false),
            ("empty=", true),
            ("absent=", false),
            ("empty=x", false),
            ("job=", true),
            ("family:bytes", true),
            ("family:TOTAL job=n", true),
            ("family:nightly", false),
            ("family:", true),
            ("family:a=b", true),
            ("=b", true),
            ("disk_bytesRuns", false),
            // Words may match anywhere, and two may match the same place.
            ("disk disk dis", true),
        ] {
            let words = GroupFilter::parse(query).unwrap();
            let mut matcher = words.matcher();
            for _ in 0..2 {
                let matches = matcher.matches(&labels, GroupState::default(), families.into_iter());
                assert_eq!(matches, expected, "{query}");
            }
        }
        let none = GroupFilter::parse("family:").unwrap();
        assert!(!none.matcher().matches(&labels, GroupState::default(), [].into_iter()));
    }

    #[test]
    fn words_about_the_state_of_groups() {
        let (labels, second) = (group(&[("job", "is:odd")]), 1_000_000_000);
        let state = |has_failed, is_suspicious, hours: i64| GroupState {
            has_failed,
            is_suspicious,
            quiet_nanos: hours * 3600 * second,
        };
        for (query, state, expected) in [
            ("is:failed", state(true, false, 0), true),
            ("is:failed", state(false, true, 99), false),
            ("is:suspicious", state(false, true, 0), true),
            ("is:suspicious", state(true, false, 99), false),
            ("is:stale", state(false, false, 24), true),
            ("is:stale", state(true, true, 23), false),
            ("older:2h", state(false, false, 2), true),
            ("older:2h30m", state(false, false, 2), false),
            ("older:1d", state(false, false, 24), true),
            ("is:failed older:1h job=is", state(true, false, 1), true),
            ("is:failed older:1h job=x", state(true, false, 1), false),
            // Anything else is a text.
            ("is:o", state(false, false, 0), true),
            ("is:other", state(true, true, 99), false),
            ("older:soon", state(true, true, 99), false),
        ] {
            let words = GroupFilter::parse(query).unwrap();
            let none = std::iter::empty::<&str>();
            assert_eq!(words.matcher().matches(&labels, state, none), expected, "{query} {state:?}");
        }
    }

    /// A piece of these blocks.
    fn piece<'a>(blocks: impl IntoIterator<Item = &'a str>) -> Piece {
        let value = || OwnedValue::Number(Sum::new(1.0));
        Piece::of(Form::Number, blocks.into_iter().map(|block| (block, Start::UNKNOWN, value())))
    }

    fn rows(query: &str, group: &GroupLabels, piece: &Piece) -> Vec<usize> {
        let mut rows = Vec::new();
        SeriesFilter::parse(query).unwrap().matcher(group).rows(piece, |row| rows.push(row));
        rows
    }

    #[test]
    fn words_of_series() {
        let group = group(&[("job", "nightly"), ("Zone", "eu")]);
        let plain = [("Code", "500"), ("Zone", "eu"), ("instance", ""), ("job", "nightly"), ("n", "a=b")];
        let odd = [("Code", "500"), ("job", "nightly"), ("path", "/a\"b\\c,"), ("über", "Ä ö"), ("z", "")];
        let alone = piece([&*block_of(plain)]);
        let both = piece([&*block_of(plain), &*block_of(odd)]);
        for (query, in_plain, in_odd) in [
            ("", true, true),
            ("code", true, true),
            ("code=5", true, true),
            ("CODE=\"500\"", true, true),
            ("code=\"50\"", false, false),
            ("500\"", true, true),
            ("500 code", true, true),
            ("500code", false, false),
            ("n=a=", true, false),
            ("a=b", true, false),
            ("a=b\"", true, false),
            ("a=b\",", false, false),
            ("b}", false, false),
            ("{code", false, false),
            ("/A\"b\\c", false, true),
            ("/a\\\"b\\\\c", false, true),
            ("c,", false, true),
            ("\",", false, false),
            ("b c", true, true),
            ("bc", false, false),
            ("ÜBER=ä Ö", false, true),
            ("z=\"\"", false, true),
            ("z=x", false, false),
            ("=", true, true),
            // The labels of the group do not count.
            ("nightly", false, false),
            ("job", false, false),
            ("zone=eu", false, false),
            ("e", true, true),
            ("eu", false, false),
            ("instance", false, false),
        ] {
            assert_eq!(!rows(query, &group, &alone).is_empty(), in_plain, "{query}");
            let expected: Vec<usize> =
                [in_plain, in_odd].iter().enumerate().filter(|(_, is)| **is).map(|(at, _)| at).collect();
            assert_eq!(rows(query, &group, &both), expected, "{query}");
        }
    }

    #[test]
    fn there_are_not_too_many_words() {
        let most = "a ".repeat(MAX_WORDS);
        let words = GroupFilter::parse(&most).unwrap();
        assert!(words.matcher().matches(&group(&[("job", "a")]), GroupState::default(), [].into_iter()));
        assert!(!words.matcher().matches(&group(&[("job", "b")]), GroupState::default(), ["b"].into_iter()));
        assert!(SeriesFilter::parse(&most).is_ok());
        assert_eq!(GroupFilter::parse(&format!("{most}b")).err(), Some(TooManyWords));
        assert_eq!(SeriesFilter::parse(&format!("{most}b")).err(), Some(TooManyWords));
    }

    /// Whether a series matches, by a simple implementation of the rule.
    fn is_match(query: &str, group: &GroupLabels, block: &str) -> bool {
        let texts: Vec<String> = own_labels(group, block)
            .flat_map(|pair| {
                let (name, value) = (pair.name(), pair.value());
                [format!("{name}=\"{}\"", pair.escaped_value()), format!("{name}={value}")]
            })
            .map(|text| folded(&text))
            .collect();
        query.split_whitespace().all(|word| texts.iter().any(|text| text.contains(&folded(word))))
    }

    proptest! {
        #[test]
        fn no_shortcut_changes_what_is_found(
            sets in prop::collection::vec(
                prop::collection::btree_map("[a-cB]{1,2}|[a-c\"ä]", "[a-cA=,{}]{0,4}|[a-cÄ\"=\\\\\n]{0,4}", 0..4), 1..5,
            ),
            query in "[a-cäÄ\"=,{}\\\\ ]{0,5}",
        ) {
            let group = group(&[("a", "b"), ("job", "c")]);
            let block = |labels: &std::collections::BTreeMap<String, String>| {
                let mut labels = labels.clone();
                labels.extend([("a", "b"), ("instance", ""), ("job", "c")].map(|(n, v)| (n.to_owned(), v.to_owned())));
                block_of(labels.iter().map(|(name, value)| (&**name, &**value)))
            };
            let blocks: Vec<String> = sets.iter().map(block).collect();
            let piece = piece(blocks.iter().map(|block| &**block));
            let expected = |at: &usize| is_match(&query, &group, &blocks[*at]);
            let expected: Vec<usize> = (0..blocks.len()).filter(expected).collect();
            prop_assert_eq!(rows(&query, &group, &piece), expected);
        }

        #[test]
        fn the_labels_of_the_group_are_told_apart(
            of_group in prop::collection::btree_map("[a-dB\"ä]{1,2}|instance", "[a-b]{0,1}", 0..6),
            own in prop::collection::btree_map("[a-dB\"ä]{1,2}|instance", "[a-b]{0,1}", 0..6),
        ) {
            let label = |(name, value): (&String, &String)| GroupingLabel {
                name: name.clone().into(),
                value: value.clone().into(),
            };
            let group = GroupLabels::of(&Grouping::new(of_group.iter().map(label).collect()));
            let is_own = |(name, value): &(&String, &String)| {
                let is_added = *name == "instance" && value.is_empty();
                !is_added && !of_group.contains_key(*name)
            };
            let expected: Vec<String> = own.iter().filter(is_own).map(|(name, _)| name.clone()).collect();
            let mut all = own.clone();
            all.extend(of_group.clone());
            let block = block_of(all.iter().map(|(name, value)| (&**name, &**value)));
            let found: Vec<String> = own_labels(&group, &block).map(|pair| pair.name().into_owned()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_word_is_found_whatever_its_case(
            before in "[ -~äÖ]{0,4}", word in "[a-zäöü0-9]{1,4}", after in "[ -~äÖ]{0,4}",
        ) {
            let piece = piece([&*block_of([("l", &*format!("{before}{word}{after}"))])]);
            prop_assert_eq!(rows(&word.to_uppercase(), &group(&[("job", "a")]), &piece), [0]);
        }
    }
}
