//! The metrics `process_*` from Linux' `/proc`, as in client_golang's process collector.
//!
//! The collector of the `prometheus` crate cuts CPU time to whole seconds. Without `/proc` there are no such metrics.

use std::fs;
use std::sync::{Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

use crate::model::kind::Kind;

/// `/proc` counts CPU time in hundredths of a second on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A metric of the process.
struct ProcessMetric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&ProcFiles) -> Option<f64>,
}

/// The metrics, by name.
const METRICS: [ProcessMetric; 9] = [
    ProcessMetric {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        help: "Total user and system CPU time spent in seconds.",
        value: |files| cpu_seconds(&files.stat),
    },
    ProcessMetric {
        name: "process_max_fds",
        kind: Kind::Gauge,
        help: "Maximum number of open file descriptors.",
        value: |files| limit(&files.limits, "Max open files"),
    },
    ProcessMetric {
        name: "process_network_receive_bytes_total",
        kind: Kind::Counter,
        help: "Number of bytes received by the process over the network.",
        value: |files| octets(&files.network, "InOctets"),
    },
    ProcessMetric {
        name: "process_network_transmit_bytes_total",
        kind: Kind::Counter,
        help: "Number of bytes sent by the process over the network.",
        value: |files| octets(&files.network, "OutOctets"),
    },
    ProcessMetric {
        name: "process_open_fds",
        kind: Kind::Gauge,
        help: "Number of open file descriptors.",
        value: |_| fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as f64),
    },
    ProcessMetric {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        help: "Resident memory size in bytes.",
        value: |files| memory(&files.status, "VmRSS:"),
    },
    ProcessMetric {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        help: "Start time of the process since unix epoch in seconds.",
        value: |files| start_time(&files.stat),
    },
    ProcessMetric {
        name: "process_virtual_memory_bytes",
        kind: Kind::Gauge,
        help: "Virtual memory size in bytes.",
        value: |files| memory(&files.status, "VmSize:"),
    },
    ProcessMetric {
        name: "process_virtual_memory_max_bytes",
        kind: Kind::Gauge,
        help: "Maximum amount of virtual memory available in bytes.",
        value: |files| limit(&files.limits, "Max address space"),
    },
];

/// The names and types of the metrics.
pub(super) fn families() -> impl Iterator<Item = (&'static str, Kind)> {
    METRICS.iter().map(|metric| (metric.name, metric.kind))
}

/// The files of `/proc/self` that metrics are read from, empty if they can't be read.
struct ProcFiles {
    stat: String,
    limits: String,
    network: String,
    status: String,
}

impl ProcFiles {
    fn read() -> ProcFiles {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        ProcFiles {
            stat: read("stat"),
            limits: read("limits"),
            network: read("net/netstat"),
            status: read("status"),
        }
    }
}

/// Reads `/proc` at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    descs: Vec<Desc>,
    /// Simultaneous scrapes read one after the other, so that they don't add to the open files together.
    turn: Mutex<()>,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<ProcessCollector> {
        let desc = |metric: &ProcessMetric| {
            Desc::new(metric.name.to_owned(), metric.help.to_owned(), Vec::new(), Default::default())
        };
        Ok(ProcessCollector {
            descs: METRICS.iter().map(desc).collect::<Result<_, _>>()?,
            turn: Mutex::default(),
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let files = ProcFiles::read();
        METRICS.iter().filter_map(|metric| Some(family(metric, (metric.value)(&files)?))).collect()
    }
}

fn family(metric: &ProcessMetric, value: f64) -> MetricFamily {
    let mut sample = Metric::default();
    let field_type = if metric.kind == Kind::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        sample.set_counter(counter);
        MetricType::COUNTER
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        sample.set_gauge(gauge);
        MetricType::GAUGE
    };
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(field_type);
    family.set_metric(vec![sample]);
    family
}

/// A field of `/proc/PID/stat`, numbered from 1 as in proc(5).
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    // The second field is the program's name in parentheses, which may itself hold blanks and parentheses.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_time(stat: &str) -> Option<f64> {
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

/// A line of `/proc/self/status` that gives kibibytes, in bytes.
fn memory(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kib| kib * 1024.0)
}

/// The soft limit of a line of `/proc/self/limits`. For no limit, the largest 64-bit number.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
}

/// A counter of the `IpExt` lines of `/proc/self/net/netstat`. The first line names the columns, the second has
/// the values.
fn octets(netstat: &str, column: &str) -> Option<f64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == column)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_files_of_proc() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1000 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(stat_field(stat, 22), Some(1000.0));
        let limits = "Max open files            1024                 524288               files\nMax address space         unlimited            unlimited            bytes";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(limit(limits, "Max address space"), Some(18_446_744_073_709_551_616.0));
        let netstat = "TcpExt: A\nTcpExt: 1\nIpExt: InOctets OutOctets\nIpExt: 12 34\n";
        assert_eq!(octets(netstat, "OutOctets"), Some(34.0));
    }
}
