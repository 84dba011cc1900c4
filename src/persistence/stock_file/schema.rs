//! Finds the parts of a stock gateway's groups in the types of a stream.

use super::Fault;
use super::types::{STRING, TypeId, Types};

/// The fields to read, by their numbers in the structs of this stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    /// The type of the keys of the map of groups. The keys are skipped, because the labels say the same. Before
    /// version 0.10 they were not strings.
    pub(super) key: TypeId,
    /// The type of a group.
    pub(super) group: TypeId,
    /// A group's labels, a map from strings to strings.
    pub(super) labels: usize,
    /// A group's families, a map from strings.
    pub(super) families: usize,
    /// The type of a family.
    pub(super) family: TypeId,
    /// A family's time, in an encoding of its own.
    pub(super) timestamp: usize,
    /// A family's message, in an encoding of its own.
    pub(super) message: usize,
}

impl Schema {
    /// Finds all fields in the type of the stream's value.
    pub(super) fn find(types: &Types<'_>, value: TypeId) -> Result<Schema, Fault> {
        let (key, group) =
            types.map(value).ok_or(Fault::Mismatch { what: "the value", expected: "a map" })?;
        let (labels, labels_type) = field(types, group, "a group", "Labels")?;
        if types.map(labels_type) != Some((STRING, STRING)) {
            return Err(Fault::Mismatch { what: "Labels", expected: "a map from strings to strings" });
        }
        let (families, families_type) = field(types, group, "a group", "Metrics")?;
        let Some((STRING, family)) = types.map(families_type) else {
            return Err(Fault::Mismatch { what: "Metrics", expected: "a map from strings" });
        };
        let (timestamp, timestamp_type) = field(types, family, "a metric family", "Timestamp")?;
        if !types.is_opaque(timestamp_type) {
            return Err(Fault::Mismatch { what: "Timestamp", expected: "a time" });
        }
        let (message, message_type) = field(types, family, "a metric family", "GobbableMetricFamily")?;
        if !types.is_opaque(message_type) {
            return Err(Fault::Mismatch { what: "GobbableMetricFamily", expected: "a protobuf message" });
        }
        Ok(Schema { key, group, labels, families, family, timestamp, message })
    }
}

/// The number and the type of a field of a struct type.
fn field(
    types: &Types<'_>,
    id: TypeId,
    what: &'static str,
    field: &'static str,
) -> Result<(usize, TypeId), Fault> {
    let fields = types.fields(id).ok_or(Fault::Mismatch { what, expected: "a struct" })?;
    let found = fields.iter().enumerate().find(|(_, candidate)| candidate.name == field.as_bytes());
    found.map(|(number, found)| (number, found.id)).ok_or(Fault::MissingField { what, field })
}
