//! Finds names whose samples would have the names of another family's samples.

use crate::message::Excerpt;
use crate::model::kind::{Form, Kind};
use crate::model::refusal::Cause;

/// Checks that samples of `name` do not get the names of another family's samples. `live` returns the type of a
/// family (client_golang, `checkSuffixCollisions`).
///
/// # Errors
///
/// The collision in the words of client_golang, and the name of the other family.
pub(super) fn check_suffixes(
    name: &str,
    kind: Kind,
    live: impl Fn(&str) -> Option<Kind>,
) -> Result<(), (Cause, String)> {
    for suffix in ["_count", "_sum", "_bucket"] {
        let Some(base) = name.strip_suffix(suffix).filter(|base| !base.is_empty()) else { continue };
        if let Some(base_kind) = live(base)
            && base_kind.sample_suffixes().contains(&suffix)
        {
            let (family, base_shown) = (Excerpt::of(name), Excerpt::of(base));
            let cause =
                Cause::SuffixOfComposite { family, base: base_shown, kind: composite_word(base_kind) };
            return Err((cause, base.to_owned()));
        }
    }
    for suffix in kind.sample_suffixes() {
        let other = format!("{name}{suffix}");
        if live(&other).is_some() {
            let (family, other_shown) = (Excerpt::of(name), Excerpt::of(&other));
            let cause = Cause::CompositeOverSuffix { family, kind: composite_word(kind), other: other_shown };
            return Err((cause, other));
        }
    }
    Ok(())
}

fn composite_word(kind: Kind) -> &'static str {
    if kind.form() == Form::Summary { "summary" } else { "histogram" }
}
