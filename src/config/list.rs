//! Lists in settings.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Reads a list and each of its items with `item`. Also accepts one text with commas, because an
/// environment variable can't hold a list. Errors say that `what` was expected.
pub(super) fn deserialize<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    what: &'static str,
    item: fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(List { what, item })
}

struct List<T> {
    what: &'static str,
    item: fn(&str) -> Result<T, String>,
}

impl<'de, T> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        texts.map(|text| (self.item)(text).map_err(E::custom)).collect()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(text) = sequence.next_element::<String>()? {
            items.push((self.item)(&text).map_err(A::Error::custom)?);
        }
        Ok(items)
    }
}
