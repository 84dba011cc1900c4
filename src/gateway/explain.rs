//! What the rules say of a push, without applying it: for whoever writes rules.

use bumpalo::Bump;

use super::ruled::{RulePlace, Ruled};
use super::{Gateway, PushError, PushRequest};
use crate::config::PutMode;
use crate::exposition::ending;
use crate::model::body::ClearMode;
use crate::model::grouping::Grouping;
use crate::model::kind::Kind;
use crate::model::merge::{Buckets, Merge, Temporality};

/// What the rules say of a push.
#[derive(Debug)]
pub struct Explanation {
    /// The group rule that decides, if any matches.
    pub rule: Option<RulePlace>,
    /// The group that the push is for.
    pub target: Grouping<'static>,
    /// Whether relabelling drops the whole push.
    pub is_dropped: bool,
    /// What PUT does.
    pub put: PutMode,
    /// The label block that tells the sender apart.
    pub source: String,
    /// The families of the push, in its order.
    pub families: Vec<ExplainedFamily>,
}

/// What the rules say of a family of a push.
#[derive(Debug)]
pub struct ExplainedFamily {
    /// Its name after relabelling.
    pub name: String,
    /// The name that was pushed.
    pub pushed_name: String,
    /// Its type.
    pub kind: Kind,
    /// The metric rule that decides, if any matches.
    pub rule: Option<RulePlace>,
    /// What the label `clearmode` says, and whether it counts: it does not where a rule says how values are merged.
    pub clear_mode: Option<(ClearMode, bool)>,
    /// How its values are merged.
    pub merge: Merge,
    /// Whether the pushed family takes the place of the one that is there, with all its series.
    pub is_whole: bool,
    /// What its values count from.
    pub temporality: Temporality,
    /// What happens to bucket bounds that differ.
    pub buckets: Buckets,
}

impl Gateway {
    /// Says what the rules decide about a push, and changes nothing.
    ///
    /// # Errors
    ///
    /// Why the push is not accepted, whatever the store holds.
    pub fn explain(&self, push: &PushRequest<'_>) -> Result<Explanation, PushError> {
        let ruled = self.ruled(push)?;
        let rules = self.rules();
        let arena = Bump::new();
        let body = push.format.parse(push.body, &self.reading(), &arena)?;
        let aggregate = self.settings.aggregate;
        let mut families: Vec<_> = Vec::new();
        let explained = |family: &crate::model::body::Family<'_>| {
            let terms = ruled.as_ref().map(|ruled| ruled.terms(family)).unwrap_or_default();
            let kind = family.kind.unwrap_or(Kind::Untyped);
            let rule = ruled.as_ref().and_then(|ruled| ruled.metric_rule(family));
            ExplainedFamily {
                name: family.name.to_owned(),
                pushed_name: family.pushed_name.to_owned(),
                kind,
                rule: rules.as_ref().zip(rule).map(|(rules, rule)| RulePlace {
                    file: rules.path().to_owned(),
                    place: rules.metric_rule_place(rule),
                }),
                clear_mode: ruled.as_ref().and_then(|ruled| ruled.clear_mode(family)),
                merge: if aggregate { terms.merge_of(kind, family.name) } else { Merge::Last },
                is_whole: terms.is_whole,
                temporality: terms.temporality,
                buckets: terms.buckets,
            }
        };
        let bodies = push.check_jobs(&body).and_then(|()| match &ruled {
            Some(ruled) => ruled.transform(body, push.grouping, &arena),
            None => Ok(vec![body]),
        });
        let bodies = bodies.map_err(|refusal| PushError::Refused {
            place: refusal.offset.map(|offset| ending::position(push.body, offset as usize)),
            refusal: Box::new(refusal),
        })?;
        for body in bodies.iter().take(1) {
            families.extend(body.families.iter().map(explained));
        }
        let rule = ruled.as_ref().and_then(Ruled::group_rule);
        Ok(Explanation {
            rule: rules.as_ref().zip(rule).map(|(rules, rule)| RulePlace {
                file: rules.path().to_owned(),
                place: rules.group_rule_place(rule),
            }),
            target: ruled
                .as_ref()
                .map_or_else(|| push.grouping.to_static(), |ruled| ruled.target().to_static()),
            is_dropped: ruled.as_ref().is_some_and(Ruled::is_dropped),
            put: ruled.as_ref().and_then(Ruled::put).unwrap_or(self.settings.put),
            source: ruled
                .as_ref()
                .map_or_else(|| push.grouping.key().to_owned(), |ruled| ruled.source(push.grouping)),
            families,
        })
    }
}
