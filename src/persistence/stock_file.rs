//! The persistence file of the stock Pushgateway, versions 0.10 to 1.11: read to take over its
//! groups, written to give them back.
//!
//! The file is a [gob](https://pkg.go.dev/encoding/gob) stream: definitions of Go types, then one value, a map from
//! grouping keys to groups. The definitions differ between versions, so the reader follows them and finds fields by
//! their names. This module does no I/O.

mod gob;
mod read;
mod schema;
mod time;
mod types;
mod write;

pub use read::{looks_like, read};
pub use write::write;

/// What a stock gateway's file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockFile {
    /// The groups, sorted by their labels.
    pub groups: Vec<StockGroup>,
    /// What was left out, for the log.
    pub skipped: Vec<Skipped>,
}

/// One group, as the stock gateway keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockGroup {
    /// Names and values of the grouping labels, sorted by name. The reader does not check them against the rules
    /// for push paths: there may be no `job`, or no label at all.
    pub labels: Vec<(String, String)>,
    /// The families, sorted by name. The group's `push_time_seconds` and `push_failure_time_seconds`
    /// are among them.
    pub families: Vec<StockFamily>,
}

/// One metric family of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockFamily {
    /// The name under which the group keeps it; the message normally has the same.
    pub name: String,
    /// When it was last pushed, in nanoseconds since the Unix epoch. 0 stands for Go's zero time, which means that
    /// the file does not say. Times before 1677-09-21 or after 2262-04-11 become these limits.
    pub pushed_at: i64,
    /// An `io.prometheus.client.MetricFamily` in protobuf, without a length prefix and unchecked. Its series
    /// include the grouping labels. `None` is Go's nil, which no stock gateway is known to write.
    pub message: Option<Vec<u8>>,
}

/// A part of a file that can't be imported because a name or a value in it is not UTF-8. The stock gateway refuses
/// a push to such a group, but keeps the group with the time of the failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skipped {
    /// A group, with all its families.
    #[error("the group {labels} is left out: a label of it is not UTF-8")]
    Group {
        /// The grouping labels, quoted.
        labels: String,
    },
    /// A family of a group that is otherwise imported.
    #[error("the metric family {name} of the group {labels} is left out: its name is not UTF-8")]
    Family {
        /// The grouping labels, quoted.
        labels: String,
        /// The name, quoted.
        name: String,
    },
}

