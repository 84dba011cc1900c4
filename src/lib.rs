//! Tallygate: a Prometheus Pushgateway that adds.
//!
//! # Layout
//!
//! Modules are listed in reading order. Each may use only the modules above it. [`config`] is plain
//! data that the others receive.
//!
//! * [`message`]: quotes foreign text in messages, shortened and escaped.
//! * [`progress`]: shows how far a long operation is.
//! * [`config`]: the settings, from flags, environment and file.
//! * [`model`]: what a metric is, and how values add up.
//! * [`exposition`]: parses and writes the formats.
//! * [`rules`]: which group a push belongs to, and how its values are merged.
//! * [`store`]: the groups and their metrics as versions, with drafts, differences and snapshots.
//! * [`persistence`]: the engines that keep the state and load it again.
//! * [`telemetry`]: the gateway's own metrics.
//! * [`gateway`]: applies pushes and answers scrapes.
//! * [`http`]: routes, request bodies, sockets.
//! * [`logging`]: log lines in the stock gateway's form.
//! * [`cli`]: the commands, which are clients of a gateway.
//!
//! # Invariants
//!
//! * [`model`], [`exposition`] and [`rules`] never block and do no I/O.
//! * Only `store/groups.rs` holds guards of the group map, and never two at once.
//! * Only [`gateway`] changes the store (an engine fills it at start), and only [`http`] knows actix. Everything
//!   else is plain synchronous Rust, usable without a server.
//! * A published version never changes while anybody else holds it. A commit writes the difference of two versions.
//! * A push is applied whole or not at all. A refused push changes only the time of the group's last failure.
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
pub mod rules;
pub mod store;
pub mod telemetry;
