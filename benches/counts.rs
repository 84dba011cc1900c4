//! Counts the instructions of the parts of a push and of a scrape. Unlike times, they are the same
//! in every run. Fails if a count is more than 3 % above the one in `counts.txt`.
//!
//! ```text
//! cargo bench --bench counts                    counts and compares
//! cargo bench --bench counts -- --write         writes what it counts to counts.txt
//! cargo bench --bench counts -- --only scrape   only parts with this in their name
//! ```
//!
//! The program runs itself under callgrind, once with some calls of a part and once with twice as
//! many. The difference is what the calls took in all threads, without the start of the program. To
//! see where the instructions go, run `valgrind --tool=callgrind PROGRAM --run PART CALLS FOLDER`
//! and open its file with `callgrind_annotate`.
//!
//! Expected counts hold for one compiler and one processor architecture. With others, the program
//! counts and compares nothing.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that can't run should stop")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it finds")]

mod inputs;
#[path = "../tests/support/protobuf.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use the rest of it")]
mod protobuf_fields;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use bumpalo::Bump;
use tallygate::config::Config;
use tallygate::exposition::negotiation::{Format, Offers};
use tallygate::exposition::text::Names;
use tallygate::exposition::{openmetrics, protobuf, text};
use tallygate::gateway::{BodyFormat, Gateway};
use tallygate::model::body::Body;
use tallygate::model::push::Push;
use tallygate::model::time::Moment;
use tallygate::store::semantics::Semantics;
use tallygate::store::{CommitMode, Part as Change, Store, Terms, Transaction};

use inputs::{BOUNDS, FORMATS, empty_gateway, gateway, grouping, large_body, small_body, text_push};
use protobuf_fields::{family, integer, message, metric, number};

/// How much a count may grow.
const MOST_GROWTH: f64 = 0.03;

/// The compiler and the processor architecture of this build.
const BUILD: (&str, &str) = (env!("BUILD_RUST_VERSION"), std::env::consts::ARCH);

/// Makes one call of a part each time it is called.
type Calls = Box<dyn FnMut()>;

struct Part {
    name: &'static str,
    /// How many calls are counted.
    calls: u64,
    /// How often they are counted; the median is used. More than once if hash seeds or threads that
    /// share the allocator change the count by a percent or two.
    times: usize,
    /// Prepares the calls, with a folder for files.
    prepare: fn(&Path) -> Calls,
}

const fn part(name: &'static str, calls: u64, times: usize, prepare: fn(&Path) -> Calls) -> Part {
    Part { name, calls, times, prepare }
}

#[rustfmt::skip]
const PARTS: &[Part] = &[
    part("parse small text", 100, 1, |_| parse_text(small_body(false))),
    part("parse large text", 4, 1, |_| parse_text(large_body(false, false))),
    part("parse small OpenMetrics", 100, 1, |_| parse_openmetrics(small_body(true))),
    part("parse large OpenMetrics", 4, 1, |_| parse_openmetrics(large_body(true, false))),
    part("parse large OpenMetrics, exemplars", 4, 1, |_| parse_openmetrics(large_body(true, true))),
    part("parse small protobuf", 100, 1, |_| parse_protobuf(small_protobuf())),
    part("parse large protobuf", 4, 1, |_| parse_protobuf(large_protobuf())),
    part("prepare small", 100, 1, |_| prepare(small_body(false))),
    part("prepare large", 4, 1, |_| prepare(large_body(false, false))),
    part("merge small", 100, 1, |_| merge(small_body(false))),
    part("merge large", 4, 1, |_| merge(large_body(false, false))),
    // Merges into a draft, compares it to the published version, and publishes it.
    part("draft small", 100, 1, |_| draft(small_body(false))),
    part("draft large", 4, 1, |_| draft(large_body(false, false))),
    // Parses, prepares and merges.
    part("push small", 100, 1, |_| push_again(empty_gateway(), small_body(false))),
    part("push large", 4, 1, |_| push_again(empty_gateway(), large_body(false, false))),
    part("push small, new group", 500, 1, |_| push_new_groups(small_body(false))),
    // Parses, prepares, makes a draft and commits it.
    part("push small, durable", 200, 5, |folder| push_again(durable(folder), small_body(false))),
    part("push large, durable", 4, 5, |folder| push_again(durable(folder), large_body(false, false))),
    part("scrape text", 4, 1, |_| scrape(1, large_body(false, false), 0)),
    part("scrape OpenMetrics", 4, 1, |_| scrape(1, large_body(false, false), 1)),
    part("scrape protobuf", 4, 1, |_| scrape(1, large_body(false, false), 2)),
    part("scrape text, 200 groups", 40, 3, |_| scrape(200, small_body(false), 0)),
];

fn parse_text(body: String) -> Calls {
    Box::new(move || {
        drop(text::parse(black_box(body.as_bytes()), Names::Legacy, &Bump::new()).expect("valid"))
    })
}

