//! Files of a stock gateway: the gateway takes over what it can read, can write it again, and its
//! scrapes stay valid.

use tallygate::config::{Config, Sync};
use tallygate::gateway::Gateway;
use tallygate::persistence::stock_file::{looks_like, read, write};

use super::exposition::shown;
use super::memory::Memory;

/// The input is a file, and a byte that chooses whether pushes add.
pub fn stock_file(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_last() else { return };
    match read(bytes) {
        Ok(file) => {
            assert!(looks_like(bytes));
            let written = read(&write(&file.groups)).unwrap();
            assert_eq!(written.groups, file.groups);
            assert_eq!(written.skipped, []);
        }
        Err(error) => {
            assert!(error.offset <= bytes.len() && !error.to_string().contains('\n'), "{error}");
            return;
        }
    }
    let mut config = Config::default();
    config.aggregation.enabled = choice % 2 == 0;
    config.persistence.file = "memory".to_owned();
    config.persistence.sync = Sync::Interval;
    let gateway = Gateway::with_disk(&config, Box::new(Memory::with_file(bytes))).unwrap();
    shown(&gateway);
    assert!(gateway.close());
}
