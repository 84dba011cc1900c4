//! Label forcing: the labels of a series and those of its group, sorted into one block.
//!
//! The rules are those of the stock gateway (`handler/push.go`, `sanitizeLabels`): grouping labels
//! overwrite those of the body, and a series that then has no `instance` label gets an empty one. Where an
//! empty label is none, an empty grouping label takes that of the body away.

use std::cmp::Ordering;

use crate::message::Excerpt;
use crate::model::body::Label;
use crate::model::escaping::colliding_label;
use crate::model::grouping::Grouping;
use crate::model::kind::{Form, Kind};
use crate::model::labels::{INSTANCE, escape, write_pair};
use crate::model::name::is_unusable_label_name;
use crate::model::refusal::Cause;

/// The grouping labels, written once per push.
pub(super) struct ForcedLabels<'g> {
    /// The names, and where the label ends in the text. A label without text is one that no series has.
    labels: Vec<(&'g str, usize)>,
    /// All labels, one after the other.
    text: String,
    /// Which is the empty `instance` label that a label of the body may replace.
    default_instance: Option<usize>,
}

impl<'g> ForcedLabels<'g> {
    pub(super) fn of(grouping: &'g Grouping<'_>) -> ForcedLabels<'g> {
        let mut pairs: Vec<(&str, Option<&str>)> =
            Vec::with_capacity(grouping.labels().len() + grouping.absent().len() + 1);
        pairs.extend(grouping.labels().iter().map(|label| (&*label.name, Some(&*label.value))));
        let mut insert = |name, value| {
            let at = pairs.partition_point(|(before, _)| *before < name);
            pairs.insert(at, (name, value));
            at
        };
        for name in grouping.absent() {
            insert(name, (**name == *INSTANCE).then_some(""));
        }
        let is_given = grouping.has_instance() || grouping.absent().iter().any(|name| **name == *INSTANCE);
        let default_instance = (!is_given).then(|| insert(INSTANCE, Some("")));
        let mut text = String::with_capacity(grouping.key().len() + 16);
        let label = |(name, value): (&'g str, Option<&str>)| {
            if let Some(value) = value {
                write_pair(&mut text, name, &escape(value));
            }
            (name, text.len())
        };
        let labels = pairs.into_iter().map(label).collect();
        ForcedLabels { labels, text, default_instance }
    }

    /// The length of their text.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    fn name(&self, at: usize) -> Option<&'g str> {
        self.labels.get(at).map(|(name, _)| *name)
    }

    fn label(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.labels[before].1);
        &self.text[start..self.labels[at].1]
    }
}

/// The label block of a series with its own values left out. The series of a family mostly have the
/// same label names in the same order, so they are sorted and checked once.
#[derive(Default)]
pub(super) struct Template<'a> {
    /// The form of the family; none before the first series.
    form: Option<Form>,
    /// The names of the series' own labels, in the order of the body.
    names: Vec<&'a str>,
    text: String,
    /// Where in the text the value of which own label goes.
    values: Vec<(usize, usize)>,
}

impl<'a> Template<'a> {
    /// Lays out the block of series whose labels have these names.
    pub(super) fn new(
        kind: Kind,
        labels: &[Label<'a>],
        forcing: &ForcedLabels<'_>,
    ) -> Result<Template<'a>, LabelFault> {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|&at| labels[at].name);
        if let Some(pair) = order.windows(2).find(|pair| labels[pair[0]].name == labels[pair[1]].name) {
            return Err(LabelFault::Duplicate(Excerpt::of(labels[pair[0]].name)));
        }
        if let Some(label) = labels.iter().find(|label| is_unusable_label_name(label.name)) {
            return Err(LabelFault::Invalid(Excerpt::of(label.name)));
        }
        let mut template = Template {
            form: Some(kind.form()),
            names: labels.iter().map(|label| label.name).collect(),
            text: String::with_capacity(forcing.text.len() + 64),
            values: Vec::with_capacity(labels.len()),
        };
        let special = kind.form().special_label();
        let (mut own, mut forced) = (order.into_iter().peekable(), 0);
        loop {
            let next_own = own.peek().map(|&at| labels[at].name);
            let order = match (next_own, forcing.name(forced)) {
                (None, None) => break,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(own), Some(forced)) => own.cmp(forced),
            };
            let taken = if order.is_le() { own.next() } else { None };
            if order.is_ge() && forcing.label(forced).is_empty() {
                forced += 1;
                continue;
            }
            template.text.push(if template.text.is_empty() { '{' } else { ',' });
            // A grouping label overwrites; the default for `instance` gives way.
            let is_own = order.is_lt() || (order.is_eq() && forcing.default_instance == Some(forced));
            if let Some(at) = taken.filter(|_| is_own) {
                if special == Some(labels[at].name) {
                    return Err(LabelFault::Explicit(labels[at].name == "le"));
                }
                write_pair(&mut template.text, labels[at].name, "");
                // The value goes before the quote that ends it.
                template.values.push((template.text.len() - 1, at));
            } else {
                if special.is_some() && special == forcing.name(forced) {
                    return Err(LabelFault::Explicit(special == Some("le")));
                }
                template.text.push_str(forcing.label(forced));
            }
            forced += usize::from(order.is_ge());
        }
        template.text.push('}');
        match colliding_label(&template.text) {
            Some(name) => Err(LabelFault::Colliding(Excerpt::of(&name))),
            None => Ok(template),
        }
    }

    /// Whether a series with these labels has this layout.
    #[inline]
    pub(super) fn fits(&mut self, kind: Kind, labels: &[Label<'a>], forcing: &ForcedLabels<'_>) -> bool {
        (self.form == Some(kind.form()) || self.takes_form(kind.form(), forcing))
            && self.names.len() == labels.len()
            && self.names.iter().zip(labels).all(|(name, label)| is_same(name, label.name))
    }

    /// Takes another form if none of the labels may be forbidden there.
    fn takes_form(&mut self, form: Form, forcing: &ForcedLabels<'_>) -> bool {
        let is_special = |name: &str| form.special_label() == Some(name);
        let can = self.form.is_some()
            && !self.names.iter().any(|name| is_special(name))
            && !forcing.labels.iter().any(|(name, _)| is_special(name));
        self.form = if can { Some(form) } else { self.form };
        can
    }

    /// Writes the block of a series with these labels, which fit.
    #[inline]
    pub(super) fn write(&self, out: &mut String, labels: &[Label<'a>]) {
        let mut from = 0;
        for (to, own) in &self.values {
            out.push_str(&self.text[from..*to]);
            out.push_str(labels[*own].escaped_value);
            from = *to;
        }
        out.push_str(&self.text[from..]);
    }
}

/// Whether two texts are the same. A parser mostly gives out the same text again.
#[inline]
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && (std::ptr::eq(a.as_ptr(), b.as_ptr()) || a == b)
}

/// What is wrong with the labels of a series.
pub(super) enum LabelFault {
    Duplicate(Excerpt),
    Invalid(Excerpt),
    Colliding(Excerpt),
    /// `le` on a histogram, or else `quantile` on a summary.
    Explicit(bool),
}

impl LabelFault {
    pub(super) fn cause(self, metric: String) -> Cause {
        match self {
            LabelFault::Duplicate(label) => Cause::DuplicateLabel { metric, label },
            LabelFault::Invalid(label) => Cause::InvalidLabelName { metric, label },
            LabelFault::Colliding(label) => Cause::CollidingLabelNames { metric, label },
            LabelFault::Explicit(is_le) => {
                Cause::ExplicitLabel { metric, label: if is_le { "le" } else { "quantile" } }
            }
        }
    }
}
