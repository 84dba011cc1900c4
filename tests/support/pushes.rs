//! A gateway in this process with odd pushes.

use std::time::Duration;

use tallygate::config::Config;
use tallygate::exposition::negotiation::{Format, Offers};
use tallygate::gateway::{Gateway, Method, PushRequest};
use tallygate::model::grouping::{Grouping, GroupingLabel};

use crate::support::odd::{Odd, OddPush};

/// The settings of a gateway, one bit each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings(pub(crate) u8);

impl Settings {
    pub(crate) const COUNT: u8 = 16;

    fn has(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }

    pub(crate) fn utf8_names(self) -> bool {
        self.has(3)
    }

    pub(crate) fn config(self) -> Config {
        let mut config = Config::default();
        config.aggregation.enabled = self.has(0);
        config.exposition.created_series = self.has(1);
        config.exposition.zero_lead = Duration::from_secs(if self.has(2) { 3600 } else { 0 });
        config.exposition.stock_formats = Some(false);
        config.push.enable_utf8_names = self.utf8_names();
        config
    }
}

/// Sends odd pushes to a new gateway. Returns it with the accepted ones.
pub(crate) fn gateway_with(odd: &mut Odd, settings: Settings) -> (Gateway, Vec<OddPush>) {
    let gateway = Gateway::new(&settings.config()).unwrap();
    let pushes: Vec<OddPush> = (0..1 + odd.below(8)).map(|_| odd.push()).collect();
    let taken = pushes.into_iter().filter(|push| send(&gateway, push, odd.utf8_names)).collect();
    (gateway, taken)
}

/// Sends a push. Returns whether it was accepted.
pub(crate) fn send(gateway: &Gateway, push: &OddPush, utf8_names: bool) -> bool {
    let method = if push.is_put { Method::Put } else { Method::Post };
    let grouping = grouping(push.group, utf8_names);
    gateway.push_blocking(&PushRequest::new(method, &grouping, push.format, &push.body)).is_ok()
}

/// Groups whose labels overlap. With UTF-8 names, two of them become equal if names are escaped.
fn grouping(number: usize, utf8_names: bool) -> Grouping<'static> {
    let sets: [&[(&str, &str)]; 6] = [
        &[("job", "a")],
        &[("job", "b"), ("k", "v")],
        &[("job", "a"), ("k", "v")],
        &[("job", "a"), ("instance", "i")],
        &[("job", "a"), ("a.b", "1")],
        &[("job", "a"), ("a_b", "1")],
    ];
    let label = |&(name, value): &(&'static str, &'static str)| GroupingLabel {
        name: name.into(),
        value: value.into(),
    };
    let number = if utf8_names { number + 2 } else { number };
    Grouping::new(sets[number].iter().map(label).collect())
}

/// The answer to a scrape with this `Accept` header.
pub(crate) fn scraped(gateway: &Gateway, accept: &str) -> Vec<u8> {
    let mut exposition = Vec::new();
    let written = gateway.scrape(Format::negotiate(accept, Offers::All), |chunk| {
        exposition.append(chunk);
        Ok(())
    });
    written.unwrap();
    exposition
}
