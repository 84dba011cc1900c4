//! A simulated disk that fails and forgets, as real ones do.
//!
//! Reads see everything that was written, but a crash keeps only what was synced, and any mixture of the other
//! sectors. A failed sync also drops what it could not write, although it can still be read, and the next sync does
//! not report that (as in Linux since 4.13).
//!
//! Every operation that can fail has a number, so that a fault can be placed at each of them.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use redb::StorageBackend;
use tallygate::persistence::redb::disk::{Bytes, Disk};

use crate::support::random::Random;

/// The longest time that a test waits for the gateway to try the disk again.
const PATIENCE: Duration = Duration::from_secs(120);

/// After a crash a sector is either old or new, never a mixture.
const SECTOR: usize = 512;

/// The operations of the gateway on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Open,
    Create,
    Write,
    SetLength,
    Sync,
    Install,
}

/// How much of a failed operation was done nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Nothing,
    Some,
    All,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An operation of this kind fails.
    Error(Operation, ErrorKind, Done),
    /// The machine stops before or within this operation, whichever it is.
    Crash,
}

/// A fault that is planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The number of the first operation that it may hit.
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    /// Whether it stays until [`SimulatedDisk::mend`].
    pub(crate) lasts: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    /// The content that reads see.
    seen: Vec<u8>,
    /// The content that a crash leaves at least.
    durable: Vec<u8>,
    /// The changes between the two.
    unsynced: Vec<Change>,
    /// Whether a failed sync has dropped some of them.
    has_lost: bool,
}

#[derive(Debug)]
struct State {
    files: Vec<File>,
    /// The file with the name, and the one that a crash may bring back.
    named: Option<usize>,
    named_before: Option<usize>,
    /// Its unfinished replacement.
    new: Option<usize>,
    random: Random,
    operations: Vec<Operation>,
    faults: Vec<Fault>,
    /// How often a file was opened or created.
    attempts: u64,
    /// Whether syncs wait for [`SimulatedDisk::release`].
    is_held: bool,
    crashed: Option<Option<Vec<u8>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct SimulatedDisk {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl SimulatedDisk {
    /// An empty disk. The seed decides which writes are torn, and how.
    pub(crate) fn new(seed: u64, faults: Vec<Fault>) -> SimulatedDisk {
        SimulatedDisk::with(None, Random::new(seed), faults)
    }

    fn with(image: Option<Vec<u8>>, random: Random, faults: Vec<Fault>) -> SimulatedDisk {
        let files: Vec<File> =
            image.into_iter().map(|seen| File { durable: seen.clone(), seen, ..File::default() }).collect();
        let named = (!files.is_empty()).then_some(0);
        let state = State {
            files,
            named,
            named_before: named,
            new: None,
            random,
            operations: Vec::new(),
            faults,
            attempts: 0,
            is_held: false,
            crashed: None,
        };
        SimulatedDisk { shared: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    /// The disk as the machine finds it after a crash: the planned one if it has happened, or one right now.
    pub(crate) fn after_crash(&self, faults: Vec<Fault>) -> SimulatedDisk {
        let mut state = self.lock();
        state.crash();
        let image = state.crashed.clone().flatten();
        let random = Random::new(state.random.next());
        SimulatedDisk::with(image, random, faults)
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.lock().crashed.is_some()
    }

    /// Every operation so far.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }

    /// Whether a crash would reveal a failed sync of the file or of its name, although everything can be read as
    /// written.
    pub(crate) fn has_lost(&self) -> bool {
        let state = self.lock();
        state.named != state.named_before || state.named.is_some_and(|file| state.files[file].has_lost)
    }

    /// Adds a fault after this many more operations.
    pub(crate) fn add_fault(&self, after: u64, kind: Kind) {
        let mut state = self.lock();
        let at = state.operations.len() as u64 + after;
        state.faults.push(Fault { at, kind, lasts: false });
    }

    /// Whether a lasting fault has happened.
    pub(crate) fn is_broken(&self) -> bool {
        let state = self.lock();
        let now = state.operations.len() as u64;
        state.faults.iter().any(|fault| fault.lasts && fault.at < now)
    }

    /// Ends lasting faults.
    pub(crate) fn mend(&self) {
        self.lock().faults.retain(|fault| !fault.lasts);
    }

    /// How often the gateway has opened or created a file.
    pub(crate) fn attempts(&self) -> u64 {
        self.lock().attempts
    }

    /// Waits until the gateway has tried again. `seen` is the number of attempts so far.
    pub(crate) fn wait_for_attempt(&self, seen: u64) {
        let waiting = self.shared.1.wait_timeout_while(self.lock(), PATIENCE, |state| state.attempts <= seen);
        assert!(!waiting.unwrap().1.timed_out(), "the gateway does not try the disk again");
    }

    /// Makes every sync wait, as on a disk that hangs.
    pub(crate) fn hold(&self) {
        self.lock().is_held = true;
    }

    /// Lets syncs finish again.
    pub(crate) fn release(&self) {
        self.lock().is_held = false;
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    fn attempt(&self) {
        self.lock().attempts += 1;
        self.shared.1.notify_all();
    }
}

/// The fault of an operation.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    error: ErrorKind,
    done: Done,
    /// Whether no later operation reaches the disk.
    is_crash: bool,
}

impl State {
    /// Counts an operation, and returns its fault, if there is one.
    fn begin(&mut self, operation: Operation) -> Result<(), Trouble> {
        if self.crashed.is_some() {
            return Err(Trouble { error: ErrorKind::Other, done: Done::Nothing, is_crash: true });
        }
        let number = self.operations.len() as u64;
        self.operations.push(operation);
        let hits = |fault: &Fault| {
            fault.at <= number
                && match fault.kind {
                    Kind::Error(of, _, _) => of == operation,
                    Kind::Crash => true,
                }
        };
        let Some(at) = self.faults.iter().position(hits) else { return Ok(()) };
        let fault = if self.faults[at].lasts { self.faults[at] } else { self.faults.remove(at) };
        Err(match fault.kind {
            Kind::Error(_, error, done) => Trouble { error, done, is_crash: false },
            Kind::Crash => Trouble { error: ErrorKind::Other, done: Done::All, is_crash: true },
        })
    }

    fn end(&mut self, begun: Result<(), Trouble>) -> io::Result<()> {
        begun.map_err(|trouble| {
            if trouble.is_crash {
                self.crash();
            }
            io::Error::new(trouble.error, "simulated")
        })
    }

    fn crash(&mut self) {
        if self.crashed.is_none() {
            let named = if self.random.flip() { self.named } else { self.named_before };
            let image = named.map(|file| {
                let file = &mut self.files[file];
                file.forget(&mut self.random);
                file.durable.clone()
            });
            self.crashed = Some(image);
        }
    }
}

impl File {
    fn apply(&mut self, change: Change) {
        if let Change::Write(offset, bytes) = &change
            && offset + bytes.len() > self.seen.len()
        {
            self.apply(Change::Length(offset + bytes.len()));
        }
        apply(&mut self.seen, &change);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &change);
        }
    }

    /// Keeps some unsynced changes and drops the rest.
    fn forget(&mut self, random: &mut Random) {
        // Often nothing or everything was written.
        let share = [0, 1, 4, 7, 8][random.below(5) as usize];
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(_) if random.below(8) < share => apply(&mut self.durable, &change),
                Change::Length(_) => {}
                Change::Write(start, bytes) => {
                    for (offset, sector) in sectors(start, &bytes) {
                        if random.below(8) < share {
                            apply(&mut self.durable, &Change::Write(offset, sector.to_vec()));
                        }
                    }
                }
            }
        }
    }
}