fn parse_openmetrics(body: String) -> Calls {
    Box::new(move || {
        drop(openmetrics::parse(black_box(body.as_bytes()), Names::Legacy, &Bump::new()).expect("valid"));
    })
}

fn parse_protobuf(body: Vec<u8>) -> Calls {
    Box::new(move || drop(protobuf::parse(black_box(&body), &Bump::new()).expect("valid")))
}

/// A parsed text, which lives with its arena until the process ends.
fn parsed(body: String) -> Body<'static> {
    let arena: &'static Bump = Box::leak(Box::default());
    text::parse(body.leak().as_bytes(), Names::Legacy, arena).expect("valid")
}

fn prepare(body: String) -> Calls {
    let parsed = parsed(body);
    let grouping = grouping(0);
    Box::new(move || drop(Push::prepare(black_box(&parsed), &grouping, true).expect("valid")))
}

/// A store, and a transaction of one push to it that it has applied once.
fn store(mode: CommitMode, body: String) -> (Store, Transaction<'static>) {
    let grouping = grouping(0);
    let push = Push::prepare(&parsed(body), &grouping, true).expect("valid");
    let transaction = Transaction::of(Change::Push {
        grouping: Cow::Owned(grouping.to_static()),
        push,
        semantics: Semantics::merging(),
        source: None,
        terms: Terms::default(),
    });
    let store = Store::new([], mode, Duration::ZERO, 1);
    store.submit(&transaction, Moment::at(1)).expect("valid");
    (store, transaction)
}

fn merge(body: String) -> Calls {
    let (store, transaction) = store(CommitMode::Never, body);
    Box::new(move || drop(store.submit(black_box(&transaction), Moment::at(2)).expect("valid")))
}

fn draft(body: String) -> Calls {
    let (store, transaction) = store(CommitMode::Before, body);
    Box::new(move || {
        let mut draft = store.draft();
        store.submit_to(&mut draft, black_box(&transaction), Moment::at(2)).expect("valid");
        drop(black_box(store.difference_of(&draft)));
        store.publish(draft);
    })
}

fn durable(folder: &Path) -> Gateway {
    let mut config = Config::default();
    config.persistence.file = folder.join("metrics.db").to_string_lossy().into_owned();
    Gateway::new(&config).expect("the folder can be written")
}

fn push_again(gateway: Gateway, body: String) -> Calls {
    let grouping = grouping(0);
    let push = move || {
        gateway.push_blocking(&text_push(&grouping, black_box(&body))).expect("valid");
    };
    // Creates the group and its series, which is not counted.
    push();
    Box::new(push)
}

fn push_new_groups(body: String) -> Calls {
    let gateway = empty_gateway();
    let mut instance = 0;
    Box::new(move || {
        let grouping = grouping(instance);
        gateway.push_blocking(&text_push(&grouping, black_box(&body))).expect("valid");
        instance += 1;
    })
}

fn scrape(groups: usize, body: String, format: usize) -> Calls {
    let gateway = gateway(groups, BodyFormat::Text, &body);
    let format = Format::negotiate(FORMATS[format].1, Offers::All);
    let scrape = move || {
        gateway
            .scrape(format, |chunk| {
                chunk.clear();
                Ok(())
            })
            .expect("the receiver stays");
    };
    // Sorts the series, which is not counted.
    scrape();
    Box::new(scrape)
}

/// The small push in protobuf.
fn small_protobuf() -> Vec<u8> {
    let help = |text: &str| message(2, &[text.as_bytes().to_vec()]);
    let mut body = Vec::new();
    for counter in 0..5 {
        let name = format!("batch_records_{counter}_total");
        let fields = [help("Records handled by the batch job."), metric(&[], 3, &[number(1, 1.0)])];
        body.extend(family(&name, 0, &fields));
    }
    let bucket = |(at, bound): (u64, &&str)| {
        message(3, &[integer(1, at), number(2, bound.parse().expect("a number"))])
    };
    let mut histogram = vec![integer(1, 10), number(2, 12.5)];
    histogram.extend((1..).zip(&BOUNDS).map(bucket));
    let fields = [help("Time that one step took."), metric(&[], 7, &histogram)];
    body.extend(family("batch_step_seconds", 4, &fields));
    body
}

