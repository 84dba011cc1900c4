//! Bucket layouts and label texts that new series of a group may share with existing ones.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::histogram::Layout;

/// How many label texts are remembered.
const REMEMBERED: usize = 4;

/// What new series may share.
#[derive(Debug, Default)]
pub struct Shareable {
    /// Bucket layouts of the family.
    pub layouts: Vec<Arc<Layout>>,
    /// The latest label texts of pieces. Many families of a group have the same labels.
    labels: SmallVec<[Arc<str>; REMEMBERED]>,
    /// The position of the one that the next one replaces.
    oldest: usize,
    /// A buffer for putting texts together.
    text: String,
}

impl Shareable {
    /// Remembers the first few of some label texts.
    pub fn with<'a>(labels: impl Iterator<Item = &'a Arc<str>>) -> Shareable {
        Shareable { labels: labels.take(REMEMBERED).cloned().collect(), ..Shareable::default() }
    }

    /// The remembered copy of a label text. A new one is remembered.
    pub fn labels(&mut self, labels: &Arc<str>) -> Arc<str> {
        match self.known(labels) {
            Some(known) => known,
            None => self.remember(labels.clone()),
        }
    }

    /// The label text of a piece that had the text `before` and gets some more label blocks.
    pub fn extended<'a>(&mut self, before: &str, blocks: impl Iterator<Item = &'a str>) -> Arc<str> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.push_str(before);
        blocks.for_each(|block| text.push_str(block));
        let labels = match self.known(&text) {
            Some(known) => known,
            None => self.remember(text.as_str().into()),
        };
        self.text = text;
        labels
    }

    fn known(&self, labels: &str) -> Option<Arc<str>> {
        self.labels.iter().find(|known| ***known == *labels).cloned()
    }

    fn remember(&mut self, labels: Arc<str>) -> Arc<str> {
        if self.labels.len() < REMEMBERED {
            self.labels.push(labels.clone());
        } else {
            self.labels[self.oldest] = labels.clone();
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kind::Form;
    use crate::model::merge::{FamilyTerms, Fold, Merge};
    use crate::store::fixture::{self, grouping, store};
    use crate::store::piece::Piece;
    use crate::store::{FamilyView, GroupView, Store};

    /// Pushes from a source, whose values are folded, or without one.
    fn push(store: &Store, source: Option<&'static str>, body: &str) {
        let merge = source.map(|_| Merge::Fold(Fold::Sum));
        let terms = FamilyTerms { merge, ..FamilyTerms::default() };
        fixture::push(store, source, terms, body, 1).unwrap();
    }

    /// For each family, the first one that has the very same label text.
    fn sharing(group: &GroupView) -> String {
        let labels = |family: &FamilyView| family.pieces.first().unwrap().shared_blocks().clone();
        let is_same = |a: &FamilyView, b: &FamilyView| Arc::ptr_eq(&labels(a), &labels(b));
        let first = |family| group.families.iter().find(|first| is_same(first, family)).unwrap();
        group.families.iter().map(|family| &*first(family).name).collect()
    }

    /// The same group with pieces of its own.
    fn rebuilt(mut group: GroupView) -> GroupView {
        for family in &mut group.families {
            let rebuilt = |piece: &Arc<Piece>| {
                let row = |at| (piece.block(at), piece.start(at), piece.owned(at));
                Arc::new(Piece::of(Form::Number, (0..piece.len()).map(row)))
            };
            family.pieces = family.pieces.iter().map(rebuilt).collect();
        }
        group
    }

    #[test]
    fn families_share_the_labels_that_they_have_in_common() {
        // What is pushed, and what the families share then.
        let steps = [
            ("a 1\nb{x=\"1\"} 1\nc 1\nd{x=\"1\"} 1\n", "abab"),
            ("e 1\n", "ababa"),
            // A family with one more series has labels of its own; those that had the same stay as they were.
            ("a{x=\"1\"} 1\n", "abcbc"),
            ("c{x=\"1\"} 1\n", "ababe"),
        ];
        let store = store();
        for (body, expected) in steps {
            push(&store, None, body);
            let group = store.group(grouping().key()).unwrap();
            assert_eq!(sharing(&group), expected, "{body}");
            let (short, long) = ("{instance=\"\",job=\"a\"}", "{instance=\"\",job=\"a\",x=\"1\"}");
            for family in &group.families {
                let piece = family.pieces.first().unwrap();
                let expected =
                    if piece.len() == 2 { format!("{short}{long}") } else { piece.block(0).to_owned() };
                assert_eq!((piece.blocks(), &*family.name), (&*expected, &*family.name));
            }
        }
        // Nothing is shared in a file.
        let restored = fixture::store();
        restored.restore(rebuilt(store.group(grouping().key()).unwrap()));
        assert_eq!(sharing(&restored.group(grouping().key()).unwrap()), "ababe");
    }

    #[test]
    fn so_do_the_families_of_a_source() {
        let store = store();
        push(&store, Some("s"), "a 1\nb{x=\"1\"} 1\nc 1\n");
        push(&store, Some("s"), "d 1\ne{x=\"1\"} 1\n");
        let source = |store: &Store| store.sources(grouping().key(), 0, 1).1.pop().unwrap();
        assert_eq!(sharing(&source(&store)), "abaab");
        let restored = fixture::store();
        restored.restore(rebuilt(store.group(grouping().key()).unwrap()));
        restored.restore(rebuilt(source(&store)));
        assert_eq!(sharing(&source(&restored)), "abaab");
    }

    #[test]
    fn the_latest_texts_are_shared() {
        let mut shareable = Shareable::default();
        let first = shareable.extended("{a=\"1\"}", ["{a=\"2\"}", "{}"].into_iter());
        assert_eq!(&*first, "{a=\"1\"}{a=\"2\"}{}");
        assert!(Arc::ptr_eq(&first, &shareable.extended(&first, [].into_iter())));
        assert!(Arc::ptr_eq(&first, &shareable.labels(&Arc::from(&*first))));
        let is_shared =
            |shareable: &mut Shareable| Arc::ptr_eq(&first, &shareable.labels(&first.to_string().into()));
        for other in 1..REMEMBERED {
            shareable.extended("", [&*other.to_string()].into_iter());
            assert!(is_shared(&mut shareable), "{other}");
        }
        shareable.extended("", ["one too many"].into_iter());
        assert!(!is_shared(&mut shareable));
    }
}
