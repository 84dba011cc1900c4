//! Checks bcrypt hashes.

/// Go accepts hashes without the last character, which some tools leave out. A whole hash has 60.
const SHORTEST: usize = 59;

/// With a higher cost, a login takes longer than a second. Each step doubles the time.
const SLOW: u32 = 14;

/// With a higher cost, a login takes 15 seconds and more, longer than a scrape waits. Logins are checked one at a time,
/// so nobody else could log in meanwhile.
const HIGHEST: u32 = 17;

/// The cost of a hash if its check takes longer than a second.
pub(super) fn slow_cost(hash: &str) -> Option<u32> {
    let cost = hash.parse::<bcrypt::HashParts>().ok()?.get_cost();
    (cost > SLOW).then_some(cost)
}

/// Roughly how many seconds it takes to check a hash of this cost.
pub fn seconds(cost: u32) -> u64 {
    1 << cost.saturating_sub(SLOW).min(63)
}

/// Checks a hash as Go's bcrypt does, with its messages, and then whether our bcrypt can verify it.
/// Errors never quote the text: it may be a password by mistake.
pub(super) fn check(hash: &str) -> Result<(), String> {
    if hash.len() < SHORTEST {
        return Err("crypto/bcrypt: hashedSecret too short to be a bcrypted password".to_owned());
    }
    if !hash.starts_with('$') {
        return Err("crypto/bcrypt: bcrypt hashes must start with '$'".to_owned());
    }
    if !hash.starts_with("$2") {
        return Err(
            "crypto/bcrypt: this bcrypt algorithm version is unknown, expected one of $2a$, $2b$, $2y$"
                .to_owned(),
        );
    }
    let parts = hash.parse::<bcrypt::HashParts>().map_err(|_| {
        "crypto/bcrypt: the hash is malformed, expected 60 characters such as $2y$10$...".to_owned()
    })?;
    let cost = parts.get_cost();
    if !(4..=31).contains(&cost) {
        return Err(format!("crypto/bcrypt: cost {cost} is outside allowed range (4,31)"));
    }
    if cost > HIGHEST {
        return Err(format!(
            "the bcrypt hash has the cost {cost}: each login would take some {} seconds, and all others would wait; \
             make a new hash with a cost of 10 to 12, such as by htpasswd -nBC 10 NAME (at most {HIGHEST} is taken)",
            seconds(cost)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_checked_without_being_shown() {
        let tail = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
        for start in ["$2a$10$", "$2b$04$", "$2y$17$", "$2x$12$"] {
            assert_eq!(check(&format!("{start}{tail}")), Ok(()), "{start}");
        }
        for (hash, words) in [
            (String::new(), "hashedSecret too short"),
            ("hunter2".to_owned(), "hashedSecret too short"),
            (format!("x2y$10$x{tail}"), "must start with '$'"),
            (format!("$5$rounds${tail}"), "algorithm version is unknown"),
            (format!("$2y$03${tail}"), "cost 3 is outside allowed range (4,31)"),
            (format!("$2y$99${tail}"), "cost 99 is outside"),
            (format!("$2y$18${tail}"), "has the cost 18: each login would take some 16 seconds"),
            (format!("$2y$31${tail}"), "has the cost 31: each login would take some 131072 seconds"),
            (format!("$2y$aa${tail}"), "malformed"),
            (format!("$2y$10${tail}x"), "malformed"),
            (format!("$2y$10${}", "€".repeat(20)), "malformed"),
        ] {
            let error = check(&hash).unwrap_err();
            assert!(error.contains(words), "{hash}: {error}");
            assert!(!error.contains(tail) && !error.contains("hunter2"), "{error}");
        }
    }
}
