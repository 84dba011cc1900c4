//! The users of the web configuration and the bcrypt hashes of their passwords.

use std::collections::BTreeMap;

use crate::config::web::Secret;

/// A bcrypt hash, without its cost, of a password that nobody knows.
const NOBODYS: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// The bcrypt cost if there are no users to take it from.
const USUAL_COST: u32 = 10;

/// The users who can log in with a password.
#[derive(Debug)]
pub(super) struct Accounts {
    hashes: BTreeMap<String, Secret>,
    /// The hashes that passwords of unknown users are checked against, one with the cost of each user. Never empty.
    stand_ins: Vec<String>,
}

impl Accounts {
    pub(super) fn new(hashes: BTreeMap<String, Secret>) -> Accounts {
        let stand_in = |cost: u32| format!("$2y${cost:02}${NOBODYS}");
        let costs = hashes.values().map(|hash| {
            let parts = hash.expose().parse::<bcrypt::HashParts>();
            parts.map_or(USUAL_COST, |parts| parts.get_cost())
        });
        let mut stand_ins: Vec<String> = costs.map(stand_in).collect();
        if stand_ins.is_empty() {
            stand_ins.push(stand_in(USUAL_COST));
        }
        Accounts { hashes, stand_ins }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash to check a password against, and whether the user exists. For an unknown user, `number` chooses a
    /// stand-in. Both are looked up for every name, so that the time does not reveal which users exist.
    pub(super) fn hash_of(&self, user: &str, number: u64) -> (&str, bool) {
        let at = usize::try_from(number % self.stand_ins.len() as u64).unwrap_or_default();
        let stand_in = self.stand_ins.get(at).map_or("", String::as_str);
        match self.hashes.get(user) {
            Some(hash) => (hash.expose(), true),
            None => (stand_in, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn accounts(users: &[(&str, u32)]) -> Accounts {
        let hash = |cost: u32| serde_json::from_str(&format!("\"$2y${cost:02}${NOBODYS}\"")).unwrap();
        Accounts::new(users.iter().map(|(user, cost)| ((*user).to_owned(), hash(*cost))).collect())
    }

    #[test]
    fn nobody_costs_what_the_users_cost() {
        let accounts = accounts(&[("a", 4), ("b", 7)]);
        let hashes: BTreeSet<_> = (0..200).map(|number| accounts.hash_of("nobody", number)).collect();
        let hashes: Vec<_> = hashes.iter().map(|(hash, is_known)| (&hash[..7], *is_known)).collect();
        assert_eq!(hashes, [("$2y$04$", false), ("$2y$07$", false)]);
        assert_eq!(accounts.hash_of("nobody", 5), accounts.hash_of("nobody", 5));
    }

    #[test]
    fn users_have_their_own_hash() {
        let accounts = accounts(&[("a", 4), ("b", 7)]);
        for number in [0, 1, u64::MAX] {
            let (hash, is_known) = accounts.hash_of("b", number);
            assert!(hash.starts_with("$2y$07$") && is_known);
        }
        assert!(!accounts.is_empty());
    }

    #[test]
    fn without_users_there_is_something_to_check_against() {
        let accounts = accounts(&[]);
        let (hash, is_known) = accounts.hash_of("x", 9);
        assert!(hash.starts_with("$2y$10$") && !is_known && accounts.is_empty());
    }
}
