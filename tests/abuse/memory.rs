//! A real limit of memory: a control group of the system, whose programs are killed when they take more.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A control group for memory, gone when it is dropped. No program may be in it then.
pub(crate) struct MemoryGroup {
    folder: PathBuf,
}

impl MemoryGroup {
    /// A group of at most so many bytes; none, and the reason, where the system does not let this process make one.
    pub(crate) fn of(bytes: u64) -> Result<MemoryGroup, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tallygate-test-{}-{number}", std::process::id());
        // Version 1 has a tree for memory alone, version 2 one for all.
        let (tree, limit) = match Path::new("/sys/fs/cgroup/memory") {
            tree if tree.is_dir() => (tree, "memory.limit_in_bytes"),
            _ => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let folder = tree.join(name);
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let group = MemoryGroup { folder };
        let limit = group.folder.join(limit);
        // In version 2 the file is only there where the system administers memory below this group.
        if !limit.exists() {
            return Err(format!("there is no {}", limit.display()));
        }
        fs::write(&limit, bytes.to_string()).map_err(|error| format!("{}: {error}", limit.display()))?;
        Ok(group)
    }

    /// The words that let a shell enter the group before it becomes a program.
    pub(crate) fn enter(&self) -> String {
        format!("echo $$ >'{}' && exec \"$@\"", self.folder.join("cgroup.procs").display())
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
