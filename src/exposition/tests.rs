//! Checks that the meaning of a line does not depend on the line before it.

use bumpalo::Bump;
use proptest::prelude::*;

use super::format::BodyFormat;
use super::reading::{Names, Reading};

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
    let arena = Bump::new();
    let reading = Reading::unlimited(Names::Utf8);
    let body = format.parse(body.as_bytes(), &reading, &arena).map_err(|error| error.message)?;
    let series = body.families.iter().flat_map(|family| {
        let body = &body;
        body.series_of(family)
            .map(move |series| format!("{} {:?} {:?}", family.name, body.labels_of(series), series.value))
    });
    Ok(series.collect())
}

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
}
