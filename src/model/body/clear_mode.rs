//! The label `clearmode` of gravel-gateway, by which a push says how its values are merged.

use super::{Body, Family, Label};
use crate::message::Excerpt;
use crate::model::kind::Kind;
use crate::model::merge::{Merge, Temporality};
use crate::model::refusal::{Cause, Refusal};

/// The name of the label.
const LABEL: &str = "clearmode";

/// How the series of a pushed family are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearMode {
    /// Values are added.
    Aggregate,
    /// The latest push of a series stays. Of what counts something, it is the running total.
    Replace,
    /// The pushed family takes the place of the one that the group has, with all its series.
    Family,
}

impl ClearMode {
    /// The name by which messages show it.
    pub fn name(self) -> &'static str {
        match self {
            ClearMode::Aggregate => "aggregate",
            ClearMode::Replace => "replace",
            ClearMode::Family => "family",
        }
    }

    fn named(name: &str) -> Option<ClearMode> {
        Some(match name {
            "aggregate" | "sum" => ClearMode::Aggregate,
            "replace" => ClearMode::Replace,
            "family" | "info" => ClearMode::Family,
            _ => return None,
        })
    }

    /// How gauges and untyped values are merged.
    pub fn merge(self) -> Merge {
        match self {
            ClearMode::Aggregate => Merge::Add,
            ClearMode::Replace | ClearMode::Family => Merge::Last,
        }
    }

    /// What counters, histograms and summaries count from. A counter that is replaced is a running total to
    /// Prometheus, so it is one here: what it grows by is added.
    pub fn temporality(self) -> Temporality {
        match self {
            ClearMode::Replace => Temporality::Cumulative,
            ClearMode::Aggregate | ClearMode::Family => Temporality::Delta,
        }
    }
}

impl<'a> Body<'a> {
    /// Takes the label `clearmode` off all series, and notes in each family what it says. An empty value says nothing.
    ///
    /// # Errors
    ///
    /// If a value is no mode that the gateway has, or if the series of a family have several.
    pub fn take_clear_modes(&mut self) -> Result<(), Refusal> {
        for at in 0..self.families.len() {
            let mut mode: Option<&str> = None;
            let mut next = self.families[at].series.first;
            while let Some(linked) = self.series.get(next as usize) {
                let (handle, offset) = (next, linked.item.offset);
                next = linked.next;
                let own = self.take_label(handle, LABEL).unwrap_or_default();
                let family = || Excerpt::of(self.families[at].name);
                if *mode.get_or_insert(own) != own {
                    let modes = Box::new([mode.unwrap_or_default(), own].map(Excerpt::of));
                    let cause = Cause::ClearModesDiffer { family: family(), modes };
                    return Err(Refusal::at(offset, cause));
                }
                let found = ClearMode::named(own);
                if found.is_none() && !own.is_empty() {
                    return Err(Refusal::at(offset, unknown(family(), own)));
                }
                let Family { kind, clear_mode, .. } = &mut self.families[at];
                let kind = kind.unwrap_or(Kind::Untyped);
                if found == Some(ClearMode::Aggregate) && !can_add(kind) {
                    let cause = Cause::ClearModeOfKind { family: Excerpt::of(self.families[at].name) };
                    return Err(Refusal::at(offset, cause));
                }
                *clear_mode = found;
            }
        }
        Ok(())
    }

    /// Takes a label off a series. Returns its value, if the series has it.
    fn take_label(&mut self, handle: u32, name: &str) -> Option<&'a str> {
        let (start, end) = self.series(handle).labels;
        let labels = self.labels.get_mut(start as usize..end as usize)?;
        let at = labels.iter().position(|label| label.name == name)?;
        let Label { escaped_value, .. } = labels[at];
        labels[at..].rotate_left(1);
        self.series_mut(handle).labels = (start, end - 1);
        Some(escaped_value)
    }
}

/// Whether values of this kind can be added.
fn can_add(kind: Kind) -> bool {
    !matches!(kind, Kind::GaugeHistogram | Kind::Info | Kind::StateSet)
}

