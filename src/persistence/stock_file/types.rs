//! The types that a gob stream defines. Skips values by their types.

use std::collections::HashMap;

use super::gob::Cursor;
use super::{Fault, StockFileError};

/// The number by which a stream knows a type.
pub(super) type TypeId = i64;

/// The built-in types.
const BOOL: TypeId = 1;
const FLOAT: TypeId = 4;
const BYTES: TypeId = 5;
pub(super) const STRING: TypeId = 6;
const COMPLEX: TypeId = 7;
const INTERFACE: TypeId = 8;

/// The lowest number of a type that a stream defines itself.
pub(super) const FIRST_DEFINED: TypeId = 64;

/// The maximum nesting of skipped values, so that no file can exhaust the stack.
const DEEPEST: u32 = 100;

/// A type that a stream defines.
#[derive(Debug)]
enum Type<'a> {
    /// An array or a slice.
    List {
        element: TypeId,
    },
    Map {
        key: TypeId,
        element: TypeId,
    },
    Struct(Vec<FieldType<'a>>),
    /// A type with an encoding of its own.
    Opaque,
}

#[derive(Debug, Default)]
pub(super) struct FieldType<'a> {
    pub(super) name: &'a [u8],
    pub(super) id: TypeId,
}

/// The types that a stream has defined so far.
#[derive(Debug, Default)]
pub(super) struct Types<'a>(HashMap<TypeId, Type<'a>>);

impl<'a> Types<'a> {
    /// Reads the definition of a type.
    pub(super) fn define(&mut self, cursor: &mut Cursor<'a>, id: TypeId) -> Result<(), StockFileError> {
        let start = *cursor;
        if id < FIRST_DEFINED || self.0.contains_key(&id) {
            return Err(start.error(Fault::TypeNumber { id }));
        }
        let mut defined = None;
        cursor.fields(|cursor, kind| {
            let kind = definition(cursor, kind)?;
            match defined.replace(kind) {
                None => Ok(()),
                Some(_) => Err(start.error(Fault::Definition)),
            }
        })?;
        self.0.insert(id, defined.ok_or_else(|| start.error(Fault::Definition))?);
        Ok(())
    }

    /// The types of the keys and the elements of a map type.
    pub(super) fn map(&self, id: TypeId) -> Option<(TypeId, TypeId)> {
        match self.0.get(&id) {
            Some(&Type::Map { key, element }) => Some((key, element)),
            _ => None,
        }
    }

    /// The fields of a struct type.
    pub(super) fn fields(&self, id: TypeId) -> Option<&[FieldType<'a>]> {
        match self.0.get(&id) {
            Some(Type::Struct(fields)) => Some(fields),
            _ => None,
        }
    }

    pub(super) fn is_opaque(&self, id: TypeId) -> bool {
        matches!(self.0.get(&id), Some(Type::Opaque))
    }

    /// Skips a value of any type.
    pub(super) fn skip(&self, cursor: &mut Cursor<'a>, id: TypeId) -> Result<(), StockFileError> {
        self.skip_nested(cursor, id, 0)
    }

    /// Skips the value of a field of a struct type.
    pub(super) fn skip_field(
        &self,
        cursor: &mut Cursor<'a>,
        id: TypeId,
        number: usize,
    ) -> Result<(), StockFileError> {
        let field = self.fields(id).and_then(|fields| fields.get(number));
        let field = field.ok_or_else(|| cursor.error(Fault::FieldNumber))?;
        self.skip(cursor, field.id)
    }

    fn skip_nested(&self, cursor: &mut Cursor<'a>, id: TypeId, depth: u32) -> Result<(), StockFileError> {
        let start = *cursor;
        if depth > DEEPEST {
            return Err(start.error(Fault::Nesting));
        }
        match id {
            BOOL..=FLOAT => return cursor.uint().map(drop),
            BYTES | STRING => return cursor.bytes().map(drop),
            COMPLEX => return cursor.uint().and_then(|_real| cursor.uint()).map(drop),
            INTERFACE => {
                // A nil has no name. Any other interface value would bring definitions of its own.
                return match cursor.bytes()? {
                    [] => Ok(()),
                    _ => Err(start.error(Fault::Interface)),
                };
            }
            _ => {}
        }
        match self.0.get(&id) {
            None => return Err(start.error(Fault::UndefinedType { id })),
            Some(Type::Opaque) => drop(cursor.bytes()?),
            Some(&Type::List { element }) => {
                for _ in 0..cursor.count()? {
                    self.skip_nested(cursor, element, depth + 1)?;
                }
            }
            Some(&Type::Map { key, element }) => {
                for _ in 0..cursor.count()? {
                    self.skip_nested(cursor, key, depth + 1)?;
                    self.skip_nested(cursor, element, depth + 1)?;
                }
            }
            Some(Type::Struct(fields)) => cursor.fields(|cursor, number| {
                let field = fields.get(number).ok_or_else(|| start.error(Fault::FieldNumber))?;
                self.skip_nested(cursor, field.id, depth + 1)
            })?,
        }
        Ok(())
    }
}

/// Reads the part of a definition for one kind of types. A definition is itself a struct, Go's `wireType`, with one
/// field for each kind.
fn definition<'a>(cursor: &mut Cursor<'a>, kind: usize) -> Result<Type<'a>, StockFileError> {
    let start = *cursor;
    let (mut key, mut element, mut fields) = (0, 0, Vec::new());
    cursor.fields(|cursor, number| {
        // The fields of `arrayType`, `sliceType`, `structType`, `mapType` and `gobEncoderType`. Each begins with
        // the fields that they have in common.
        match (kind, number) {
            (0..=6, 0) => common(cursor),
            (0 | 1, 1) | (3, 2) => cursor.int().map(|id| element = id),
            // The length of an array, which its values repeat.
            (0, 2) => cursor.int().map(drop),
            (2, 1) => struct_fields(cursor).map(|them| fields = them),
            (3, 1) => cursor.int().map(|id| key = id),
            _ => Err(start.error(Fault::Definition)),
        }
    })?;
    Ok(match kind {
        0 | 1 => Type::List { element },
        2 => Type::Struct(fields),
        3 => Type::Map { key, element },
        4..=6 => Type::Opaque,
        _ => return Err(start.error(Fault::Definition)),
    })
}

