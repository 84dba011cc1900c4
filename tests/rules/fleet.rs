//! A simulated fleet of workers that push running totals: they are restarted, lose answers and repeat pushes, push late
//! and in several threads at once. What the gateway shows is what they have counted, which the simulation knows.

use std::thread;

use crate::programs::{self, ask_until};
use crate::scraper::Prometheus;
use crate::support::random::Random;
use crate::support::{Directory, Gateway, sample};

const GROUPS: &str = "[[groups]]\nmatch = '{job=\"worker\"}'\n\
    relabel = [{ action = \"labeldrop\", regex = \"instance\" }]\n";

fn rules(temporality: &str) -> String {
    format!(
        "{GROUPS}[[metrics]]\nmatch = '{{__name__=~\"jobs_total|seconds|sizes\"}}'\ntemporality = \"{temporality}\"\n"
    )
}

/// What one process, or all of them, have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counted {
    jobs: u64,
    /// Of the histogram: observations up to 1, all, and their sum.
    fast: u64,
    all: u64,
    seconds: u64,
    /// Of the summary.
    sizes: u64,
}

impl Counted {
    fn work(&mut self, random: &mut Random) {
        self.jobs += random.below(5);
        let (fast, slow) = (random.below(3), random.below(3));
        self.fast += fast;
        self.all += fast + slow;
        self.seconds += slow * 3;
        self.sizes += random.below(4);
    }

    fn add(&mut self, other: Counted) {
        self.jobs += other.jobs;
        self.fast += other.fast;
        self.all += other.all;
        self.seconds += other.seconds;
        self.sizes += other.sizes;
    }

    /// As a body; with a start time where one is told.
    fn body(self, start: Option<u64>) -> String {
        let Counted { jobs, fast, all, seconds, sizes } = self;
        let mut body = format!(
            "# TYPE jobs_total counter\njobs_total {jobs}\n# TYPE seconds histogram\nseconds_bucket{{le=\"1\"}} {fast}\n\
             seconds_bucket{{le=\"+Inf\"}} {all}\nseconds_sum {seconds}\nseconds_count {all}\n# TYPE sizes summary\n\
             sizes_sum {sizes}\nsizes_count {sizes}\n"
        );
        if let Some(start) = start {
            for name in ["jobs", "seconds", "sizes"] {
                body += &format!("# TYPE {name}_created gauge\n{name}_created {start}\n");
            }
        }
        body
    }

    /// What a scrape shows.
    fn shown(scrape: &str) -> Counted {
        let value = |series: &str| {
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels =
                format!("instance=\"\",job=\"worker\"{}{labels}", if labels == "}" { "" } else { "," });
            sample(scrape, &format!("{name}{{{labels}")).unwrap_or(0.0) as u64
        };
        Counted {
            jobs: value("jobs_total"),
            fast: value("seconds_bucket{le=\"1\"}"),
            all: value("seconds_count"),
            seconds: value("seconds_sum"),
            sizes: value("sizes_count"),
        }
    }
}

/// Lets workers live and push. Gives what they have counted and pushed together.
fn run(gateway: &Gateway, seed: u64, has_starts: bool, pushes: usize) -> Counted {
    let worker = |number: u64| {
        let mut random = Random::new(seed * 1000 + number);
        let path = format!("/metrics/job/worker/instance/w{number}");
        let (mut truth, mut process, mut start) = (Counted::default(), Counted::default(), 1_600_000_000);
        // What was acknowledged of this process last.
        let mut last = None;
        for _ in 0..pushes {
            process.work(&mut random);
            // It dies before it has pushed, and what it counted since is lost to everybody.
            if random.below(10) == 0 {
                truth.add(last.take().unwrap_or_default());
                process = Counted::default();
                start += 1 + random.below(1000);
                if !has_starts {
                    // Only a fall tells that it began anew, so it must fall in everything that has grown.
                    continue;
                }
                process.work(&mut random);
            }
            let body = process.body(has_starts.then_some(start));
            let push = || gateway.push(&path, &body);
            push();
            // It did not hear the answer, and sends the same again.
            if random.below(4) == 0 {
                push();
            }
            // A push that hung somewhere comes late: it is from before, of the same process.
            if let Some(late) = last.filter(|_| has_starts && random.below(4) == 0) {
                let late: Counted = late;
                gateway.push(&path, &late.body(Some(start)));
            }
            last = Some(process);
        }
        truth.add(last.unwrap_or_default());
        truth
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|number| scope.spawn(move || worker(number))).collect();
        workers.into_iter().fold(Counted::default(), |mut all, worker| {
            all.add(worker.join().unwrap());
            all
        })
    })
}

#[test]
fn running_totals_with_start_times_add_up_to_the_truth() {
    for temporality in ["auto", "cumulative"] {
        for seed in 1..4 {
            let gateway = Gateway::start_with_config(&rules(temporality), &[]);
            let truth = run(&gateway, seed, true, 60);
            assert_eq!(Counted::shown(&gateway.scrape()), truth, "{temporality}, seed {seed}");
        }
    }
}

