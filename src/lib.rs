//! Tallygate: a Prometheus Pushgateway that adds.
//!
//! # Layout
//!
//! In reading order; each module may use only what stands above it, [`config`] is plain data that is
//! handed down.
//!
//! * [`message`]: texts of others in messages, cut and escaped.
//! * [`progress`]: how far something is that takes long.
//! * [`config`]: the settings, from flags, environment and file.
//! * [`model`]: what a metric is, and how values add up.
//! * [`exposition`]: the formats, in and out.
//! * [`store`]: the groups and what they hold, as versions; drafts, differences and snapshots of them.
//! * [`persistence`]: the engines that keep the state, and how it comes back.
//! * [`telemetry`]: the gateway's own metrics.
//! * [`gateway`]: push in, answer out; the scrape.
//! * [`http`]: routes, bodies, sockets.
//! * [`logging`]: log lines in the stock gateway's form.
//! * [`cli`]: the commands, which are clients of a gateway.
//!
//! # Invariants
//!
//! * [`model`] and [`exposition`] never block and do no I/O.
//! * A guard of the group map lives in `store/groups.rs` only, and no other is held beside it.
//! * Only [`gateway`] changes the store (an engine fills it at the start), and only [`http`] knows actix. Everything else is plain
//!   synchronous Rust, usable without a server.
//! * A published version never changes while anybody else holds it; what is to be committed is the difference of two.
//! * A push is applied whole or not at all; a refused one changes nothing but the time of the
//!   group's last failure.
//! * No push can make a scrape fail or invalid.

pub mod cli;
pub mod config;
pub mod exposition;
pub mod gateway;
pub mod http;
pub mod logging;
pub mod message;
pub mod model;
pub mod persistence;
pub mod progress;
pub mod store;
pub mod telemetry;