/// Reads a `CommonType`: the name of the type, and its number again.
fn common(cursor: &mut Cursor<'_>) -> Result<(), StockFileError> {
    cursor.fields(|cursor, number| match number {
        0 => cursor.bytes().map(drop),
        1 => cursor.int().map(drop),
        _ => Err(cursor.error(Fault::Definition)),
    })
}

/// Reads a list of `fieldType`s: names and types.
fn struct_fields<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<FieldType<'a>>, StockFileError> {
    let mut fields = Vec::new();
    for _ in 0..cursor.count()? {
        let mut field = FieldType::default();
        cursor.fields(|cursor, number| match number {
            0 => cursor.bytes().map(|name| field.name = name),
            1 => cursor.int().map(|id| field.id = id),
            _ => Err(cursor.error(Fault::Definition)),
        })?;
        fields.push(field);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(definitions: &[(TypeId, &'static [u8])]) -> Types<'static> {
        let mut types = Types::default();
        for &(id, definition) in definitions {
            types.define(&mut Cursor::new(definition), id).unwrap();
        }
        types
    }

    /// How many bytes skipping a value of this type reads.
    fn skipped(types: &Types<'static>, id: TypeId, bytes: &'static [u8]) -> Result<usize, Fault> {
        let mut cursor = Cursor::new(bytes);
        types.skip(&mut cursor, id).map_err(|error| error.fault)?;
        Ok(cursor.error(Fault::Ended).offset)
    }

    #[test]
    fn values_of_every_kind_are_passed_over() {
        let types = types(&[
            // array of three ints, slice of strings, map from strings to slices of strings
            (64, &[1, 1, 0, 1, 4, 1, 6, 0, 0]),
            (65, &[2, 1, 0, 1, 12, 0, 0]),
            (66, &[4, 1, 1, 1, b'm', 0, 1, 12, 1, 0xff, 130, 0, 0]),
            // struct { A map, B bool }, and the three kinds with an encoding of their own
            (67, &[3, 1, 0, 1, 2, 1, 1, b'A', 1, 0xff, 132, 0, 1, 1, b'B', 1, 2, 0, 0, 0]),
            (68, &[5, 1, 0, 0, 0]),
            (69, &[6, 0, 0]),
            (70, &[7, 0, 0]),
        ]);
        for (id, bytes) in [
            (BOOL, &[1][..]),
            (2, &[0xff, 200]),
            (3, &[0xff, 200]),
            (FLOAT, &[0xfe, 0xf8, 0x3f]),
            (BYTES, &[2, 7, 7]),
            (STRING, &[0]),
            (COMPLEX, &[0, 0xff, 0x40]),
            (INTERFACE, &[0]),
            (64, &[3, 1, 0xff, 200, 2]),
            (65, &[2, 1, b'a', 0]),
            (66, &[1, 1, b'k', 1, 1, b'a']),
            (67, &[1, 1, 1, b'k', 1, 1, b'a', 1, 1, 0]),
            (67, &[2, 1, 0]),
            (67, &[0]),
            (68, &[2, 9, 9]),
            (69, &[2, 9, 9]),
            (70, &[0]),
        ] {
            assert_eq!(skipped(&types, id, bytes), Ok(bytes.len()), "{id} {bytes:?}");
        }
        assert_eq!(skipped(&types, 67, &[3, 1, 0]), Err(Fault::FieldNumber));
        assert_eq!(skipped(&types, INTERFACE, &[1, b'T', 4, 1, 0]), Err(Fault::Interface));
        for id in [-1, 0, 9, 16, 71] {
            assert_eq!(skipped(&types, id, &[0]), Err(Fault::UndefinedType { id }));
        }
    }

    #[test]
    fn a_type_that_holds_itself_ends_with_the_data_or_at_the_limit() {
        // type list []list
        let types = types(&[(64, &[2, 1, 0, 1, 0xff, 128, 0, 0])]);
        assert_eq!(skipped(&types, 64, &[2, 1, 0, 0]), Ok(4));
        assert_eq!(skipped(&types, 64, &[2, 1, 0]), Err(Fault::Ended));
        assert_eq!(skipped(&types, 64, &[1; 1_000_000]), Err(Fault::Nesting));
    }

    #[test]
    fn malformed_definitions_are_refused() {
        for bytes in [
            // no kind, an eighth kind, two kinds
            &[0][..],
            &[8, 0, 0],
            &[5, 0, 1, 0, 0],
            // a third field of what is common, of a field, of a slice
            &[5, 1, 3, 0, 0, 0],
            &[3, 2, 1, 3, 0, 0, 0],
            &[2, 3, 0, 0, 0],
        ] {
            let fault = Types::default().define(&mut Cursor::new(bytes), 64).unwrap_err().fault;
            assert_eq!(fault, Fault::Definition, "{bytes:?}");
        }
        let opaque = &[5, 0, 0];
        for id in [i64::MIN, -1, 0, 63, 64] {
            let fault = types(&[(64, opaque)]).define(&mut Cursor::new(opaque), id).unwrap_err().fault;
            assert_eq!(fault, Fault::TypeNumber { id });
        }
    }
}
