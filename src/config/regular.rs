//! Opens and reads regular files only. Reading a FIFO may block for ever, and a device may never end.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Larger files are refused. No file that the gateway reads should be this large.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Whether a symbolic link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Opens the file that it points to.
    Followed,
    /// Refuses it as not a regular file.
    Refused,
}

/// Opens a regular file.
///
/// # Errors
///
/// If it can't be opened or is not a regular file. In that case the call does not wait, and usually
/// does not open it.
pub fn open(path: &Path, options: &mut OpenOptions, links: Links) -> io::Result<File> {
    let (there, no_links) = match links {
        Links::Followed => (fs::metadata(path)?, OFlags::empty()),
        Links::Refused => (fs::symlink_metadata(path)?, OFlags::NOFOLLOW),
    };
    check(&there)?;
    // Another file may have taken its place since the check, so the opened file is checked again.
    let flags = (OFlags::NONBLOCK | no_links).bits().cast_signed();
    let file = options.custom_flags(flags).open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Reads all of a regular file.
///
/// # Errors
///
/// As [`open`], and if it can't be read or is larger than 16 MiB.
pub fn read(path: &Path, links: Links) -> io::Result<Vec<u8>> {
    read_all(open(path, OpenOptions::new().read(true), links)?)
}

/// Whether two regular files have the same content, however large they are.
///
/// # Errors
///
/// If one of them can't be read.
pub fn are_same(first: (&Path, Links), second: (&Path, Links)) -> io::Result<bool> {
    let [mut first, mut second] = [
        BufReader::new(open(first.0, OpenOptions::new().read(true), first.1)?),
        BufReader::new(open(second.0, OpenOptions::new().read(true), second.1)?),
    ];
    loop {
        let (ours, theirs) = (first.fill_buf()?, second.fill_buf()?);
        let length = ours.len().min(theirs.len());
        if ours[..length] != theirs[..length] || ours.is_empty() != theirs.is_empty() {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
        first.consume(length);
        second.consume(length);
    }
}

fn read_all(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        let reason = format!("it has more than {} MiB", MOST_BYTES >> 20);
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    // The message is the standard library's.
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

/// The text in a regular file, or in the one that a link points to.
///
/// # Errors
///
/// As [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    text_of(read(path, Links::Followed)?)
}

/// The text in a file that is read once, at the start. It may be a FIFO, such as a shell makes for the output of a
/// command.
///
/// # Errors
///
/// If it can't be read, is not UTF-8, or is larger than 16 MiB.
pub fn read_any_text(path: &Path) -> io::Result<String> {
    text_of(read_all(File::open(path)?)?)
}

/// Whether every user of the machine can read a file. False if its mode is not known.
pub fn is_public(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.mode() & 0o004 != 0)
}

/// Fails unless the file is a regular one.
fn check(file: &Metadata) -> io::Result<()> {
    let kind = file.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => return Err(Errno::ISDIR.into()),
        _ if kind.is_symlink() => "a link",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {what}, not a regular file")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_else_is_opened() {
        let folder = std::env::temp_dir().join(format!("tallygate-regular-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "text").unwrap();
        symlink(&file, &link).unwrap();
        let said = |path: &Path, links| read(path, links).map_err(|error| error.to_string());
        assert_eq!(said(&file, Links::Refused), Ok(b"text".to_vec()));
        assert_eq!(said(&link, Links::Followed), Ok(b"text".to_vec()));
        assert_eq!(said(&link, Links::Refused).unwrap_err(), "it is a link, not a regular file");
        let device = said(Path::new("/dev/zero"), Links::Followed);
        assert_eq!(device.unwrap_err(), "it is a device, not a regular file");
        assert_eq!(read(&folder, Links::Followed).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(read(&folder.join("none"), Links::Followed).unwrap_err().kind(), ErrorKind::NotFound);
        fs::remove_dir_all(&folder).unwrap();
    }
}
