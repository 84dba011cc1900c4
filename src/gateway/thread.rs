//! The thread that writes the persistence file.

use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// The running thread of the writer.
#[derive(Debug)]
pub(super) struct WriterThread(Mutex<Option<JoinHandle<()>>>);

impl WriterThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system can't start a thread.
    pub(super) fn start(run: impl FnOnce() + Send + 'static) -> std::io::Result<WriterThread> {
        let thread = thread::Builder::new().name("writer".to_owned()).spawn(run)?;
        Ok(WriterThread(Mutex::new(Some(thread))))
    }

    /// Waits until the thread ends.
    pub(super) fn join(&self) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer of the persistence file has failed");
        }
    }
}
