//! Metric names as scrapes show them to clients that know only legacy names.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::escaping::Escaping;
use crate::model::name::is_legacy_metric_name;

/// Names that are not legacy names, by their form under each scheme that changes them. Legacy names never change
/// and are not in here.
#[derive(Debug, Default)]
pub struct ShownNames {
    by_scheme: [HashMap<String, Arc<str>, RandomState>; Escaping::CHANGING.len()],
}

impl ShownNames {
    /// Whether all names are legacy names.
    pub fn is_empty(&self) -> bool {
        self.by_scheme[0].is_empty()
    }

    /// Adds a name, unless it is a legacy name.
    pub fn add(&mut self, name: &Arc<str>) {
        if is_legacy_metric_name(name) {
            return;
        }
        for (scheme, names) in Escaping::CHANGING.into_iter().zip(&mut self.by_scheme) {
            names.insert(scheme.metric_name(name).into_owned(), name.clone());
        }
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &str) {
        if is_legacy_metric_name(name) {
            return;
        }
        for (scheme, names) in Escaping::CHANGING.into_iter().zip(&mut self.by_scheme) {
            names.remove(&*scheme.metric_name(name));
        }
    }

    /// The name whose form is `shown` under the scheme with this position in [`Escaping::CHANGING`].
    pub fn find(&self, scheme: usize, shown: &str) -> Option<&Arc<str>> {
        self.by_scheme[scheme].get(shown)
    }

    /// The form of `name` under a scheme in which another name has the same form: one in here, or a legacy name for
    /// which `is_legacy` is true.
    pub fn collision(&self, name: &str, is_legacy: impl Fn(&str) -> bool) -> Option<String> {
        let is_changed = !is_legacy_metric_name(name);
        if !is_changed && self.is_empty() {
            return None;
        }
        let mut schemes = Escaping::CHANGING.into_iter().zip(&self.by_scheme);
        schemes.find_map(|(scheme, names)| {
            let shown = scheme.metric_name(name);
            let is_taken =
                names.get(&*shown).is_some_and(|other| **other != *name) || (is_changed && is_legacy(&shown));
            is_taken.then(|| shown.into_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_the_same_under_some_scheme() {
        let mut names = ShownNames::default();
        names.add(&"a.b".into());
        names.add(&"legacy".into());
        let collision = |name: &str| names.collision(name, |legacy| legacy == "legacy_name");
        assert_eq!(collision("a.b"), None);
        assert_eq!(collision("a b").as_deref(), Some("a_b"));
        assert_eq!(collision("a_b").as_deref(), Some("a_b"));
        assert_eq!(collision("a_dot_b").as_deref(), Some("a_dot_b"));
        assert_eq!(collision("U__a_2e_b").as_deref(), Some("U__a_2e_b"));
        assert_eq!(collision("legacy.name").as_deref(), Some("legacy_name"));
        assert_eq!(collision("legacy"), None);
        names.remove("a.b");
        assert!(names.is_empty());
    }
}
