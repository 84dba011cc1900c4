//! Opens the file on disk, and replaces it by a new one.
//!
//! A symbolic link is treated as in the stock gateway: its target is read, and a new file replaces the link. Only
//! regular files are opened.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::config::regular::{self, Links};
use crate::progress::Steps;

/// The bytes of one file.
pub type Bytes = Box<dyn StorageBackend>;

/// A place for the file and its replacement.
///
/// A `Disk` that has opened, read or installed the file keeps it locked for as long as the `Disk` lives, even while
/// the file is closed between a failure and the next try.
pub trait Disk: Debug + Send {
    /// The first bytes of the file. `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If it can't be read.
    fn head(&self) -> io::Result<Option<Vec<u8>>>;

    /// The whole file, which is locked against other gateways from now on.
    ///
    /// # Errors
    ///
    /// If it can't be read; [`io::ErrorKind::WouldBlock`] if another process uses it.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Keeps the file under a second name before another one replaces it. Returns that name.
    ///
    /// # Errors
    ///
    /// If that fails.
    fn keep(&self) -> io::Result<String>;

    /// Opens the existing file. After it was closed, opens the same file again.
    ///
    /// # Errors
    ///
    /// If it does not exist or can't be opened for writing; [`io::ErrorKind::WouldBlock`] if another process uses
    /// it.
    fn open(&self) -> io::Result<Bytes>;

    /// Creates an empty file beside it.
    ///
    /// # Errors
    ///
    /// If it can't be created; [`io::ErrorKind::WouldBlock`] if another process is writing one.
    fn create_new(&self) -> io::Result<Bytes>;

    /// Replaces the file durably by that of [`Disk::create_new`]. After a crash either of them exists. Without
    /// `over` the file must not exist yet.
    ///
    /// # Errors
    ///
    /// If that fails; [`io::ErrorKind::WouldBlock`] if the existing file belongs to another process.
    fn install(&self, over: bool) -> io::Result<()>;

    /// Removes the file of [`Disk::create_new`], if it exists.
    fn discard(&self);
}

/// A file in a folder of this machine.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    new: PathBuf,
    held: Mutex<Held>,
}

/// The locked files.
#[derive(Debug, Default)]
struct Held {
    /// The file itself.
    file: Option<File>,
    /// Its replacement.
    new: Option<File>,
}

