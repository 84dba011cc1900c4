//! Checks the manual: links lead to existing targets, code blocks are valid or work, and the tables match the
//! program.
//!
//! How a block of code is checked depends on what stands behind its fence:
//!
//! | mark | check |
//! |---|---|
//! | `toml` | the gateway accepts it as its configuration |
//! | `yaml` | if it is a web configuration, the gateway accepts it; if it is for Prometheus, promtool does |
//! | `sh` | it is valid shell |
//! | `sh run` | it succeeds, with a real gateway in the place of `http://localhost:9091` |
//! | `text output` | it is what the `sh run` before it prints |
//! | `python` | it is valid Python |

mod blocks;
mod commands;
mod links;
mod markdown;
mod tables;
