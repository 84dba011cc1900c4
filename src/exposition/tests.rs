//! Checks that the meaning of a line does not depend on the line before it.

use bumpalo::Bump;
use proptest::prelude::*;

use super::format::BodyFormat;
use super::reading::{Names, Reading};
use crate::model::body::{Body, Composite, Series, Value};
use crate::model::labels::EmptyLabels;
use crate::model::limits::PushLimits;

/// Labels for lists, some repeated, with both forms of names.
const LABELS: [&str; 9] = [
    r#"a="1""#,
    r#"a="2""#,
    r#"ab="1""#,
    r#"b="""#,
    r#""b"="2""#,
    r#""x.y"="1""#,
    r#"x="\\""#,
    r#"le="1""#,
    r#"quantile="1""#,
];

const VALUES: [&str; 8] = ["1", "0.5", "123456789012345", "1234567890123456", "+Inf", ".", "1.2.3", ""];

/// The series of a body, or its fault without the place.
fn read(format: BodyFormat, body: &str) -> Result<Vec<String>, String> {
    read_with(format, body, Reading::unlimited(Names::Utf8))
}

fn read_with(format: BodyFormat, body: &str, reading: Reading) -> Result<Vec<String>, String> {
    let arena = Bump::new();
    let body = format.parse(body.as_bytes(), &reading, &arena).map_err(|error| error.message)?;
    let series = body.families.iter().flat_map(|family| {
        let body = &body;
        body.series_of(family).map(move |series| {
            let mut labels = body.labels_of(series).to_vec();
            labels.sort_by_key(|label| label.name);
            format!("{} {labels:?} {}", family.name, value(body, series))
        })
    });
    Ok(series.collect())
}

fn value(body: &Body<'_>, series: &Series) -> String {
    let Value::Composite(number) = series.value else { return format!("{:?}", series.value) };
    let composite = body.composite(number);
    let buckets: Vec<_> = body.buckets_of(composite).collect();
    let quantiles: Vec<_> = body.quantiles_of(composite).collect();
    let (sum, count) = (composite.sum, composite.count);
    let Composite { is_repeated, .. } = composite;
    format!("{sum:?} {count:?} {is_repeated} {buckets:?} {quantiles:?} {}", series.has_timestamp)
}

/// Names of samples of a histogram or summary `m`, and others.
const SAMPLES: [&str; 6] = ["m_bucket", "m_bucket", "m", "m_count", "m_sum", "other"];

const NUMBERS: [&str; 8] = ["1", "0.5", "1e+06", "+Inf", "NaN", "-1", "1.2.3", r#"1\""#];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_read_alike_alone_and_behind_others(
        lines in prop::collection::vec((prop::collection::vec(0..LABELS.len(), 0..5), 0..VALUES.len()), 1..6),
        end in prop::sample::select(vec!["", " 1", "\r"]),
    ) {
        for (format, head, name) in [
            (BodyFormat::Text, "# TYPE m gauge\n", "m"),
            (BodyFormat::OpenMetrics, "# TYPE m gauge\n", "m"),
            (BodyFormat::Text, "# TYPE m histogram\n", "m_bucket"),
            (BodyFormat::OpenMetrics, "# TYPE m summary\n", "m"),
        ] {
            let line = |(labels, value): &(Vec<usize>, usize)| {
                let labels: Vec<&str> = labels.iter().map(|at| LABELS[*at]).collect();
                format!("{name}{{{}}} {}{end}\n", labels.join(","), VALUES[*value])
            };
            let lines: Vec<String> = lines.iter().map(line).collect();
            let whole = read(format, &format!("{head}{}", lines.concat()));
            let alone: Result<Vec<_>, _> = lines.iter().map(|line| read(format, &format!("{head}{line}"))).collect();
            match (whole, alone) {
                (Ok(whole), Ok(alone)) if head.contains("gauge") => prop_assert_eq!(whole, alone.concat()),
                (Ok(_), Ok(_)) => {}
                (whole, alone) => prop_assert_eq!(whole.err(), alone.err(), "{}", lines.concat()),
            }
        }
    }

    /// A series is recognised where the label that tells its samples apart is the last one.
    #[test]
    fn it_does_not_matter_which_label_comes_last(
        lines in prop::collection::vec(
            (0..SAMPLES.len(), prop::sample::subsequence(&["a=\"1\"", "b=\"\"", "\"x.y\"=\"1\""], 0..3), 0..NUMBERS.len(), 0_usize..3),
            1..12,
        ),
        end in prop::sample::select(vec!["\n", " 1\n", "\r\n", " \n", " # {a=\"\"} 0.5\n"]),
        limit in prop::sample::select(vec![2, 5, usize::MAX]),
        empty_labels in prop::sample::select(vec![EmptyLabels::Kept, EmptyLabels::Absent]),
    ) {
        let limits = PushLimits { label_pairs: limit, ..PushLimits::NONE };
        let reading = Reading { limits, empty_labels, ..Reading::unlimited(Names::Utf8) };
        for format in [BodyFormat::Text, BodyFormat::OpenMetrics] {
            for (kind, label) in [("histogram", "le"), ("summary", "quantile"), ("gauge", "le")] {
                let body = |is_last: bool| {
                    let line = |(name, labels, number, value): &(usize, Vec<&str>, usize, usize)| {
                        let special = format!("{label}=\"{}\"", NUMBERS[*number]);
                        let others = labels.iter().map(|label| format!("{label},")).collect::<String>();
                        let labels =
                            if is_last { format!("{others}{special}") } else { format!("{special},{others}") };
                        format!("{}{{{labels}}} {value}{end}", SAMPLES[*name])
                    };
                    format!("# TYPE m {kind}\n{}", lines.iter().map(line).collect::<String>())
                };
                let (last, first) = (read_with(format, &body(true), reading), read_with(format, &body(false), reading));
                match (last, first) {
                    (Err(_), Err(_)) => {}
                    (last, first) => prop_assert_eq!(last, first, "{}", body(true)),
                }
            }
        }
    }
}
