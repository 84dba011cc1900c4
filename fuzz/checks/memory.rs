//! A disk in memory.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tallygate::persistence::redb::disk::{Bytes, Disk};

/// Clones share the same files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    file: Arc<Mutex<Option<File>>>,
    new: Arc<Mutex<Option<File>>>,
}

#[derive(Clone, Debug)]
struct File(Arc<InMemoryBackend>);

impl File {
    fn new(content: &[u8]) -> File {
        let file = InMemoryBackend::new();
        file.set_len(content.len() as u64).unwrap();
        file.write(0, content).unwrap();
        File(Arc::new(file))
    }

    fn read_up_to(&self, limit: u64) -> Vec<u8> {
        let mut content = vec![0; self.0.len().unwrap().min(limit) as usize];
        self.0.read(0, &mut content).unwrap();
        content
    }
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

impl Memory {
    pub(crate) fn with_file(content: &[u8]) -> Memory {
        let disk = Memory::default();
        *disk.file.lock().unwrap() = Some(File::new(content));
        disk
    }

    fn file(&self) -> io::Result<File> {
        self.file.lock().unwrap().clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Memory {
    fn head(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.file.lock().unwrap().as_ref().map(|file| file.read_up_to(64)))
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        self.file().map(|file| file.read_up_to(u64::MAX))
    }

    fn keep(&self) -> io::Result<String> {
        Ok("the original".to_owned())
    }

    fn open(&self) -> io::Result<Bytes> {
        self.file().map(|file| Box::new(file) as Bytes)
    }

    fn create_new(&self) -> io::Result<Bytes> {
        let file = File::new(b"");
        *self.new.lock().unwrap() = Some(file.clone());
        Ok(Box::new(file))
    }

    fn install(&self, _over: bool) -> io::Result<()> {
        *self.file.lock().unwrap() = self.new.lock().unwrap().take();
        Ok(())
    }

    fn discard(&self) {
        self.new.lock().unwrap().take();
    }
}
