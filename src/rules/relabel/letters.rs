//! Lower and upper case as Go has them: one letter for one letter, whatever stands around it.

/// `text` in lower case.
pub(super) fn to_lower(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            // The only letter that has two in full.
            'İ' => 'i',
            c => c.to_lowercase().next().unwrap_or(c),
        })
        .collect()
}

/// `text` in upper case.
pub(super) fn to_upper(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(upper), None) => upper,
                // In full these have two letters or more; most of them have no single one.
                _ => single_upper(c),
            }
        })
        .collect()
}

/// Greek letters with an iota below have a single letter with an iota beside.
fn single_upper(c: char) -> char {
    let ahead = match c {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => 0,
    };
    char::from_u32(u32::from(c) + ahead).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `strings.ToLower` and `strings.ToUpper` of Go 1.27 have them.
    #[test]
    fn as_in_go() {
        for (text, lower, upper) in [
            ("aB1", "ab1", "AB1"),
            ("äÖ", "äö", "ÄÖ"),
            ("straße", "straße", "STRAßE"),
            ("ẞ", "ß", "ẞ"),
            ("İi", "ii", "İI"),
            ("ΑΣ", "ας".replace('ς', "σ").as_str(), "ΑΣ"),
            ("ς", "ς", "Σ"),
            ("ŉǰΐ", "ŉǰΐ", "ŉǰΐ"),
            ("ᾳᾀῳ", "ᾳᾀῳ", "ᾼᾈῼ"),
            ("ᾼᾈ", "ᾳᾀ", "ᾼᾈ"),
            ("ﬁ", "ﬁ", "ﬁ"),
            ("ǆǅ", "ǆǆ", "ǄǄ"),
        ] {
            assert_eq!((&*to_lower(text), &*to_upper(text)), (lower, upper), "{text}");
        }
    }
}
