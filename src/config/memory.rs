//! How much memory the system lets the process have.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// A larger number means no limit: version 1 of control groups has a number near 2^63 for that.
const NO_LIMIT: u64 = 1 << 60;

/// The memory for each thread that serves.
const WORKER_BYTES: u64 = 32 << 20;

/// How much memory the process may have, and what limits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// In bytes.
    pub bytes: u64,
    /// What limits it.
    pub source: Source,
}

/// What limits the memory of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A control group, by the file that has the limit.
    ControlGroup(PathBuf),
    /// The resource limit of the address space.
    AddressSpace,
    /// The resource limit of the data segment.
    Data,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::ControlGroup(file) => write!(f, "{}", file.display()),
            Source::AddressSpace => f.write_str("RLIMIT_AS"),
            Source::Data => f.write_str("RLIMIT_DATA"),
        }
    }
}

/// What was chosen for limits that are not set, because the system limits the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitting {
    /// What the system allows.
    pub allowance: Allowance,
    /// The settings for which a value was chosen, with the values.
    pub chosen: Vec<(&'static str, u64)>,
    /// How much memory the gateway needs at most with all its limits, in bytes.
    pub need: u64,
}

impl Fitting {
    /// At most this many threads serve.
    #[must_use]
    pub fn workers(&self) -> usize {
        usize::try_from(self.allowance.bytes / WORKER_BYTES).unwrap_or(usize::MAX).max(1)
    }

    /// The chosen settings with their values, as they would stand in the file.
    #[must_use]
    pub fn settings(&self) -> String {
        self.chosen.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
    }
}

/// The lowest limit of memory that the system sets for this process, if there is one.
#[must_use]
pub fn allowed() -> Option<Allowance> {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let groups = control_groups(&read("mountinfo"), &read("cgroup"));
    let mapped = mapped(&read("status"));
    let limits = [
        least(&groups),
        // These limits count mapped memory, with the unused stacks of threads and what the allocator keeps for later.
        // So half of it can be used.
        limit(Resource::As)
            .map(|bytes| Allowance { bytes: bytes.saturating_sub(mapped) / 2, source: Source::AddressSpace }),
        limit(Resource::Data).map(|bytes| Allowance { bytes: bytes / 2, source: Source::Data }),
    ];
    limits.into_iter().flatten().min_by_key(|allowance| allowance.bytes)
}

fn limit(resource: Resource) -> Option<u64> {
    getrlimit(resource).current.filter(|bytes| *bytes < NO_LIMIT)
}

/// How much memory is mapped already, from `/proc/self/status`.
fn mapped(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap_or_default();
    let kib: u64 = line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
    kib << 10
}

/// A control group of the process, and the hierarchy in which it is.
#[derive(Debug, PartialEq, Eq)]
struct ControlGroup {
    /// Where the hierarchy is mounted.
    tree: PathBuf,
    /// The group below it.
    folder: PathBuf,
    /// The names of the files with limits.
    files: &'static [&'static str],
}

/// The groups that limit memory, from `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn control_groups(mounts: &str, groups: &str) -> Vec<ControlGroup> {
    let memberships = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_second = number == "0" && controllers.is_empty();
        (is_second || controllers.split(',').any(|one| one == "memory")).then_some((is_second, path))
    });
    memberships
        .filter_map(|(is_second, path)| {
            let (root, tree) = mounts.lines().find_map(|line| tree(line, is_second))?;
            // In a container this may be the path on the host, while the mount shows only the end
            // of it, or none of it.
            let below = Path::new(path).strip_prefix(&root).unwrap_or(Path::new(""));
            let files: &[&str] =
                if is_second { &["memory.max", "memory.high"] } else { &["memory.limit_in_bytes"] };
            Some(ControlGroup { folder: tree.join(below), tree, files })
        })
        .collect()
}

/// The root and the mount point of a hierarchy of this version that controls memory, if this line of
/// `/proc/self/mountinfo` is one.
fn tree(line: &str, is_second: bool) -> Option<(PathBuf, PathBuf)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut system = system.split(' ');
    let (kind, options) = (system.next()?, system.nth(1).unwrap_or_default());
    let fits = match is_second {
        true => kind == "cgroup2",
        false => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    let mut fields = mount.split(' ').skip(3);
    fits.then(|| Some((fields.next()?.into(), fields.next()?.into())))?
}