/// Why a file can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (at byte {offset})")]
pub struct StockFileError {
    /// Where in the file, in bytes from its start.
    pub offset: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// It does not begin with the definition of a type.
    #[error("not the file of a stock Pushgateway: it begins differently")]
    Foreign,
    /// The last message is longer than the rest of the file.
    #[error("the file is cut off: a message of {length} bytes begins here, but only {left} follow")]
    CutOff {
        /// The length of the message according to its prefix.
        length: u64,
        /// The number of bytes left.
        left: usize,
    },
    /// The definitions are followed by nothing.
    #[error("the file is cut off: it ends after the type definitions, without any groups")]
    NoValue,
    /// No byte is left where one is needed.
    #[error("the file, or a message of it, ends within a value")]
    Ended,
    /// A string, or a value with an encoding of its own, is longer than the rest of its message.
    #[error("a value has a length of {length} bytes, but its message has only {left} more")]
    Length {
        /// The length according to its prefix.
        length: u64,
        /// The number of bytes left.
        left: usize,
    },
    /// A map or a list has more entries than its message has bytes.
    #[error("a map or list has {count} entries, but its message has only {left} more bytes")]
    Count {
        /// The number of entries according to the file.
        count: u64,
        /// The number of bytes left.
        left: usize,
    },
    /// An integer has more than eight bytes.
    #[error("an integer has more than 64 bits")]
    Integer,
    /// A struct value has a field that the definition of its type does not have.
    #[error("a struct has a field that its type does not have")]
    FieldNumber,
    /// A definition is for a number that is already in use.
    #[error("the type {id} is defined, but it is built in or defined before")]
    TypeNumber {
        /// The number of the type.
        id: i64,
    },
    /// A definition is not in the form that Go has for them.
    #[error("a type definition is malformed")]
    Definition,
    /// A value is of a type that was not defined.
    #[error("there is a value of the type {id}, which is not defined")]
    UndefinedType {
        /// The number of the type.
        id: i64,
    },
    /// The types are not those of a stock gateway.
    #[error("not the file of a stock Pushgateway: the type of {what} is not {expected}")]
    Mismatch {
        /// The thing with the wrong type.
        what: &'static str,
        /// The type in the file of a stock gateway.
        expected: &'static str,
    },
    /// A struct type lacks a field without which the file makes no sense.
    #[error("not the file of a stock Pushgateway: {what} has no field {field}")]
    MissingField {
        /// The thing that lacks the field.
        what: &'static str,
        /// The name of the field.
        field: &'static str,
    },
    /// The groups do not begin with the zero that Go writes before a map.
    #[error("the groups do not begin with a zero byte")]
    Marker,
    /// A Go interface value, which no stock gateway writes.
    #[error("there is a Go interface value, which can't be read")]
    Interface,
    /// Values are nested too deep.
    #[error("values are nested too deep")]
    Nesting,
    /// A time has a form that Go does not write.
    #[error("a time is in no known form")]
    Time,
    /// A map has two equal entries.
    #[error("there are two {what} with the same {key}")]
    Twice {
        /// What the entries are.
        what: &'static str,
        /// The key of the entries.
        key: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    use bumpalo::Bump;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use serde_json::Value;

    use super::*;
    use crate::exposition::protobuf;

    const SAMPLES: [&str; 4] = ["0-empty", "1-minimal", "2-classic", "3-native-utf8"];

    /// A file that was recorded from the stock gateway; see the README beside it.
    fn sample(name: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/persistence-samples");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn stock_file(name: &str) -> Vec<u8> {
        sample(&format!("{name}.gob"))
    }

    /// The times of the families by family name, by the labels of the group.
    type Times = BTreeMap<Vec<(String, String)>, BTreeMap<String, i64>>;

    /// The times that the stock gateway showed in its API when it wrote the file.
    fn recorded_times(name: &str) -> Times {
        let answer: Value = serde_json::from_slice(&sample(&format!("{name}.api-metrics.raw.json"))).unwrap();
        let mut groups = Times::new();
        for group in answer["data"].as_array().unwrap() {
            let labels = group["labels"].as_object().unwrap().iter();
            let mut labels: Vec<_> =
                labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
            labels.sort();
            let times = groups.entry(labels).or_default();
            for (name, family) in group.as_object().unwrap() {
                if let Some(time) = family.get("time_stamp") {
                    times.insert(name.clone(), nanos(time.as_str().unwrap()));
                }
            }
        }
        groups
    }

    /// Parses an RFC 3339 time to nanoseconds since the Unix epoch.
    fn nanos(text: &str) -> i64 {
        let (time, hours) = match text.strip_suffix("-05:00") {
            Some(time) => (format!("{time}Z"), 5),
            None => (text.to_owned(), 0),
        };
        let time = humantime::parse_rfc3339(&time).unwrap() + Duration::from_secs(hours * 3600);
        time.duration_since(UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap()
    }

    #[test]
    fn samples_hold_what_the_gateway_said() {
        for (name, group_count) in SAMPLES.into_iter().zip([0, 1, 7, 2]) {
            let file = read(&stock_file(name)).unwrap();
            assert_eq!(file.skipped, [], "{name}");
            assert_eq!(file.groups.len(), group_count, "{name}");
            assert!(file.groups.is_sorted_by_key(|group| &group.labels), "{name}");
            let times = |group: &StockGroup| {
                assert!(group.families.is_sorted_by_key(|family| &family.name), "{name}: {group:?}");
                group.families.iter().map(|family| (family.name.clone(), family.pushed_at)).collect()
            };
            let groups = file.groups.iter().map(|group| (group.labels.clone(), times(group)));
            assert_eq!(groups.collect::<Times>(), recorded_times(name), "{name}");
        }
    }

    #[test]
    fn messages_of_samples_are_those_of_their_families() {
        for name in SAMPLES {
            for family in read(&stock_file(name)).unwrap().groups.iter().flat_map(|group| &group.families) {
                let message = family.message.as_deref().unwrap();
                let mut body = Vec::new();
                protobuf::delimit(&mut body, message);

                let arena = Bump::new();
                match protobuf::parse(&body, &arena) {
                    Ok(parsed) => {
                        let names: Vec<_> = parsed.families.iter().map(|parsed| parsed.name).collect();
                        assert_eq!(names, [family.name.as_str()], "{name}");
                    }
                    Err(error) => panic!("{name}, {}: {error}", family.name),
                }
            }
        }
    }

    #[test]
    fn samples_that_are_written_read_back() {
        for name in SAMPLES {
            let file = read(&stock_file(name)).unwrap();
            assert_eq!(read(&write(&file.groups)), Ok(file), "{name}");
        }
    }

    #[test]
    fn other_types_with_the_same_names_are_read() {
        let file = read(&sample("other-types.gob")).unwrap();
        let family = |name: &str, pushed_at, message: Option<&[u8]>| StockFamily {
            name: name.to_owned(),
            pushed_at,
            message: message.map(<[u8]>::to_vec),
        };
        let labels = [("instance", ""), ("job", "j")];
        let group = StockGroup {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            families: vec![family("a", 0, None), family("b", 1_700_000_000_000_000_005, Some(b"\x0a\x01b"))],
        };
        assert_eq!(file, StockFile { groups: vec![group], skipped: vec![] });
    }

    #[test]
    fn stock_files_are_told_from_others_by_their_first_bytes() {
        for name in SAMPLES {
            let bytes = stock_file(name);
            assert!(looks_like(&bytes[..32]), "{name}");
            assert!(looks_like(&write(&read(&bytes).unwrap().groups)[..32]), "{name}");
        }
        assert!(!looks_like(b""));
        let others =
            [&b"redb\x1a\x0a\xa9\x0d\x0a\0\0\0\0\0\0\0"[..], b"# TYPE a counter\n", b"{\"a\": 1}", &[0; 32]];
        for bytes in others {
            assert!(!looks_like(bytes), "{bytes:?}");
            assert_eq!(read(bytes), Err(StockFileError { offset: 0, fault: Fault::Foreign }));
        }
    }

    /// Replaces all occurrences of these bytes by as many others.
    fn replaced(name: &str, from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut bytes = stock_file(name);
        let places: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
        assert!(!places.is_empty() && from.len() == to.len());
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        bytes
    }

    #[test]
    fn what_is_not_utf_8_is_left_out_and_reported() {
        let file = read(&replaced("1-minimal", b"\x03job\x01j", b"\x03job\x01\xff")).unwrap();
        assert_eq!(file.groups, []);
        let report: Vec<_> = file.skipped.iter().map(ToString::to_string).collect();
        assert_eq!(report, [r#"the group {job="\xff"} is left out: a label of it is not UTF-8"#]);

        let file = read(&replaced("1-minimal", b"\x03\x01g\x01", b"\x03\x01\x80\x01")).unwrap();
        assert_eq!(file.groups[0].families.len(), 2);
        let report: Vec<_> = file.skipped.iter().map(ToString::to_string).collect();
        let expected =
            r#"the metric family "\x80" of the group {job="j"} is left out: its name is not UTF-8"#;
        assert_eq!(report, [expected]);
    }

    #[test]
    fn files_of_other_types_are_refused() {
        for (from, to, message) in [
            (&b"Labels"[..], &b"Babels"[..], "a group has no field Labels"),
            (b"Timestamp\x01\xff\x86", b"Timestamp\x01\xff\x82", "the type of Timestamp is not a time"),
            (
                b"Labels\x01\xff\x82",
                b"Labels\x01\xff\x88",
                "the type of Labels is not a map from strings to strings",
            ),
            (b"\xff\x8c\x00\x01\x05job", b"\xff\x88\x00\x01\x05job", "the type of the value is not a map"),
        ] {
            let error = read(&replaced("1-minimal", from, to)).unwrap_err();
            let expected = format!("not the file of a stock Pushgateway: {message} (at byte 1467)");
            assert_eq!(error.to_string(), expected);
        }
        let undefined = read(&replaced("1-minimal", b"\xff\x8c\x00\x01\x05job", b"\x0c\x00\x00\x01\x05job"));
        assert!(matches!(undefined.unwrap_err().fault, Fault::Mismatch { what: "the value", .. }));
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_refused_and_one_that_goes_on_is_not() {
        let whole = stock_file("1-minimal");
        for end in 0..whole.len() {
            let error = read(&whole[..end]).unwrap_err();
            assert!(error.offset <= end, "{error}");
            let is_cut = match end {
                0 => error.fault == Fault::Empty,
                // Too short to tell.
                1..4 => error.fault == Fault::Foreign,
                _ => matches!(error.fault, Fault::CutOff { .. } | Fault::Ended | Fault::NoValue),
            };
            assert!(is_cut, "{end}: {error}");
        }
        assert_eq!(read(&[&whole[..], b"more"].concat()), read(&whole));
    }

    #[test]
    fn entries_that_come_twice_are_refused() {
        let mut groups = read(&stock_file("2-classic")).unwrap().groups;
        let fault = |groups: &[StockGroup]| read(&write(groups)).unwrap_err().fault;
        let first = groups[0].clone();
        groups.push(first);
        assert_eq!(fault(&groups), Fault::Twice { what: "groups", key: "labels" });
        groups.pop();
        groups[0].families[1].name = groups[0].families[0].name.clone();
        assert_eq!(fault(&groups), Fault::Twice { what: "metric families of a group", key: "name" });
        let label = groups[0].labels[0].clone();
        groups[0].labels.push(label);
        assert_eq!(fault(&groups), Fault::Twice { what: "labels of a group", key: "name" });
    }

    fn any_groups() -> impl Strategy<Value = Vec<StockGroup>> {
        let text = ".{0,12}";
        let labels = prop::collection::btree_map(text, text, 0..4);
        let family = (any::<i64>(), prop::option::of(prop::collection::vec(any::<u8>(), 0..300)));
        let families = prop::collection::btree_map(text, family, 0..4);
        prop::collection::btree_map(labels, families, 0..4).prop_map(|groups| {
            let family = |(name, (pushed_at, message))| StockFamily { name, pushed_at, message };
            let group = |(labels, families): (BTreeMap<_, _>, BTreeMap<_, _>)| StockGroup {
                labels: labels.into_iter().collect(),
                families: families.into_iter().map(family).collect(),
            };
            groups.into_iter().map(group).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(groups in any_groups()) {
            let file = read(&write(&groups));
            prop_assert_eq!(file, Ok(StockFile { groups, skipped: vec![] }));
        }

        #[test]
        fn damaged_files_are_read_or_refused(
            name in select(vec!["1-minimal", "2-classic", "3-native-utf8", "other-types"]),
            // Bytes with a meaning of their own in gob, and any others.
            changes in prop::collection::vec(
                (any::<Index>(), prop_oneof![select(vec![0, 1, 2, 0x7f, 0x80, 0xf8, 0xff]), any::<u8>()]),
                1..6,
            ),
            end in any::<Index>(),
            is_cut: bool,
        ) {
            let mut bytes = stock_file(name);
            for (at, byte) in changes {
                *at.get_mut(&mut bytes) = byte;
            }
            if is_cut {
                bytes.truncate(end.index(bytes.len()));
            }
            match read(&bytes) {
                Ok(file) => {
                    let groups = file.groups;
                    prop_assert_eq!(read(&write(&groups)), Ok(StockFile { groups, skipped: vec![] }));
                }
                Err(error) => prop_assert!(error.offset <= bytes.len()),
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = (looks_like(&bytes), read(&bytes));
        }
    }
}
