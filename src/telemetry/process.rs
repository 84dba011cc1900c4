//! `process_*`, from Linux' `/proc`, as client_golang's process collector has them.
//!
//! The collector of the `prometheus` crate cuts CPU time to whole seconds. Where `/proc` is missing
//! the metrics are too.

use std::fs;
use std::sync::{Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

use crate::model::kind::Kind;

/// What `/proc` counts CPU time in: a hundredth of a second on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The families of this collector.
pub(super) const FAMILIES: [(&str, Kind); 9] = [
    ("process_cpu_seconds_total", Kind::Counter),
    ("process_max_fds", Kind::Gauge),
    ("process_network_receive_bytes_total", Kind::Counter),
    ("process_network_transmit_bytes_total", Kind::Counter),
    ("process_open_fds", Kind::Gauge),
    ("process_resident_memory_bytes", Kind::Gauge),
    ("process_start_time_seconds", Kind::Gauge),
    ("process_virtual_memory_bytes", Kind::Gauge),
    ("process_virtual_memory_max_bytes", Kind::Gauge),
];

const HELPS: [&str; FAMILIES.len()] = [
    "Total user and system CPU time spent in seconds.",
    "Maximum number of open file descriptors.",
    "Number of bytes received by the process over the network.",
    "Number of bytes sent by the process over the network.",
    "Number of open file descriptors.",
    "Resident memory size in bytes.",
    "Start time of the process since unix epoch in seconds.",
    "Virtual memory size in bytes.",
    "Maximum amount of virtual memory available in bytes.",
];

/// Reads `/proc` when it is asked.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    descs: Vec<Desc>,
    /// However many ask, one file is open at a time.
    turn: Mutex<()>,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<ProcessCollector> {
        let desc = |(name, help): (&(&str, Kind), &str)| {
            Desc::new(name.0.to_owned(), help.to_owned(), Vec::new(), Default::default())
        };
        let descs = FAMILIES.iter().zip(HELPS).map(desc).collect::<Result<_, _>>()?;
        Ok(ProcessCollector { descs, turn: Mutex::default() })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let network = fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
        let values = [
            cpu_seconds(&stat),
            limit(&limits, "Max open files"),
            octets(&network, "InOctets"),
            octets(&network, "OutOctets"),
            fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as f64),
            memory("VmRSS:"),
            start_time(&stat),
            memory("VmSize:"),
            limit(&limits, "Max address space"),
        ];
        let families = FAMILIES.iter().zip(HELPS).zip(values);
        families.filter_map(|(((name, kind), help), value)| Some(family(name, *kind, help, value?))).collect()
    }
}

fn family(name: &str, kind: Kind, help: &str, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    let field_type = if kind == Kind::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
        MetricType::COUNTER
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
        MetricType::GAUGE
    };
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(field_type);
    family.set_metric(vec![metric]);
    family
}

/// A field of `/proc/PID/stat`, numbered from 1 as in proc(5).
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    // The second field is the name of the program in parentheses and may hold anything.
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

/// A line of `/proc/self/status` that gives kibibytes.
fn memory(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kib| kib * 1024.0)
}

/// The soft limit of a line of `/proc/self/limits`; unlimited counts as the largest 64-bit number.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
}

/// A counter of the `IpExt` lines of `/proc/self/net/netstat`: one names the columns, the next has
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
