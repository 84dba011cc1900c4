//! Networks in settings.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Deserializer;

use super::list;
use crate::message::Excerpt;

/// For `#[serde(deserialize_with)]`: a list of addresses and networks.
pub(super) fn deserialize_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    const WHAT: &str = "a list of addresses and networks such as [\"10.0.0.0/8\", \"::1\"]";
    list::deserialize(deserializer, WHAT, network)
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| {
        format!(
            "{:?} is no network, expected an address such as \"::1\" or a network such as \"10.0.0.0/8\"",
            Excerpt::of(text)
        )
    })
}
