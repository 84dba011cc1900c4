//! A gateway under attack.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use tallygate::config::fitting;

use super::memory::MemoryGroup;
use crate::support::{Directory, Gateway, PATIENCE, assert_valid_exposition, binary, sample};

/// The memory of the gateway in MiB, unless a test says otherwise.
const MEMORY_MIB: u64 = 256;

/// The most memory of a connection, according to the manual.
const CONNECTION_BYTES: u64 = 320 << 10;

pub(crate) struct Attack {
    pub(crate) gateway: Gateway,
    /// The most memory that it may use, in bytes.
    bound: u64,
    flags: Vec<String>,
    // Declared after the gateway, so that they are dropped after it.
    memory: Option<MemoryGroup>,
    _folder: Directory,
}

/// The default that the gateway chooses for a setting with this much memory in MiB.
pub(crate) fn chosen_in(mib: u64, key: &str) -> u64 {
    fitting::defaults(mib << 20).find(|(name, _)| *name == key).expect("a setting that follows the memory").1
}

impl Attack {
    /// Starts a gateway with little memory, with these limits and the defaults for that memory.
    pub(crate) fn start(limits: &str) -> Attack {
        Attack::start_with(limits, &[])
    }

    /// As [`Attack::start`], with these flags, in which `FOLDER` stands for a new folder.
    pub(crate) fn start_with(limits: &str, flags: &[&str]) -> Attack {
        Attack::start_within(MEMORY_MIB, limits, flags)
    }

    /// As [`Attack::start_with`], with this much memory in MiB.
    pub(crate) fn start_within(mib: u64, limits: &str, flags: &[&str]) -> Attack {
        let memory_bytes = mib << 20;
        let mut settings: BTreeMap<String, String> = limits
            .lines()
            .map(|line| line.split_once(" = ").expect("a setting"))
            .map(|(key, value)| {
                let key = if key.contains('.') { key.to_owned() } else { format!("limits.{key}") };
                (key, value.to_owned())
            })
            .collect();
        let connections = settings.get("limits.connections").map_or(0, |count| count.parse().unwrap());
        let more = u64::saturating_sub(connections, chosen_in(mib, "limits.connections"));
        let bound = memory_bytes + more * CONNECTION_BYTES;
        let memory = MemoryGroup::of(bound);
        if let Err(reason) = &memory {
            eprintln!("memory is only measured, as the system sets no limit: {reason}");
        }
        if memory.is_err() || more > 0 {
            for (key, value) in fitting::defaults(memory_bytes) {
                settings.entry(key.to_owned()).or_insert_with(|| value.to_string());
            }
        }
        let lines = settings.iter().map(|(key, value)| format!("{key} = {value}\n"));
        let folder = Directory::new();
        let file = folder.write("tallygate.toml", lines.collect::<String>());
        let mut all = vec![format!("--config.file={file}")];
        all.extend(flags.iter().map(|flag| flag.replace("FOLDER", &folder.path_of(""))));
        let memory = memory.ok();
        let gateway = run(&all, memory.as_ref());
        Attack { gateway, bound, flags: all, memory, _folder: folder }
    }

    /// Whether a control group limits the memory, so that the gateway knows the limit.
    pub(crate) fn has_memory_group(&self) -> bool {
        self.memory.is_some()
    }

    /// Kills the gateway and starts it again.
    pub(crate) fn restart(&mut self) {
        self.gateway.kill();
        self.gateway = run(&self.flags, self.memory.as_ref());
    }

    /// How often a limit was hit.
    #[track_caller]
    pub(crate) fn hits(&self, limit: &str) -> f64 {
        let series = format!("tallygate_limit_hits_total{{limit=\"{limit}\"}}");
        self.gateway.sample(&series).expect("a counter for the limit")
    }

