//! Passwords against their bcrypt hashes.
//!
//! A check is slow on purpose, so that they are done one at a time, off the workers, and remembered. What is
//! remembered is a keyed hash of user, bcrypt hash and password, under a key that only this process has; a
//! changed bcrypt hash makes it useless. Right and wrong ones are remembered apart, so that no amount of
//! guessing makes the gateway forget who its users are. Users that don't exist take as long as those that do: the same
//! steps are taken for both.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web;
use ring::hmac;
use ring::rand::SystemRandom;

use super::accounts::Accounts;

/// How many right logins are remembered.
const RIGHT_ONES: usize = 1000;

/// How many wrong ones.
const WRONG_ONES: usize = 100;

/// How many different logins wait for a check. Each holds its request, also once the client has gone.
const WAITING_ONES: usize = 128;

type Digest = [u8; 32];

/// What checks passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    key: hmac::Key,
    /// Chooses what names of nobody are checked against: the same for the same name for as long as the gateway
    /// runs, so that time does not tell.
    choice: RandomState,
    remembered: Mutex<Remembered>,
    /// Held by the check that is being done.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// How often each login waits for its turn.
    waiting: Mutex<HashMap<Digest, usize>>,
    /// How many bytes were hashed to recognise logins.
    #[cfg(test)]
    hashed: std::sync::atomic::AtomicUsize,
}

/// What is known of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckResult {
    /// There is such a user, and this is the password.
    Right,
    /// It is wrong.
    Wrong,
    /// Too many others wait to be checked.
    Busy,
}

impl CheckResult {
    fn of(is_right: bool) -> CheckResult {
        if is_right { CheckResult::Right } else { CheckResult::Wrong }
    }
}

/// Lasts while a login waits.
struct Waiting<'a> {
    passwords: &'a Passwords,
    login: Digest,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.passwords.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.login) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.login);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Remembered {
    right: HashSet<Digest>,
    wrong: HashSet<Digest>,
}

impl Remembered {
    fn verdict(&self, login: &Digest) -> Option<bool> {
        if self.right.contains(login) {
            return Some(true);
        }
        self.wrong.contains(login).then_some(false)
    }

    fn add(&mut self, login: Digest, is_right: bool) {
        let (set, capacity) =
            if is_right { (&mut self.right, RIGHT_ONES) } else { (&mut self.wrong, WRONG_ONES) };
        if set.len() >= capacity {
            // In the order of a hash set that is in no order: any one goes.
            let some = set.iter().next().copied();
            some.map(|one| set.remove(&one));
        }
        set.insert(login);
    }
}