fn unknown(family: Excerpt, mode: &str) -> Cause {
    let is_window = ["mean", "sum"].iter().any(|start| {
        mode.strip_prefix(start).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    });
    let mode = Excerpt::of(mode);
    if is_window { Cause::ClearModeWindow { family, mode } } else { Cause::ClearModeUnknown { family, mode } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::body::Value;

    /// A body with a family of these series, each with the names and values of its labels.
    fn body(kind: Option<Kind>, series: &[&[(&'static str, &'static str)]]) -> Body<'static> {
        let mut body = Body::with_capacity(0, 0);
        body.families.push(Family { kind, ..Family::new("m") });
        for labels in series {
            let mark = body.label_mark();
            for &(name, escaped_value) in *labels {
                body.push_label(Label { name, escaped_value }).unwrap();
            }
            body.push_series(0, mark, Value::Number(1.0), Some(mark as u32));
        }
        body
    }

    fn mode_of(
        kind: Option<Kind>,
        series: &[&[(&'static str, &'static str)]],
    ) -> Result<Option<ClearMode>, Refusal> {
        let mut body = body(kind, series);
        body.take_clear_modes()?;
        Ok(body.families[0].clear_mode)
    }

    #[test]
    fn only_the_label_goes_wherever_it_stands() {
        let (a, b, mode) = (("a", "1"), ("b", "2"), (LABEL, "sum"));
        let mut body = body(None, &[&[mode, a, b], &[a, mode, b], &[a, b, mode], &[mode]]);
        body.take_clear_modes().unwrap();
        let labels =
            |series| body.labels_of(series).iter().map(|label| (label.name, label.escaped_value)).collect();
        let labels: Vec<Vec<_>> = body.series_of(&body.families[0]).map(labels).collect();
        assert_eq!(labels, [vec![a, b], vec![a, b], vec![a, b], vec![]]);
        assert_eq!(body.families[0].clear_mode, Some(ClearMode::Aggregate));
    }

    #[test]
    fn values_that_are_modes() {
        for (value, mode) in [
            ("aggregate", Some(ClearMode::Aggregate)),
            ("sum", Some(ClearMode::Aggregate)),
            ("replace", Some(ClearMode::Replace)),
            ("family", Some(ClearMode::Family)),
            ("info", Some(ClearMode::Family)),
            ("", None),
        ] {
            assert_eq!(mode_of(None, &[&[(LABEL, value)]]), Ok(mode), "{value}");
        }
        assert_eq!(mode_of(None, &[&[], &[("a", "1"), (LABEL, "")]]), Ok(None));
        assert_eq!(mode_of(Some(Kind::Info), &[&[(LABEL, "replace")]]), Ok(Some(ClearMode::Replace)));
    }

    #[test]
    fn other_values_are_refused_with_their_place() {
        let family = || Excerpt::of("m");
        let refused = |kind, series: &[&[(&'static str, &'static str)]]| {
            let refusal = mode_of(kind, series).unwrap_err();
            (refusal.cause, refusal.offset)
        };
        for value in ["mean5m", "sum30s", "sum0"] {
            let cause = Cause::ClearModeWindow { family: family(), mode: Excerpt::of(value) };
            assert_eq!(refused(None, &[&[(LABEL, value)]]), (cause, Some(0)));
        }
        for value in ["mean", "summary", "Aggregate", "5m"] {
            let cause = Cause::ClearModeUnknown { family: family(), mode: Excerpt::of(value) };
            assert_eq!(refused(None, &[&[(LABEL, value)]]), (cause, Some(0)));
        }
        for kind in [Kind::Info, Kind::StateSet, Kind::GaugeHistogram] {
            let cause = Cause::ClearModeOfKind { family: family() };
            assert_eq!(refused(Some(kind), &[&[(LABEL, "sum")]]), (cause, Some(0)));
        }
        for (first, second) in [("replace", "family"), ("replace", ""), ("sum", "aggregate")] {
            let modes = Box::new([first, second].map(Excerpt::of));
            let cause = Cause::ClearModesDiffer { family: family(), modes };
            assert_eq!(refused(None, &[&[(LABEL, first)], &[("a", "1"), (LABEL, second)]]), (cause, Some(1)));
        }
    }
}
