//! Help texts and units, shared by the families that have them.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// With fewer texts than this, unused ones are not searched for.
const MIN_TEXTS: usize = 16;

/// The texts of one metric name. Groups usually agree on one. If they don't, a text is still found quickly.
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
    /// The number of texts at which unused ones are removed next.
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
        // A search at every insertion would make each new text cost more than the one before.
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