/// The large push in protobuf.
fn large_protobuf() -> Vec<u8> {
    let mut body = Vec::new();
    for at in 0..20 {
        let (kind, member, suffix) = if at % 2 == 0 { (0, 3, "_total") } else { (1, 2, "") };
        let mut fields = vec![message(2, &[b"A metric of the batch worker.".to_vec()])];
        for series in 0..500 {
            let (path, code) = (format!("/api/v1/items/{series}"), format!("20{}", series % 5));
            let value = f64::from(series * 31 + at * 997) / 8.0;
            let labels = [("path", &*path), ("method", "GET"), ("code", &*code)];
            fields.push(metric(&labels, member, &[number(1, value)]));
        }
        body.extend(family(&format!("app_metric_{at}{suffix}"), kind, &fields));
    }
    body
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--run", name, calls, folder] => {
            run(name, calls.parse().expect("a number of calls"), Path::new(folder));
            // Exits without dropping anything, because that would count too.
            std::process::exit(0)
        }
        [] => report(&count(""), true),
        ["--only", part] => report(&count(part), false),
        ["--write"] => write(&count("")),
        _ => {
            eprintln!("counts: unknown arguments {arguments:?}: there are --write and --only PART");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, calls: u64, folder: &Path) {
    let part = PARTS.iter().find(|part| part.name == name).expect("a part of this name");
    let mut call = (part.prepare)(folder);
    (0..calls).for_each(|_| call());
}

/// The instructions per call of each part whose name contains `filter`.
fn count(filter: &str) -> Vec<(&'static str, u64)> {
    let chosen = PARTS.iter().filter(|part| part.name.contains(filter));
    chosen
        .map(|part| (part.name, middle((0..part.times).map(|_| instructions_of_call(part)).collect())))
        .collect()
}

fn instructions_of_call(part: &Part) -> u64 {
    let (once, twice) = (instructions(part.name, part.calls), instructions(part.name, 2 * part.calls));
    twice.saturating_sub(once) / part.calls
}

fn middle(mut counts: Vec<u64>) -> u64 {
    counts.sort_unstable();
    counts[counts.len() / 2]
}

/// The instructions of a whole run with this many calls.
fn instructions(name: &str, calls: u64) -> u64 {
    let folder = std::env::temp_dir().join(format!("tallygate-counts-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("the folder for temporary files can be written");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("a program knows its path"))
        .args(["--run", name, &calls.to_string()])
        .arg(&folder)
        .output()
        .expect("valgrind is installed");
    std::fs::remove_dir_all(&folder).expect("a folder of our own");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{said}", output.status);
    // A line such as `==123== Collected : 4567`.
    let line =
        said.lines().find_map(|line| line.split_once("Collected :")).expect("callgrind says what it counted");
    line.1.trim().parse().expect("one number")
}

/// Prints the counts beside the expected ones. Fails if one is too large or has no expected value.
fn report(counts: &[(&'static str, u64)], is_all: bool) -> ExitCode {
    let (build, expected) = read();
    let comparable = (build.0.as_str(), build.1.as_str()) == BUILD;
    let (mut wrong, mut grown) = (Vec::new(), Vec::new());
    for &(name, counted) in counts {
        let growth = expected.get(name).map(|&expected| counted as f64 / expected as f64 - 1.0);
        let shown = growth.map_or("unknown".to_owned(), |growth| format!("{:+.1} %", 100.0 * growth));
        println!("{counted:>12}  {shown:>9}  {name}");
        match growth {
            None => wrong.push(format!("{name}: counts.txt does not have it")),
            Some(growth) if growth > MOST_GROWTH => grown.push(format!("{name}: {shown}")),
            Some(_) => {}
        }
    }
    if is_all {
        let gone = expected.keys().filter(|name| PARTS.iter().all(|part| part.name != **name));
        wrong.extend(gone.map(|name| format!("{name}: counts.txt has it, and there is no such part")));
    }
    if !comparable {
        println!(
            "NOT COMPARED: counts.txt is of rustc {} on {}, and this is rustc {} on {}",
            build.0, build.1, BUILD.0, BUILD.1
        );
    } else {
        wrong.extend(grown);
    }
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "counts: {}\nMake it cheaper. If it is worth its price, say why in the commit, and write the counts anew with --write",
        wrong.join("\n        ")
    );
    ExitCode::FAILURE
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/counts.txt")
}

/// The expected counts, with the compiler and the processor architecture that they hold for.
fn read() -> ((String, String), BTreeMap<String, u64>) {
    let text = std::fs::read_to_string(file()).expect("counts.txt can be read");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let build = lines.next().and_then(|line| line.strip_prefix("rustc ")?.split_once(" on "));
    let (compiler, processor) = build.expect("the first line of counts.txt names compiler and processor");
    let count = |line: &str| {
        let (count, name) = line.trim().split_once("  ").expect("a count and a name in a line of counts.txt");
        (name.to_owned(), count.parse().expect("a count in counts.txt is a number"))
    };
    ((compiler.to_owned(), processor.to_owned()), lines.map(count).collect())
}

fn write(counts: &[(&'static str, u64)]) -> ExitCode {
    let mut text =
        String::from("# Instructions of one call, as `cargo bench --bench counts -- --write` counts them.\n");
    writeln!(text, "rustc {} on {}", BUILD.0, BUILD.1).expect("a string takes everything");
    for (name, count) in counts {
        writeln!(text, "{count:>12}  {name}").expect("a string takes everything");
    }
    std::fs::write(file(), text).expect("counts.txt can be written");
    ExitCode::SUCCESS
}