/// Splits a write into its sectors.
fn sectors(start: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let offset = start + at;
        let end = (at + SECTOR - offset % SECTOR).min(bytes.len());
        let part = (at < bytes.len()).then(|| (offset, &bytes[at..end]));
        at = end;
        part
    })
}

fn apply(to: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => to.resize(*length, 0),
        Change::Write(offset, bytes) => {
            // Data behind a lost end is lost, too.
            let end = (offset + bytes.len()).min(to.len());
            if *offset < end {
                to[*offset..end].copy_from_slice(&bytes[..end - offset]);
            }
        }
    }
}

impl Disk for SimulatedDisk {
    fn head(&self) -> io::Result<Option<Vec<u8>>> {
        let state = self.lock();
        Ok(state.named.map(|file| state.files[file].seen.iter().take(16).copied().collect()))
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let state = self.lock();
        state.named.map(|file| state.files[file].seen.clone()).ok_or(ErrorKind::NotFound.into())
    }

    fn keep(&self) -> io::Result<String> {
        Err(ErrorKind::Unsupported.into())
    }

    fn open(&self) -> io::Result<Bytes> {
        self.attempt();
        let mut state = self.lock();
        let begun = state.begin(Operation::Open);
        state.end(begun)?;
        let file = state.named.ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn create_new(&self) -> io::Result<Bytes> {
        self.attempt();
        let mut state = self.lock();
        let begun = state.begin(Operation::Create);
        state.end(begun)?;
        state.files.push(File::default());
        let file = state.files.len() - 1;
        state.new = Some(file);
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn install(&self, over: bool) -> io::Result<()> {
        let mut state = self.lock();
        if !over && state.named.is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let begun = state.begin(Operation::Install);
        match begun {
            Ok(()) => {
                state.named = state.new.take();
                state.named_before = state.named;
            }
            Err(Trouble { done: Done::Nothing, .. }) => {}
            // The new name exists, but a crash may bring back the old one.
            Err(_) => state.named = state.new.take(),
        }
        state.end(begun)
    }

    fn discard(&self) {
        self.lock().new = None;
    }
}

#[derive(Debug)]
struct OpenFile {
    disk: SimulatedDisk,
    file: usize,
}

impl OpenFile {
    fn change(&self, operation: Operation, change: Change) -> io::Result<()> {
        let mut state = self.disk.lock();
        let begun = state.begin(operation);
        let State { random, files, .. } = &mut *state;
        let file = &mut files[self.file];
        match (begun, change) {
            (Err(Trouble { done: Done::Nothing, .. }), _) => {}
            (Err(Trouble { done: Done::Some, .. }), Change::Write(start, bytes)) => {
                for (offset, sector) in sectors(start, &bytes) {
                    if random.flip() {
                        file.apply(Change::Write(offset, sector.to_vec()));
                    }
                }
            }
            (_, change) => file.apply(change),
        }
        state.end(begun)
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.disk.lock().files[self.file].seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.disk.lock();
        let start = offset as usize;
        let bytes = state.files[self.file].seen.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.change(Operation::SetLength, Change::Length(len as usize))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.change(Operation::Write, Change::Write(offset as usize, data.to_vec()))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.disk.shared.1.wait_while(self.disk.lock(), |state| state.is_held).unwrap();
        let begun = state.begin(Operation::Sync);
        let State { random, files, .. } = &mut *state;
        let file = &mut files[self.file];
        match begun {
            Ok(()) => file.sync(),
            Err(Trouble { is_crash: true, .. }) => {}
            Err(_) => {
                file.has_lost = true;
                file.forget(random);
            }
        }
        state.end(begun)
    }
}