    /// The peak memory of the gateway, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.process_id())).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a line of /proc");
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        if std::env::var_os("TALLYGATE_TEST_MEMORY").is_some() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("{test}: {} MiB now, {} MiB at most", kib("VmRSS:") >> 10, kib("VmHWM:") >> 10);
        }
        // Without the program file, which the system can drop from memory at any time.
        (kib("VmHWM:") - kib("RssFile:")) << 10
    }

    /// The CPU time of the gateway in milliseconds. Unlike elapsed time, other programs hardly change it.
    pub(crate) fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.gateway.process_id())).unwrap();
        // The name, in parentheses, may have blanks.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        // User and system time, in hundredths of a second: proc(5).
        (ticks(11) + ticks(12)) * 10
    }

    /// Waits until a scrape is answered.
    pub(crate) fn until_served(&self) {
        self.until(|| self.gateway.get("/metrics").status == 200);
    }

    /// A scrape, once it is not refused because of others.
    #[track_caller]
    pub(crate) fn scrape_once_served(&self) -> String {
        let scrape = std::cell::RefCell::new(None);
        self.until(|| {
            let answer = self.gateway.get("/metrics");
            let is_served = answer.status == 200;
            scrape.replace(is_served.then(|| answer.text()));
            is_served
        });
        scrape.take().unwrap()
    }

    /// Waits until a limit was hit exactly this often.
    #[track_caller]
    pub(crate) fn until_hits(&self, limit: &str, times: f64) {
        self.until(|| self.hits(limit) >= times);
        assert_eq!(self.hits(limit), times, "{limit}");
    }

    /// Repeats a check until it is true.
    #[track_caller]
    pub(crate) fn until(&self, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "that did not come within {PATIENCE:?}");
        }
    }

    /// Checks that the gateway serves normally, and that its memory never exceeded the bound.
    #[track_caller]
    pub(crate) fn is_over(&self) {
        // Connections and scrapes that the gateway is closing may still count for a moment.
        let body = "# TYPE after_total counter\nafter_total 2\n";
        for _ in 0..2 {
            self.until(|| match self.gateway.post("/metrics/job/after", body) {
                answer if answer.status == 503 => false,
                answer => {
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    true
                }
            });
        }
        let scrape = self.scrape_once_served();
        assert_valid_exposition(&scrape);
        assert_eq!(sample(&scrape, "after_total{instance=\"\",job=\"after\"}"), Some(4.0));
        self.is_within_bound();
    }

    /// Checks that its memory never exceeded the bound.
    #[track_caller]
    pub(crate) fn is_within_bound(&self) {
        let peak = self.peak();
        assert!(peak < self.bound, "{} MiB of {} MiB", peak >> 20, self.bound >> 20);
    }
}

/// Starts the gateway, in this control group.
fn run(flags: &[String], memory: Option<&MemoryGroup>) -> Gateway {
    let flags = ["--web.listen-address=127.0.0.1:0"].into_iter().chain(flags.iter().map(String::as_str));
    let program = binary();
    let Some(memory) = memory else { return Gateway::start_exactly(&flags.collect::<Vec<_>>(), &[]) };
    let (enter, program) = (memory.enter(), program.to_str().unwrap());
    let all: Vec<&str> = ["-c", &enter, "sh", program].into_iter().chain(flags).collect();
    Gateway::start_program(Path::new("sh"), &all, &[])
}

/// Raises the limit of open files to `wanted`. If the system refuses, prints why and returns false.
pub(crate) fn raise_descriptors(wanted: usize) -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, ..limits };
    let _ = setrlimit(Resource::Nofile, raised);
    let there = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if there >= wanted as u64 {
        return true;
    }
    let reason = format!("this machine lets a process open {there} files, and the test needs {wanted}");
    assert!(std::env::var_os("TALLYGATE_TEST_ALL").is_none_or(|all| all != "1"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

/// Makes a scrape larger than the buffers of a socket.
pub(crate) fn push_what_stalls(gateway: &Gateway, path: &str) {
    let filler = "x".repeat(1000);
    for push in 0..12 {
        let line = |series: usize| format!("m{{l=\"{push}_{series}\",f=\"{filler}\"}} 1\n");
        gateway.push(path, &(0..1000).map(line).collect::<String>());
    }
}