impl Passwords {
    /// None if the system has no randomness.
    pub(super) fn new() -> Option<Passwords> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        Some(Passwords {
            key,
            choice: RandomState::new(),
            remembered: Mutex::default(),
            turn: Arc::default(),
            waiting: Mutex::default(),
            #[cfg(test)]
            hashed: Default::default(),
        })
    }

    /// Checks a login, or remembers what came of that.
    pub(super) async fn check(&self, accounts: &Accounts, user: &str, password: Vec<u8>) -> CheckResult {
        let (hash, is_known) = accounts.hash_of(user, self.number(user));
        let login = self.digest(user, hash, &password);
        if let Some(is_right) = self.verdict(&login) {
            return CheckResult::of(is_right);
        }
        let Some(_waiting) = self.wait(login) else { return CheckResult::Busy };
        let turn = self.turn.clone().lock_owned().await;
        // The one before may have been the same.
        if let Some(is_right) = self.verdict(&login) {
            return CheckResult::of(is_right);
        }
        let hash = hash.to_owned();
        let checked = web::block(move || {
            let is_right = bcrypt::verify(password, &hash).unwrap_or(false) && is_known;
            // The turn ends with the check, also where the client has gone meanwhile.
            (is_right, turn)
        });
        // The pool only fails while the server goes down.
        let Ok((is_right, _turn)) = checked.await else { return CheckResult::Busy };
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).add(login, is_right);
        CheckResult::of(is_right)
    }

    /// A place among those that wait: the same login may wait many times, as after a start.
    fn wait(&self, login: Digest) -> Option<Waiting<'_>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_ONES && !waiting.contains_key(&login) {
            return None;
        }
        *waiting.entry(login).or_default() += 1;
        Some(Waiting { passwords: self, login })
    }

    fn verdict(&self, login: &Digest) -> Option<bool> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).verdict(login)
    }

    fn digest(&self, user: &str, hash: &str, password: &[u8]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        // With their lengths, so that no two logins are the same bytes.
        for part in [user.as_bytes(), hash.as_bytes(), password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
            #[cfg(test)]
            self.hashed.fetch_add(part.len(), std::sync::atomic::Ordering::Relaxed);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// What chooses the hash for a user who does not exist.
    fn number(&self, user: &str) -> u64 {
        #[cfg(test)]
        self.hashed.fetch_add(user.len(), std::sync::atomic::Ordering::Relaxed);
        self.choice.hash_one(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_differ_wherever_logins_do() {
        let passwords = Passwords::new().unwrap();
        let digests: HashSet<Digest> = [
            passwords.digest("a", "h", b"p"),
            passwords.digest("ah", "", b"p"),
            passwords.digest("a", "hp", b""),
            passwords.digest("", "ah", b"p"),
            Passwords::new().unwrap().digest("a", "h", b"p"),
        ]
        .into();
        assert_eq!(digests.len(), 5);
        assert_eq!(passwords.digest("a", "h", b"p"), passwords.digest("a", "h", b"p"));
    }

    #[test]
    fn wrong_logins_never_push_out_right_ones() {
        let mut remembered = Remembered::default();
        let login = |number: u32| {
            let mut digest = Digest::default();
            digest[..4].copy_from_slice(&number.to_le_bytes());
            digest
        };
        remembered.add(login(0), true);
        (1..1000).for_each(|number| remembered.add(login(number), false));
        assert_eq!(remembered.verdict(&login(0)), Some(true));
        assert_eq!(remembered.verdict(&login(999)), Some(false));
        assert_eq!(remembered.wrong.len(), WRONG_ONES);
        (1000..4000).for_each(|number| remembered.add(login(number), true));
        assert_eq!(remembered.right.len(), RIGHT_ONES);
    }

    #[test]
    fn not_everybody_waits() {
        let passwords = Passwords::new().unwrap();
        let login = |number: usize| passwords.digest(&number.to_string(), "", b"");
        let mut waiting: Vec<_> =
            (0..WAITING_ONES).map(|number| passwords.wait(login(number)).unwrap()).collect();
        assert!(passwords.wait(login(WAITING_ONES)).is_none());
        assert!(passwords.wait(login(0)).is_some());
        assert!(passwords.wait(login(WAITING_ONES)).is_none(), "the same login waits on");
        waiting.pop();
        assert!(passwords.wait(login(WAITING_ONES)).is_some());
        waiting.clear();
        assert!(passwords.waiting.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_same_work_is_done_for_users_and_for_nobody() {
        let passwords = Passwords::new().unwrap();
        let hash = serde_json::from_str(&format!("{:?}", bcrypt::hash("right", 4).unwrap())).unwrap();
        let accounts = Accounts::new([("alice".to_owned(), hash)].into());
        let hashed = || passwords.hashed.swap(0, std::sync::atomic::Ordering::Relaxed);
        let mut works = Vec::new();
        // Each once before it is remembered and once from memory.
        for user in ["alice", "nobod"] {
            for _ in 0..2 {
                let verdict = passwords.check(&accounts, user, b"wrong".to_vec()).await;
                assert_eq!(
                    (verdict, passwords.remembered.lock().unwrap().right.len()),
                    (CheckResult::Wrong, 0)
                );
                works.push(hashed());
            }
        }
        assert_eq!(works, [works[0]; 4]);
        assert_eq!(works[0], "alice".len() * 2 + bcrypt::hash("", 4).unwrap().len() + "wrong".len());
        assert_eq!(passwords.check(&accounts, "alice", b"right".to_vec()).await, CheckResult::Right);
        assert_eq!(hashed(), works[0]);
    }

    #[test]
    fn nobody_is_always_checked_against_the_same_hash() {
        let passwords = Passwords::new().unwrap();
        assert_eq!(passwords.number("nobody"), passwords.number("nobody"));
        let numbers: HashSet<u64> = (0..100).map(|name: u8| passwords.number(&name.to_string())).collect();
        assert_eq!(numbers.len(), 100);
        assert_ne!(passwords.number("nobody"), Passwords::new().unwrap().number("nobody"));
    }
}