impl Folder {
    /// The file with this path, in its current folder.
    pub fn new(path: &Path) -> Folder {
        let mut path = path.to_owned();
        if let (Ok(folder), Some(name)) = (fs::canonicalize(folder_of(&path)), path.file_name()) {
            path = folder.join(name);
        }
        let mut new = path.clone().into_os_string();
        new.push(".new");
        Folder { path, new: new.into(), held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The unfinished replacement that an earlier gateway left, if there is one.
    fn left(&self) -> io::Result<Option<File>> {
        match regular::open(&self.new, OpenOptions::new().read(true), Links::Refused) {
            Ok(left) => Ok(Some(left)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(move_away(&self.new, &error)),
        }
    }

    /// An empty file beside the file.
    fn create(&self) -> io::Result<File> {
        // The unfinished replacement of an earlier gateway is not locked.
        if let Some(left) = self.left()? {
            lock(&left, &self.new)?;
            fs::remove_file(&self.new)?;
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(&self.new)?;
        lock(&file, &self.new)?;
        Ok(file)
    }

    /// Replaces a symbolic link by a copy of its target.
    fn replace_link(&self) -> io::Result<File> {
        let mut target = regular::open(&self.path, OpenOptions::new().read(true), Links::Followed)?;
        lock(&target, &self.path)?;
        let mut copy = self.create()?;
        let copied = io::copy(&mut target, &mut copy)
            .and_then(|_| copy.sync_all())
            .and_then(|()| fs::rename(&self.new, &self.path));
        copied.inspect_err(|_| drop(fs::remove_file(&self.new)))?;
        sync_folder(&self.path)?;
        tracing::warn!(
            file = %self.path.display(),
            "the persistence file was a link: a copy of what it pointed to has taken its place, and is used from now on"
        );
        Ok(copy)
    }
}

/// An error that names the file that is in the way, and says what to do.
fn move_away(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}: move it away", path.display()))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink())
}

/// Logs a warning if other users can read the pushed metrics.
fn warn_of_mode(file: &File, path: &Path) {
    let Ok(mode) = file.metadata().map(|there| there.permissions().mode()) else { return };
    if mode & READABLE_BY_OTHERS != 0 {
        tracing::warn!(
            file = %path.display(),
            mode = %format_args!("{:04o}", mode & 0o7777),
            "others than its owner can read the persistence file: chmod 600 it"
        );
    }
}

/// The folder of a path, which may be only a file name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Enough bytes to tell which program wrote a file.
const HEAD_BYTES: u64 = 16;

/// Only the gateway's user may read the file, as with the stock gateway.
const MODE: u32 = 0o600;

/// The permission bits that let the group or everybody read.
const READABLE_BY_OTHERS: u32 = 0o044;

/// How many names are tried for the kept file.
const KEPT_NAMES: usize = 100;

impl Disk for Folder {
    fn head(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match regular::open(&self.path, OpenOptions::new().read(true), Links::Followed) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut head = Vec::new();
        file.take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(Some(head))
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = regular::open(&self.path, OpenOptions::new().read(true), Links::Followed)?;
        lock(&file, &self.path)?;
        warn_of_mode(&file, &self.path);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        self.held().file = Some(file);
        Ok(bytes)
    }

    fn keep(&self) -> io::Result<String> {
        if is_link(&self.path) {
            // The target of the link stays where it is.
            return Ok(fs::canonicalize(&self.path)?.display().to_string());
        }
        for number in 0..KEPT_NAMES {
            let suffix = if number == 0 { ".stock".to_owned() } else { format!(".stock.{number}") };
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            match link_or_copy(&self.path, Path::new(&name)) {
                Ok(()) => {
                    sync_folder(&self.path)?;
                    return Ok(PathBuf::from(name).display().to_string());
                }
                // An earlier start that did not finish kept a file under this name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let kept = Path::new(&name);
                    let is_same = regular::are_same((kept, Links::Refused), (&self.path, Links::Followed));
                    if is_same.map_err(|error| move_away(kept, &error))? {
                        return Ok(PathBuf::from(name).display().to_string());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{KEPT_NAMES} older files were kept already: move some away")))
    }

    fn open(&self) -> io::Result<Bytes> {
        let mut held = self.held();
        if let Some(file) = &held.file {
            if !is_at(file, &self.path)? {
                return Err(replaced());
            }
            return backend(file);
        }
        // It would be in the way of the next replacement, perhaps at a bad time.
        self.left()?;
        let file = if is_link(&self.path) {
            self.replace_link()?
        } else {
            let file = regular::open(&self.path, OpenOptions::new().read(true).write(true), Links::Refused)?;
            lock(&file, &self.path)?;
            file
        };
        warn_of_mode(&file, &self.path);
        let bytes = backend(&file)?;
        held.file = Some(file);
        Ok(bytes)
    }

    fn create_new(&self) -> io::Result<Bytes> {
        let mut held = self.held();
        held.new = None;
        let file = self.create()?;
        let bytes = backend(&file)?;
        held.new = Some(file);
        Ok(bytes)
    }

    fn install(&self, over: bool) -> io::Result<()> {
        let mut held = self.held();
        let is_ours = match &held.file {
            Some(file) => is_at(file, &self.path).or_else(|error| match error.kind() {
                // Somebody has removed the file, so there is nothing to damage.
                io::ErrorKind::NotFound => Ok(true),
                _ => Err(error),
            })?,
            // The file must still be empty, or still not exist.
            None => match fs::metadata(&self.path) {
                Ok(there) => over && there.len() == 0,
                Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                Err(error) => return Err(error),
            },
        };
        if !is_ours {
            return Err(if held.file.is_some() { replaced() } else { io::ErrorKind::WouldBlock.into() });
        }
        let is_linked = !over && fs::hard_link(&self.new, &self.path).is_ok();
        if is_linked {
            fs::remove_file(&self.new)?;
        } else if !over && self.path.exists() {
            return Err(io::ErrorKind::WouldBlock.into());
        } else {
            fs::rename(&self.new, &self.path)?;
        }
        held.file = held.new.take();
        sync_folder(&self.path)
    }

    fn discard(&self) {
        let mut held = self.held();
        let is_ours = held.new.take().is_some();
        let is_left = || {
            let left = self.left().ok().flatten();
            left.is_some_and(|left| lock(&left, &self.new).is_ok())
        };
        if is_ours || is_left() {
            // If it can't be removed, it can't be created either, and that error says why.
            let _ = fs::remove_file(&self.new);
        }
    }
}

/// Another file has the path of a file in use.
fn replaced() -> io::Error {
    io::Error::other("another file has taken its place: restart the gateway with the one that is right")
}

/// Whether a file is still the one at this path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

/// Gives a file a second name. If the file system has no hard links, copies it.
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
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Locks a file against other processes for as long as it or a clone of it is open. It must still be the one at
/// this path, because another process may have replaced it between opening and locking.
fn lock(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        // The file system has no locks.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    match is_at(file, path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}

/// A storage backend for a file. The file stays locked when the backend is closed.
fn backend(file: &File) -> io::Result<Bytes> {
    let backend = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
    Ok(Box::new(backend))
}

/// Counts the writes to a file, and notes failed syncs.
#[derive(Debug, Default)]
pub struct Watch {
    written: AtomicU64,
    sync_failed: AtomicBool,
    /// Counts the bytes that are read, to show progress.
    steps: Arc<Steps>,
}

impl Watch {
    /// A watch that counts reads as these steps.
    pub(super) fn new(steps: Arc<Steps>) -> Arc<Watch> {
        Arc::new(Watch { steps, ..Watch::default() })
    }

    /// How many bytes were written to all files with this watch.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether a sync has failed since the last call. Earlier writes may then be lost even if they can still be
    /// read, and a later sync does not report that.
    pub fn take_sync_failed(&self) -> bool {
        self.sync_failed.swap(false, Ordering::Relaxed)
    }
}

/// Counts reads and writes. Does not pass on redb's locks: redb would release them whenever it closes the file, but
/// a [`Disk`] keeps the file locked.
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
        self.watch.steps.add(out.len() as u64);
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
}
