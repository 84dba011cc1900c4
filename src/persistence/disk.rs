//! Where the file lies: opening it, and putting a new one in its place.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::ops::Bound;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// The bytes of one file.
pub type Bytes = Box<dyn StorageBackend>;

/// A place for the file and for the one that is to take its place.
pub trait Disk: Debug + Send {
    /// The first bytes of the file; none when it is not there.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    fn head(&self) -> io::Result<Option<Vec<u8>>>;

    /// All of the file, which no other gateway may take over from now on.
    ///
    /// # Errors
    ///
    /// When it can't be read; [`io::ErrorKind::WouldBlock`] when another process has it.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Keeps the file as it is under another name too, before another one takes its place. Gives that
    /// name.
    ///
    /// # Errors
    ///
    /// When that can't be done.
    fn keep(&self) -> io::Result<String>;

    /// The file as it is.
    ///
    /// # Errors
    ///
    /// When it is not there or can't be opened for writing.
    fn open(&self) -> io::Result<Bytes>;

    /// An empty file beside it.
    ///
    /// # Errors
    ///
    /// When it can't be created; [`io::ErrorKind::WouldBlock`] when another process is at it.
    fn create_new(&self) -> io::Result<Bytes>;

    /// Puts the file of [`Disk::create_new`] in the place of the file, for good: after a crash there
    /// is either of them. Without `over` there must be none.
    ///
    /// # Errors
    ///
    /// When it can't be put there.
    fn install(&self, over: bool) -> io::Result<()>;

    /// Removes what [`Disk::create_new`] left, if anything.
    fn discard(&self);
}

/// A file in a folder of this machine.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    new: PathBuf,
    /// The file that is taken over, locked.
    taken: Mutex<Option<File>>,
}

impl Folder {
    /// The file with this path. A link is followed, so that it stays when the file is replaced.
    pub fn new(path: &Path) -> Folder {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut new = path.clone().into_os_string();
        new.push(".new");
        Folder { path, new: new.into(), taken: Mutex::default() }
    }

    /// The path, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Enough to tell what wrote a file.
const HEAD_BYTES: u64 = 16;

/// Only the gateway may read what was pushed, as with the stock gateway.
const MODE: u32 = 0o600;

/// How many names are tried for a file that is kept.
const KEPT_NAMES: usize = 100;

impl Disk for Folder {
    fn head(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut head = Vec::new();
        file.take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(Some(head))
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        lock(&file)?;
        // Another gateway may have taken it over between opening and locking.
        let (ours, there) = (file.metadata()?, fs::metadata(&self.path)?);
        if (ours.dev(), ours.ino()) != (there.dev(), there.ino()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(bytes)
    }

    fn keep(&self) -> io::Result<String> {
        for number in 0..KEPT_NAMES {
            let suffix = if number == 0 { ".stock".to_owned() } else { format!(".stock.{number}") };
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            match link_or_copy(&self.path, Path::new(&name)) {
                Ok(()) => {
                    sync_folder(&self.path)?;
                    return Ok(PathBuf::from(name).display().to_string());
                }
                // Kept by a start that did not get further.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if fs::read(&name)? == fs::read(&self.path)? {
                        return Ok(PathBuf::from(name).display().to_string());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{KEPT_NAMES} older files were kept already: move some away")))
    }

    fn open(&self) -> io::Result<Bytes> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        Ok(Box::new(backend(file)?))
    }

    fn create_new(&self) -> io::Result<Bytes> {
        // What a gateway left that did not get further has no lock.
        if let Ok(left) = File::open(&self.new) {
            lock(&left)?;
            self.discard();
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(&self.new)?;
        lock(&file)?;
        Ok(Box::new(backend(file)?))
    }

    fn install(&self, over: bool) -> io::Result<()> {
        let is_linked = !over && fs::hard_link(&self.new, &self.path).is_ok();
        if is_linked {
            fs::remove_file(&self.new)?;
        } else if !over && self.path.exists() {
            return Err(io::ErrorKind::WouldBlock.into());
        } else {
            fs::rename(&self.new, &self.path)?;
        }
        sync_folder(&self.path)
    }

    fn discard(&self) {
        // What can't be removed can't be created either, which says why.
        let _ = fs::remove_file(&self.new);
    }
}

/// Gives a file another name. Where the disk has no second names, it is copied.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let mut copy = OpenOptions::new().write(true).create_new(true).mode(MODE).open(to)?;
            let copied = io::copy(&mut File::open(from)?, &mut copy).and_then(|_| copy.sync_all());
            copied.inspect_err(|_| drop(fs::remove_file(to)))
        }
        result => result,
    }
}

/// Makes sure that names in the folder of this file survive a crash.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Locks a file against other gateways for as long as it is open.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        // A disk without locks can't tell.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn backend(file: File) -> io::Result<FileBackend> {
    FileBackend::new(file).map_err(io::Error::other)
}

/// What was seen of a file that is written.
#[derive(Debug, Default)]
pub struct Watch {
    written: AtomicU64,
    sync_failed: AtomicBool,
}

impl Watch {
    /// How many bytes were written, by everything that was opened with this watch.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether a sync has failed since the last call. What was written before may be lost then even if
    /// it can still be read, and a later sync does not say so.
    pub fn take_sync_failed(&self) -> bool {
        self.sync_failed.swap(false, Ordering::Relaxed)
    }
}

/// Counts what passes.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) bytes: Bytes,
    pub(super) watch: Arc<Watch>,
}

impl StorageBackend for Watched {
    fn len(&self) -> Result<u64, io::Error> {
        self.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.bytes.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.bytes.sync_data().inspect_err(|_| self.watch.sync_failed.store(true, Ordering::Relaxed))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.watch.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.bytes.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.bytes.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.bytes.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.bytes.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.bytes.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.bytes.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.bytes.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.bytes.query_lock_range(start, end)
    }
}