#[test]
fn totals_survive_kills_of_the_gateway() {
    let folder = Directory::new();
    let config = format!("--config.file={}", folder.write("tallygate.toml", rules("auto")));
    let file = format!("--persistence.file={}", folder.path_of("state"));
    let mut truth = Counted::default();
    for life in 1..4 {
        let mut gateway = Gateway::start(&[&config, &file]);
        assert_eq!(Counted::shown(&gateway.scrape()), truth, "before life {life}");
        // Their instances are the same in each life, and their processes are others.
        let pushed = run(&gateway, 100, true, 30);
        if life == 1 {
            truth = pushed;
        }
        // The same pushes again are late repetitions: nothing is new in them but what their last processes counted.
        assert!(Counted::shown(&gateway.scrape()).jobs >= truth.jobs);
        truth = Counted::shown(&gateway.scrape());
        gateway.kill();
    }
}

#[test]
fn a_push_without_start_time_is_a_delta_under_auto() {
    let gateway = Gateway::start_with_config(&rules("auto"), &[]);
    for _ in 0..3 {
        gateway.push("/metrics/job/worker/instance/a", "# TYPE jobs_total counter\njobs_total 5\n");
    }
    assert_eq!(gateway.sample("jobs_total{instance=\"\",job=\"worker\"}"), Some(15.0));
}

/// A real Prometheus that scrapes all the while computes the truth from what it saw, through a reload of the rules, a
/// deletion and a restart of a sender, an overflow, a group that expires, and a kill of the gateway.
#[test]
fn prometheus_sees_no_false_reset() {
    let Some(program) = programs::prometheus() else { return };
    let folder = Directory::new();
    let more = "max_series = 4\noverflow = \"fold\"\n[[groups]]\nmatch = '{job=\"nightly\"}'\nttl = \"1s\"\n[[metrics]]";
    let rules = rules("auto").replacen("[[metrics]]", more, 1);
    let config = format!("--config.file={}", folder.write("tallygate.toml", &rules));
    let file = format!("--persistence.file={}", folder.path_of("state"));
    let mut gateway = Gateway::start(&[&config, &file, "--web.enable-lifecycle"]);
    let push_to = |gateway: &Gateway, worker: u32, total: u32, start: &str| {
        let body = format!(
            "# TYPE jobs_total counter\njobs_total {total}\n# TYPE jobs_created gauge\njobs_created {start}\n"
        );
        gateway.push(&format!("/metrics/job/worker/instance/w{worker}"), &body);
    };
    let push = |worker, total| push_to(&gateway, worker, total, "1.6e9");
    (0..3).for_each(|worker| push(worker, 0));
    let prometheus = Prometheus::start(&program, &gateway);
    let sees = |query: &str, value: f64| {
        ask_until(query, || match prometheus.value(query)? {
            seen if seen == value => Ok(()),
            seen => Err(format!("{seen}")),
        });
    };
    let latest = |value: f64| sees("jobs_total{job=\"worker\"}", value);
    latest(0.0);
    (0..3).for_each(|worker| push(worker, 10));
    latest(30.0);
    // Rules that say the same in other words.
    folder.write("tallygate.toml", format!("# The same.\n{rules}"));
    assert_eq!(gateway.request("POST", "/-/reload", &[], b"").status, 200);
    (0..3).for_each(|worker| push(worker, 14));
    latest(42.0);
    assert_eq!(gateway.delete("/metrics/job/worker/instance/w1").status, 202);
    // Another process under the same name.
    push_to(&gateway, 1, 5, "1.7e9");
    [0, 2].into_iter().for_each(|worker| push(worker, 20));
    latest(59.0);
    // There is room for three of six tasks.
    for round in 1..4 {
        let tasks: String = (0..6).map(|task| format!("work_total{{task=\"{task}\"}} 1\n")).collect();
        gateway.push("/metrics/job/worker/instance/w0", &format!("# TYPE work_total counter\n{tasks}"));
        sees("sum(work_total)", f64::from(6 * round));
    }
    sees("count(work_total)", 4.0);
    gateway.push("/metrics/job/nightly", "# TYPE runs_total counter\nruns_total 7\n");
    sees("runs_total", 7.0);
    ask_until("the group to expire", || match gateway.sample("runs_total{instance=\"\",job=\"nightly\"}") {
        None => Ok(()),
        some => Err(format!("{some:?}")),
    });
    let address = format!("--web.listen-address=127.0.0.1:{}", gateway.port());
    gateway.kill();
    let gateway = Gateway::start_exactly(&[&address, &config, &file], &[]);
    [0, 2].into_iter().for_each(|worker| push_to(&gateway, worker, 25, "1.6e9"));
    latest(69.0);
    sees("sum(work_total)", 18.0);
    for of in ["jobs_total{job=\"worker\"}", "work_total"] {
        assert_eq!(prometheus.value(&format!("sum(resets({of}[10m]))")).unwrap(), 0.0, "{of}");
    }
}
