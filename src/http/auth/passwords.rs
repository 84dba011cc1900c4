//! Checks passwords against bcrypt hashes.
//!
//! A check is slow on purpose. So checks run one at a time, outside the workers, and their results are cached. The
//! cache holds keyed hashes of user, bcrypt hash and password, under a key that only this process has. A changed
//! bcrypt hash makes its entries useless. Right and wrong logins are cached separately, so that guessing can't push
//! out the real users. An unknown user takes as long as a known one, because the steps are the same.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web;
use ring::hmac;
use ring::rand::SystemRandom;

use super::accounts::Accounts;

/// How many right logins are cached.
const RIGHT_ONES: usize = 1000;

/// How many wrong logins are cached.
const WRONG_ONES: usize = 100;

/// At most this many different logins wait for a check. Each holds its request, even if the client has gone.
const WAITING_ONES: usize = 128;

type Digest = [u8; 32];

/// Checks passwords and caches the results.
#[derive(Debug)]
pub(super) struct Passwords {
    key: hmac::Key,
    /// Chooses the stand-in hash for an unknown user. The choice for a name stays the same while the gateway runs,
    /// so that the time reveals nothing.
    choice: RandomState,
    remembered: Mutex<Remembered>,
    /// Locked while a check runs.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// How many requests wait with each login.
    waiting: Mutex<HashMap<Digest, usize>>,
    /// How many bytes were hashed to recognise logins.
    #[cfg(test)]
    hashed: std::sync::atomic::AtomicUsize,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckResult {
    /// The user exists, and this is the password.
    Right,
    /// User or password is wrong.
    Wrong,
    /// Too many other logins wait for a check.
    Busy,
}

impl CheckResult {
    fn of(is_right: bool) -> CheckResult {
        if is_right { CheckResult::Right } else { CheckResult::Wrong }
    }
}

/// Counts a login as waiting until it is dropped.
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
            // Drops any one entry: a hash set has no order.
            let some = set.iter().next().copied();
            some.map(|one| set.remove(&one));
        }
        set.insert(login);
    }
}

impl Passwords {
    /// `None` if the system gives no random bytes.
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

    /// Checks a login, or takes the result from the cache.
    pub(super) async fn check(&self, accounts: &Accounts, user: &str, password: Vec<u8>) -> CheckResult {
        let (hash, is_known) = accounts.hash_of(user, self.number(user));
        let login = self.digest(user, hash, &password);
        if let Some(is_right) = self.verdict(&login) {
            return CheckResult::of(is_right);
        }
        let Some(_waiting) = self.wait(login) else { return CheckResult::Busy };
        let turn = self.turn.clone().lock_owned().await;
        // The check before this one may have been of the same login.
        if let Some(is_right) = self.verdict(&login) {
            return CheckResult::of(is_right);
        }
        let hash = hash.to_owned();
        let checked = web::block(move || {
            let is_right = bcrypt::verify(password, &hash).unwrap_or(false) && is_known;
            // The lock is held until the check ends, even if the client has gone.
            (is_right, turn)
        });
        // The thread pool fails only during shutdown.
        let Ok((is_right, _turn)) = checked.await else { return CheckResult::Busy };
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).add(login, is_right);
        CheckResult::of(is_right)
    }

    /// Counts this login as waiting. The same login may wait many times, as after a start.
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
        // The lengths keep different logins from having the same bytes.
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

    /// Chooses the stand-in hash of an unknown user.
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
        // Once for the check and once from the cache.
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
