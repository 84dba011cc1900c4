//! Replicas behind a real balancer, with a real Prometheus that scrapes it, and over a database that fails over.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::programs::database::Database;
use crate::programs::{self, ask_until};
use crate::scraper::Prometheus;
use crate::support::random::Random;
use crate::support::{Connection, Directory, Gateway, encode_request, sample};

const BODY: &str = "# TYPE jobs_total counter\njobs_total 1\n# TYPE took_seconds histogram\n\
                    took_seconds_bucket{le=\"1\"} 1\ntook_seconds_bucket{le=\"+Inf\"} 2\n\
                    took_seconds_sum 3\ntook_seconds_count 2\n";
const TOTAL: &str = r#"jobs_total{instance="",job="fleet"}"#;
const CLIENTS: usize = 4;

/// An address that is free at the moment.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// haproxy before some gateways. It is ended when dropped.
struct Balancer {
    process: Child,
    address: SocketAddr,
    _folder: Directory,
}

impl Balancer {
    fn before(gateways: &[SocketAddr]) -> Option<Balancer> {
        let program = programs::haproxy()?;
        let (folder, address) = (Directory::new(), free_address());
        let servers: String = gateways
            .iter()
            .enumerate()
            .map(|(number, at)| format!("    server r{number} {at} check inter 200ms fall 1 rise 1\n"))
            .collect();
        let config = format!(
            "defaults\n    mode http\n    timeout connect 2s\n    timeout client 60s\n    timeout server 60s\n    \
             option redispatch\nfrontend front\n    bind {address}\n    default_backend replicas\n\
             backend replicas\n    balance roundrobin\n    option httpchk GET /-/ready\n{servers}"
        );
        let config = folder.write("haproxy.cfg", config);
        let process = Command::new(program)
            .args(["-f", &config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Balancer { process, address, _folder: folder })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ask(address: SocketAddr, method: &str, request: &[u8]) -> io::Result<(u16, String)> {
    let mut connection = Connection::open(address)?;
    connection.send(request)?;
    let answer = connection.read_response(method)?;
    Ok((answer.status, answer.text()))
}

/// What all clients together have done.
#[derive(Default)]
struct Run {
    /// How many pushes were sent at least once, and how many of them were acknowledged.
    begun: AtomicU64,
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

/// Pushes again and again until the end, each push with a key until it is acknowledged.
fn push_until_the_end(run: &Run, addresses: &[SocketAddr], client: usize) {
    let mut random = Random::new(client as u64);
    let mut number = 0;
    while !run.is_over.load(Ordering::SeqCst) {
        run.begun.fetch_add(1, Ordering::SeqCst);
        let key = format!("{client}-{number}");
        number += 1;
        let request =
            encode_request("POST", "/metrics/job/fleet", &[("Idempotency-Key", &key)], BODY.as_bytes());
        ask_until("an acknowledged push", || {
            let address = addresses[random.below(addresses.len() as u64) as usize];
            match ask(address, "POST", &request) {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        run.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

/// Scrapes any of these until the end. Each push counts once, at some moment between its request and its answer: a total
/// is neither below what was shown or acknowledged before, nor above what was sent by the end of the scrape.
fn scrape_until_the_end(run: &Run, addresses: &[SocketAddr]) {
    let request = encode_request("GET", "/metrics", &[], b"");
    let (mut random, mut highest) = (Random::new(99), 0.0);
    while !run.is_over.load(Ordering::SeqCst) {
        let acknowledged = run.acknowledged.load(Ordering::SeqCst) as f64;
        let address = addresses[random.below(addresses.len() as u64) as usize];
        if let Ok((200, text)) = ask(address, "GET", &request) {
            let begun = run.begun.load(Ordering::SeqCst) as f64;
            let total = sample(&text, TOTAL).unwrap_or(0.0);
            let told = format!("{total} after {highest}, {acknowledged} acknowledged, {begun} sent");
            assert!(total >= acknowledged && total >= highest && total <= begun, "{told}");
            highest = total;
        }
    }
}

/// Lets clients push to some addresses while something happens. Gives how many pushes were acknowledged.
fn under_load(addresses: &[SocketAddr], happens: impl FnOnce(&dyn Fn(u64))) -> u64 {
    struct End<'a>(&'a Run);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.is_over.store(true, Ordering::SeqCst);
        }
    }
    let run = Run::default();
    thread::scope(|scope| {
        let (end, run) = (End(&run), &run);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || push_until_the_end(run, addresses, client)))
            .collect();
        let scraper = scope.spawn(move || scrape_until_the_end(run, addresses));
        happens(&|more| {
            let target = run.acknowledged.load(Ordering::SeqCst) + more;
            ask_until("more pushes", || match run.acknowledged.load(Ordering::SeqCst) {
                now if now >= target => Ok(()),
                now => Err(format!("{now} of {target}")),
            });
        });
        drop(end);
        clients.into_iter().for_each(|client| client.join().unwrap());
        scraper.join().unwrap();
    });
    run.acknowledged.load(Ordering::SeqCst)
}

fn start_at(address: SocketAddr, url: &str) -> Gateway {
    let flags = [format!("--web.listen-address={address}"), format!("--persistence.postgres={url}")];
    Gateway::start_exactly(&[&flags[0], &flags[1]], &[])
}

#[test]
fn prometheus_sees_the_truth_through_a_balancer() {
    let Some(program) = programs::prometheus() else { return };
    let Some(database) = Database::start(&[]) else { return };
    let addresses: Vec<SocketAddr> = (0..3).map(|_| free_address()).collect();
    let url = database.url();
    let mut gateways: Vec<Gateway> = addresses.iter().map(|address| start_at(*address, &url)).collect();
    let Some(balancer) = Balancer::before(&addresses) else { return };
    ask_until("the balancer", || {
        match ask(balancer.address, "GET", &encode_request("GET", "/-/ready", &[], b"")) {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // The first increment is seen as one.
    gateways[0].push("/metrics/job/fleet", &BODY.replace("total 1", "total 0"));
    let prometheus = Prometheus::start_at(&program, balancer.address.port());
    let sees = |query: &str, value: f64| {
        ask_until(query, || match prometheus.value(query)? {
            seen if seen == value => Ok(()),
            seen => Err(format!("{seen}")),
        });
    };
    sees("jobs_total{job=\"fleet\"}", 0.0);
    let acknowledged = under_load(&[balancer.address], |wait_for_more| {
        for victim in [0, 1, 2, 1] {
            wait_for_more(60);
            let gateway = gateways.remove(victim);
            // Half of them are killed, the others leave.
            if victim == 1 {
                drop(gateway);
            } else {
                gateway.signal("TERM");
                assert_eq!(gateway.wait().status.code(), Some(0));
            }
            wait_for_more(60);
            gateways.insert(victim, start_at(addresses[victim], &url));
        }
        gateways[2].signal("STOP");
        thread::sleep(Duration::from_millis(300));
        gateways[2].signal("CONT");
        wait_for_more(60);
    });
    sees("jobs_total{job=\"fleet\"}", acknowledged as f64);
    sees("took_seconds_sum{job=\"fleet\"}", 3.0 * (acknowledged + 1) as f64);
    for of in ["jobs_total", "took_seconds_count", "took_seconds_bucket"] {
        sees(&format!("sum(resets({of}{{job=\"fleet\"}}[10m]))"), 0.0);
    }
    // Its own counters of one replica are not taken for those of another.
    sees("sum(resets(tallygate_pushes_total{replica!~\".*:0\"}[10m])) >= bool 0", 1.0);
    for gateway in &gateways {
        assert_eq!(gateway.sample(TOTAL), Some(acknowledged as f64));
    }
}

#[test]
fn a_failover_to_a_synchronous_standby_loses_nothing() {
    let Some(mut primary) = Database::start(&[]) else { return };
    let standby = primary.standby();
    let url = format!("{}?target_session_attrs=read-write", primary.url_with(&standby));
    let addresses: Vec<SocketAddr> = (0..2).map(|_| free_address()).collect();
    let gateways: Vec<Gateway> = addresses.iter().map(|address| start_at(*address, &url)).collect();
    let acknowledged = under_load(&addresses, |wait_for_more| {
        wait_for_more(100);
        primary.stop();
        standby.promote();
        wait_for_more(100);
    });
    for gateway in &gateways {
        assert_eq!(gateway.sample(TOTAL), Some(acknowledged as f64));
        assert_eq!(
            gateway.sample(&TOTAL.replace("jobs_total", "took_seconds_count")),
            Some(2.0 * acknowledged as f64)
        );
    }
}
