//! A real memory limit: a control group, whose programs are killed if they exceed it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A control group with a memory limit. It is removed when dropped, and must be empty then.
pub(crate) struct MemoryGroup {
    folder: PathBuf,
}

impl MemoryGroup {
    /// A group with this limit in bytes. If the system does not allow one, the reason.
    pub(crate) fn of(bytes: u64) -> Result<MemoryGroup, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tallygate-test-{}-{number}", std::process::id());
        // Version 1 has a hierarchy for memory alone, version 2 has one for everything.
        let (tree, limit) = match Path::new("/sys/fs/cgroup/memory") {
            tree if tree.is_dir() => (tree, "memory.limit_in_bytes"),
            _ => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let folder = tree.join(name);
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let group = MemoryGroup { folder };
        let limit = group.folder.join(limit);
        // In version 2 the file exists only if the memory controller is enabled below this group.
        if !limit.exists() {
            return Err(format!("there is no {}", limit.display()));
        }
        fs::write(&limit, bytes.to_string()).map_err(|error| format!("{}: {error}", limit.display()))?;
        Ok(group)
    }

    /// A shell command that moves the shell into the group, before `exec`.
    pub(crate) fn enter(&self) -> String {
        format!("echo $$ >'{}' && exec \"$@\"", self.folder.join("cgroup.procs").display())
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
