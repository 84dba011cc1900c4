//! Finds the group or family that a refused push clashes with, for the message.

use crate::model::labels::ShownLabels;
use crate::model::push::Push;
use crate::model::refusal::{Cause, Other, Refusal};
use crate::store::Store;
use crate::store::definition::Definitions;
use crate::store::group::Group;
use crate::store::space::Space;

impl Store {
    /// Finds the families that a push to the group with the key `own` clashes with.
    pub(super) fn locate(
        &self,
        space: &Space<'_>,
        refusal: &mut Refusal,
        push: &Push,
        own: &str,
        definitions: &Definitions,
    ) {
        for (cause, other) in refusal.others_mut() {
            let Other::Family(name) = &*other else { continue };
            let is_in_push = push.family(name).is_some() && !matches!(cause, Cause::KindConflict { .. });
            if let Some(place) = self.place_of(space, name, own, is_in_push, definitions) {
                *other = place;
            }
        }
    }

    fn place_of(
        &self,
        space: &Space<'_>,
        name: &str,
        own: &str,
        is_in_push: bool,
        definitions: &Definitions,
    ) -> Option<Other> {
        if is_in_push {
            return Some(Other::SamePush);
        }
        let Some((_, groups)) = definitions.live(name) else {
            return definitions.is_own(name).then_some(Other::Gateway);
        };
        let has_family = |group: &Group| group.family(name).is_some();
        let is_in_own = space.read(own, has_family).unwrap_or(false);
        let others = groups - u32::from(is_in_own);
        if others == 0 {
            return Some(Other::Group { key: ShownLabels::of(own), more: 0 });
        }
        let key = ShownLabels::of(definitions.holder(name, own)?);
        Some(Other::Group { key, more: others - 1 })
    }
}
