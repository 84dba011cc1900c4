//! Writes a file that a stock gateway can load.

use super::gob::{put_bytes, put_count, put_int};
use super::types::{STRING, TypeId};
use super::{StockGroup, time};

/// The type numbers in the files that are written here.
const GROUPS: TypeId = 64;
const GROUP: TypeId = 65;
const LABELS: TypeId = 66;
const FAMILIES: TypeId = 67;
const FAMILY: TypeId = 68;
const TIME: TypeId = 69;
const MESSAGE: TypeId = 70;

/// The separator between names and values in the keys of groups.
const SEPARATOR: u8 = 0xff;

/// Writes a file from which every stock gateway since 0.10 restores these groups. A time of 0 is written as Go's
/// zero time.
///
/// All groups must have different labels. The labels of a group, and the names of its families, must be unique.
pub fn write(groups: &[StockGroup]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, &map_type(GROUPS, "GroupingKeyToMetricGroup", STRING, GROUP));
    put_bytes(&mut out, &struct_type(GROUP, "MetricGroup", [("Labels", LABELS), ("Metrics", FAMILIES)]));
    put_bytes(&mut out, &map_type(LABELS, "map[string]string", STRING, STRING));
    put_bytes(&mut out, &map_type(FAMILIES, "NameToTimestampedMetricFamilyMap", STRING, FAMILY));
    let fields = [("Timestamp", TIME), ("GobbableMetricFamily", MESSAGE)];
    put_bytes(&mut out, &struct_type(FAMILY, "TimestampedMetricFamily", fields));
    put_bytes(&mut out, &opaque_type(TIME, "Time"));
    put_bytes(&mut out, &opaque_type(MESSAGE, "GobbableMetricFamily"));
    put_bytes(&mut out, &value(groups));
    out
}

/// The beginning of a type definition: the field of Go's `wireType` that is used, and the fields that all kinds of
/// types have in common.
fn definition(id: TypeId, kind: u8, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_int(&mut out, -id);
    out.extend([kind, 1, 1]);
    put_bytes(&mut out, name.as_bytes());
    out.push(1);
    put_int(&mut out, id);
    out.push(0);
    out
}

fn map_type(id: TypeId, name: &str, key: TypeId, element: TypeId) -> Vec<u8> {
    let mut out = definition(id, 4, name);
    for id in [key, element] {
        out.push(1);
        put_int(&mut out, id);
    }
    out.extend([0, 0]);
    out
}

fn struct_type(id: TypeId, name: &str, fields: [(&str, TypeId); 2]) -> Vec<u8> {
    let mut out = definition(id, 3, name);
    out.push(1);
    put_count(&mut out, fields.len());
    for (name, id) in fields {
        out.push(1);
        put_bytes(&mut out, name.as_bytes());
        out.push(1);
        put_int(&mut out, id);
        out.push(0);
    }
    out.extend([0, 0]);
    out
}

/// The definition of a type with an encoding of its own.
fn opaque_type(id: TypeId, name: &str) -> Vec<u8> {
    let mut out = definition(id, 5, name);
    out.extend([0, 0]);
    out
}

fn value(groups: &[StockGroup]) -> Vec<u8> {
    let mut out = Vec::new();
    put_int(&mut out, GROUPS);
    // Go expects this before every value that is not a struct.
    out.push(0);
    put_count(&mut out, groups.len());
    for group in groups {
        put_bytes(&mut out, &key(group));
        out.push(1);
        put_count(&mut out, group.labels.len());
        for (name, value) in &group.labels {
            put_bytes(&mut out, name.as_bytes());
            put_bytes(&mut out, value.as_bytes());
        }
        out.push(1);
        put_count(&mut out, group.families.len());
        for family in &group.families {
            put_bytes(&mut out, family.name.as_bytes());
            out.push(1);
            put_bytes(&mut out, &time::encode(family.pushed_at));
            if let Some(message) = &family.message {
                out.push(1);
                put_bytes(&mut out, message);
            }
            out.push(0);
        }
        out.push(0);
    }
    out
}

/// The key by which the stock gateway finds a group. It does not depend on the order of the labels.
fn key(group: &StockGroup) -> Vec<u8> {
    let mut labels: Vec<_> = group.labels.iter().collect();
    labels.sort();
    let words = labels.into_iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    words.collect::<Vec<_>>().join(&SEPARATOR)
}
