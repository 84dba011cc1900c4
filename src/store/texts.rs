//! Help texts and units, shared by the families that have them.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Texts of which at least so many are looked through for those that nobody has any more.
const MIN_TEXTS: usize = 16;

/// The texts of one metric name. Groups mostly agree on one; where they don't, each is found at once all the
/// same.
#[derive(Debug, Default)]
pub(super) enum Texts {
    #[default]
    None,
    One(Arc<str>),
    Many(Box<Many>),
}

/// Many texts.
#[derive(Debug, Default)]
pub(super) struct Many {
    all: HashSet<Arc<str>, RandomState>,
    /// How many there are when they are looked through the next time.
    cleaned_at: usize,
}

impl Texts {
    /// The shared copy of a text.
    pub(super) fn shared(&mut self, text: &str) -> Arc<str> {
        match self {
            Texts::None => {}
            Texts::One(known) if **known == *text => return known.clone(),
            Texts::One(known) => {
                let all = [known.clone()].into_iter().collect();
                *self = Texts::Many(Box::new(Many { all, cleaned_at: 0 }));
            }
            Texts::Many(_) => {}
        }
        match self {
            Texts::Many(many) => many.shared(text),
            Texts::None | Texts::One(_) => {
                let text: Arc<str> = text.into();
                *self = Texts::One(text.clone());
                text
            }
        }
    }
}

impl Many {
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.all.get(text) {
            return known.clone();
        }
        // Looking through all each time would make every new text cost more than the one before.
        if self.all.len() >= self.cleaned_at.max(MIN_TEXTS) {
            self.all.retain(|known| Arc::strong_count(known) > 1);
            self.all.shrink_to_fit();
            self.cleaned_at = 2 * self.all.len();
        }
        let text: Arc<str> = text.into();
        self.all.insert(text.clone());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_there_once_and_goes_with_the_last_that_has_it() {
        let mut texts = Texts::default();
        let kept: Vec<Arc<str>> = (0..100).map(|n| texts.shared(&n.to_string())).collect();
        for (n, text) in kept.iter().enumerate() {
            assert!(Arc::ptr_eq(&texts.shared(&n.to_string()), text));
        }
        for n in 100..10_000 {
            texts.shared(&n.to_string());
        }
        let Texts::Many(texts) = texts else { panic!("there are many") };
        assert!(texts.all.len() <= 2 * 100 + MIN_TEXTS, "{}", texts.all.len());
        assert!(kept.iter().all(|text| texts.all.contains(text)));
    }
}