/// The lowest limit of the groups and their parents.
fn least(groups: &[ControlGroup]) -> Option<Allowance> {
    let limits = groups.iter().flat_map(|group| {
        let folders = group.folder.ancestors().take_while(|folder| folder.starts_with(&group.tree));
        folders.flat_map(|folder| group.files.iter().filter_map(|file| read_limit(&folder.join(file))))
    });
    limits.min_by_key(|allowance| allowance.bytes)
}

fn read_limit(file: &Path) -> Option<Allowance> {
    // No limit is written as "max".
    let bytes = fs::read_to_string(file).ok()?.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)?;
    Some(Allowance { bytes, source: Source::ControlGroup(file.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[&str] = &["memory.limit_in_bytes"];
    const SECOND: &[&str] = &["memory.max", "memory.high"];

    fn found(mounts: &str, groups: &str) -> Vec<(String, String, &'static [&'static str])> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let groups = control_groups(mounts, groups).into_iter();
        groups.map(|group| (text(group.tree), text(group.folder), group.files)).collect()
    }

    #[test]
    fn groups_are_found_in_either_version() {
        let second = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let first = "29 23 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
                     33 29 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                     35 29 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let of_a_container =
            "35 29 0:32 /docker/abc /sys/fs/cgroup/memory ro master:11 - cgroup cgroup rw,memory\n";
        for (mounts, groups, tree, folder, files) in [
            (
                second,
                "0::/system.slice/a.service\n",
                "/sys/fs/cgroup",
                "/sys/fs/cgroup/system.slice/a.service",
                SECOND,
            ),
            (second, "0::/\n", "/sys/fs/cgroup", "/sys/fs/cgroup/", SECOND),
            // Outside the mounted tree.
            (second, "0::/../other\n", "/sys/fs/cgroup", "/sys/fs/cgroup/../other", SECOND),
            (first, "4:memory:/a/b\n2:cpu:/c\n", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/a/b", FIRST),
            (
                of_a_container,
                "4:memory:/docker/abc\n",
                "/sys/fs/cgroup/memory",
                "/sys/fs/cgroup/memory/",
                FIRST,
            ),
            (
                of_a_container,
                "4:memory:/docker/abc/d\n",
                "/sys/fs/cgroup/memory",
                "/sys/fs/cgroup/memory/d",
                FIRST,
            ),
            // The path on the host, of which the container sees nothing.
            (
                of_a_container,
                "4:memory:/kubepods/x\n",
                "/sys/fs/cgroup/memory",
                "/sys/fs/cgroup/memory/",
                FIRST,
            ),
        ] {
            assert_eq!(found(mounts, groups), [(tree.to_owned(), folder.to_owned(), files)], "{groups}");
        }
        assert!(found("", "0::/\n").is_empty() && found(second, "").is_empty());
        assert!(found(first, "2:cpu:/c\n").is_empty());
    }

    #[test]
    fn the_least_limit_counts() {
        let tree = std::env::temp_dir().join(format!("tallygate-groups-{}", std::process::id()));
        let folder = tree.join("outer/inner");
        fs::create_dir_all(&folder).unwrap();
        let groups = [ControlGroup { tree: tree.clone(), folder: folder.clone(), files: SECOND }];
        let write = |file: &str, text: &str| fs::write(tree.join(file), text).unwrap();
        write("outer/inner/memory.max", "max\n");
        assert_eq!(least(&groups), None);
        write("outer/inner/memory.max", "9223372036854771712\n");
        assert_eq!(least(&groups), None);
        write("outer/memory.max", "100000\n");
        assert_eq!(least(&groups).unwrap().bytes, 100_000);
        write("outer/inner/memory.max", "200000\n");
        assert_eq!(least(&groups).unwrap().bytes, 100_000);
        write("outer/inner/memory.high", "50000\n");
        let source = Source::ControlGroup(folder.join("memory.high"));
        assert_eq!(least(&groups), Some(Allowance { bytes: 50_000, source }));
        fs::remove_dir_all(&tree).unwrap();
    }

    #[test]
    fn what_is_mapped_is_read() {
        assert_eq!(mapped("Name:\tx\nVmPeak:\t 3 kB\nVmSize:\t    2048 kB\n"), 2 << 20);
        assert_eq!(mapped(""), 0);
    }
}
