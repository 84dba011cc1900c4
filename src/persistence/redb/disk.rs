//! Where the file lies: opening it, and putting a new one in its place.
//!
//! A link in the place of the file is dealt with as by the stock gateway: what it points to is read, and the file that
//! is written takes the place of the link. What is no regular file is never opened.

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

/// A place for the file and for the one that is to take its place.
///
/// Whoever has opened, read or installed the file keeps it to itself for as long as the `Disk` lives, also
/// while the file itself is closed between a failure and the next try.
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

    /// The file as it is. Again after it was closed, it is the same file.
    ///
    /// # Errors
    ///
    /// When it is not there or can't be opened for writing; [`io::ErrorKind::WouldBlock`] when another
    /// process has it.
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
    /// When it can't be put there; [`io::ErrorKind::WouldBlock`] when the file of another process is there.
    fn install(&self, over: bool) -> io::Result<()>;

    /// Removes what [`Disk::create_new`] left, if anything.
    fn discard(&self);
}

/// A file in a folder of this machine.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    new: PathBuf,
    held: Mutex<Held>,
}

/// The files that are locked.
#[derive(Debug, Default)]
struct Held {
    /// The one with the path.
    file: Option<File>,
    /// The one that is to take its place.
    new: Option<File>,
}

impl Folder {
    /// The file with this path, in the folder that it has now.
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

    /// The file that is to take the place of the file, as it was left by a gateway that did not get further.
    fn left(&self) -> io::Result<Option<File>> {
        match regular::open(&self.new, OpenOptions::new().read(true), Links::Refused) {
            Ok(left) => Ok(Some(left)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(move_away(&self.new, &error)),
        }
    }

    /// An empty file beside the file.
    fn create(&self) -> io::Result<File> {
        // What a gateway left that did not get further has no lock.
        if let Some(left) = self.left()? {
            lock(&left, &self.new)?;
            fs::remove_file(&self.new)?;
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(&self.new)?;
        lock(&file, &self.new)?;
        Ok(file)
    }

    /// Puts a copy of the file that a link points to in the place of the link.
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

/// What is in the way of the gateway, and what to do about it.
fn move_away(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}: move it away", path.display()))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_symlink())
}

/// Says so where others than the owner can read what was pushed.
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

/// The folder of a path, which may be no more than a name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Enough to tell what wrote a file.
const HEAD_BYTES: u64 = 16;

/// Only the gateway may read what was pushed, as with the stock gateway.
const MODE: u32 = 0o600;

/// The bits of a mode that let a group or all read.
const READABLE_BY_OTHERS: u32 = 0o044;

/// How many names are tried for a file that is kept.
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
            // It stays where it is.
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
                // Kept by a start that did not get further.
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
        // It is in the way of the next file that is written, which may be written at a bad time.
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
                // Somebody has removed it: then there is nothing to spoil.
                io::ErrorKind::NotFound => Ok(true),
                _ => Err(error),
            })?,
            // What is there must be as empty as it was found, or not there at all.
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
            // What can't be removed can't be created either, which says why.
            let _ = fs::remove_file(&self.new);
        }
    }
}

/// Another file has got the name of one that is in use.
fn replaced() -> io::Error {
    io::Error::other("another file has taken its place: restart the gateway with the one that is right")
}

/// Whether a file is the one that has this path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
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
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Locks a file against other processes for as long as it, or a clone of it, is open. It must still be the
/// one with this path: another process may have replaced it between opening and locking.
fn lock(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        // A disk without locks can't tell.
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

/// The bytes of a file, which stays locked when they are closed.
fn backend(file: &File) -> io::Result<Bytes> {
    let backend = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
    Ok(Box::new(backend))
}

/// What was seen of a file that is written.
#[derive(Debug, Default)]
pub struct Watch {
    written: AtomicU64,
    sync_failed: AtomicBool,
    /// Counts what is read.
    steps: Arc<Steps>,
}

impl Watch {
    /// Of a file whose opening counts as these.
    pub(super) fn new(steps: Arc<Steps>) -> Arc<Watch> {
        Arc::new(Watch { steps, ..Watch::default() })
    }

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

/// Counts what passes. The locks of redb are left out: it would give them up whenever the file is closed,
/// while a [`Disk`] keeps the file for good.
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
