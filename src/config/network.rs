//! Networks in settings.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// For `#[serde(deserialize_with)]`: a list of addresses and networks, or one text with commas, which is all that
/// an environment variable can hold.
pub(super) fn deserialize_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    struct List;

    impl<'de> Visitor<'de> for List {
        type Value = Vec<IpNet>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a list of addresses and networks such as [\"10.0.0.0/8\", \"::1\"]")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(network).collect()
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut networks = Vec::new();
            while let Some(text) = sequence.next_element::<String>()? {
                networks.push(network(&text)?);
            }
            Ok(networks)
        }
    }

    deserializer.deserialize_any(List)
}

fn network<E: Error>(text: &str) -> Result<IpNet, E> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| {
        E::custom(format_args!(
            "{text:?} is no network, expected an address such as \"::1\" or a network such as \"10.0.0.0/8\""
        ))
    })
}
