//! Sorts the series of a family for a scrape.

use super::Entry;
use crate::model::labels::{closing_quote, pairs, scrape_order};

/// Sorts `entries` in the order of a scrape. That takes 40 bytes for each entry, however long the blocks are,
/// because no block is copied.
pub fn sorted<'a>(entries: Vec<Entry>, block: impl Fn(Entry) -> &'a str) -> Vec<Entry> {
    let blocks: Vec<&[u8]> = entries.iter().map(|&entry| block(entry).as_bytes()).collect();
    if blocks.iter().any(|block| u32::try_from(block.len()).is_err()) {
        let mut entries = entries;
        entries.sort_unstable_by(|&a, &b| scrape_order(block(a), block(b)));
        return entries;
    }
    // Series with fewer labels come first.
    let mut items: Vec<Item> = (0..)
        .zip(&entries)
        .map(|(at, &entry)| {
            let block = block(entry);
            let cursor = first_value(block.as_bytes(), usize::from(block.starts_with('{')));
            Item { prefix: pairs(block).count() as u64, at, cursor: cursor as u32 }
        })
        .collect();
    items.sort_unstable_by_key(|item| item.prefix);
    for run in items.chunk_by_mut(|a, b| a.prefix == b.prefix) {
        sort(&blocks, run, 0);
    }
    items.iter().map(|item| entries[item.at as usize]).collect()
}

#[derive(Clone, Copy)]
struct Item {
    /// Eight bytes of the key, from where the items of a run begin to differ.
    prefix: u64,
    /// The position of the block.
    at: u32,
    /// How far the block was read: within a value, or at the end of the block after the last one.
    cursor: u32,
}

impl Item {
    fn rest<'a>(&self, blocks: &[&'a [u8]]) -> &'a [u8] {
        &blocks[self.at as usize][self.cursor as usize..]
    }
}

/// Beyond this many levels whole blocks are compared, so that hostile blocks can't exhaust the stack.
const DEEPEST: u32 = 64;

/// A multikey sort. Values share long prefixes, so they are compared eight bytes at a time from where they begin to
/// differ. All items are equal up to their cursors.
fn sort(blocks: &[&[u8]], items: &mut [Item], level: u32) {
    if items.len() < 2 {
        return;
    }
    let block = |item: &Item| blocks[item.at as usize];
    if items.iter().all(|item| item.cursor as usize >= block(item).len()) {
        items.sort_unstable_by(|a, b| block(a).cmp(block(b)));
        return;
    }
    if level > DEEPEST {
        items.sort_unstable_by(|a, b| {
            let [a, b] = [a, b].map(|item| (block(item), item.cursor as usize));
            compare(a, b)
        });
        return;
    }
    let first = items[0].rest(blocks);
    let shared = items[1..].iter().fold(first.len(), |shared, item| {
        let rest = item.rest(blocks);
        common(&first[..shared], rest)
    });
    let shared = whole_bytes(first, shared) as u32;
    for item in items.iter_mut() {
        let mut cursor = (item.cursor + shared) as usize;
        item.prefix = take_prefix(block(item), &mut cursor);
        item.cursor = cursor as u32;
    }
    items.sort_unstable_by_key(|item| item.prefix);
    for run in items.chunk_by_mut(|a, b| a.prefix == b.prefix) {
        sort(blocks, run, level + 1);
    }
}

/// Compares two blocks with the same number of labels from their cursors on.
fn compare((a, mut at_a): (&[u8], usize), (b, mut at_b): (&[u8], usize)) -> std::cmp::Ordering {
    while at_a < a.len() && at_b < b.len() {
        let order = take_prefix(a, &mut at_a).cmp(&take_prefix(b, &mut at_b));
        if order.is_ne() {
            return order;
        }
    }
    a.cmp(b)
}

/// The length of the common prefix in bytes.
fn common(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 16;
    let steps = a.chunks_exact(STEP).zip(b.chunks_exact(STEP)).take_while(|(a, b)| a == b).count() * STEP;
    steps + a[steps..].iter().zip(&b[steps..]).take_while(|(a, b)| a == b).count()
}

/// How many of the first `shared` bytes of the rest of a block are whole bytes of its key. Cuts neither an escape
/// sequence nor the text between two values.
fn whole_bytes(rest: &[u8], shared: usize) -> usize {
    let mut at = 0;
    while at < shared {
        let next = match rest[at] {
            b'"' => next_value(rest, at),
            b'\\' => at + 2,
            _ => at + 1,
        };
        if next > shared || next >= rest.len() {
            break;
        }
        at = next;
    }
    at
}

/// The next eight bytes of the key of a block. Moves `cursor` behind them. The key holds the values without
/// escapes. 00 00 ends a value and 00 01 stands for NUL in it, so that a prefix sorts first. Missing bytes at the
/// end are zero.
fn take_prefix(block: &[u8], cursor: &mut usize) -> u64 {
    let mut prefix = [0u8; 8];
    let mut length = 0;
    while length < 8 && *cursor < block.len() {
        let byte = block[*cursor];
        match byte {
            b'"' | 0 => {
                // Writes both bytes together. One zero may be there already as padding.
                if length == 7 {
                    break;
                }
                prefix[length + 1] = u8::from(byte == 0);
                length += 2;
                *cursor = if byte == 0 { *cursor + 1 } else { next_value(block, *cursor) };
            }
            b'\\' => {
                let escaped = block.get(*cursor + 1).copied().unwrap_or(byte);
                prefix[length] = if escaped == b'n' { b'\n' } else { escaped };
                length += 1;
                *cursor = (*cursor + 2).min(block.len());
            }
            _ => {
                prefix[length] = byte;
                length += 1;
                *cursor += 1;
            }
        }
    }
    u64::from_be_bytes(prefix)
}

/// The start of the value after the one whose closing quote is at `quote`, or the end of the block.
fn next_value(block: &[u8], quote: usize) -> usize {
    if block.get(quote + 1) == Some(&b',') { first_value(block, quote + 2) } else { block.len() }
}

/// The start of the value of the label whose name is at `name`, or the end of the block.
fn first_value(block: &[u8], name: usize) -> usize {
    let rest = block.get(name..).unwrap_or_default();
    let equals = match rest.first() {
        Some(b'"') => closing_quote(&rest[1..]).map(|end| end + 2),
        _ => memchr::memchr(b'=', rest),
    };
    // Skips the opening quote of the value.
    equals.map_or(block.len(), |equals| (name + equals + 2).min(block.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::labels::block_of;
    use proptest::prelude::*;

    fn in_order<'a>(blocks: &[&'a str]) -> Vec<&'a str> {
        let entries = (0..blocks.len() as u32).map(|position| Entry { slot: 0, position }).collect();
        let sorted = sorted(entries, |entry| blocks[entry.position as usize]);
        sorted.iter().map(|entry| blocks[entry.position as usize]).collect()
    }

    proptest! {
        #[test]
        fn series_are_listed_in_the_order_of_a_scrape(
            sets in prop::collection::hash_set(
                prop::collection::btree_map(
                    prop_oneof!["[a-c]", "[a-c\"\\\\=,{}\u{0}]{1,3}"],
                    prop_oneof!["[ab]{0,3}", "a{0,20}[\\\\\"\n\u{0}\u{1}a]{0,9}", "aaaaaaaa[n\\\\\n\u{0}é}]{0,3}", "\\PC{0,3}"],
                    0..5,
                ),
                0..40,
            ),
        ) {
            let block = |set: &std::collections::BTreeMap<String, String>| {
                block_of(set.iter().map(|(name, value)| (&**name, &**value)))
            };
            let blocks: Vec<String> = sets.iter().map(block).collect();
            let blocks: Vec<&str> = blocks.iter().map(|block| &**block).collect();
            let mut expected = blocks.clone();
            expected.sort_by(|a, b| scrape_order(a, b));
            prop_assert_eq!(in_order(&blocks), expected);
        }
    }

    #[test]
    fn hostile_blocks_are_compared_as_a_whole() {
        // Different names keep eight bytes on each level, so the levels run out.
        let block = |name: &str, end: &str| {
            let label = |at: usize| (format!("l{at:03}{name}"), "v".repeat(at % 11));
            let labels: Vec<_> = (0..300).map(label).chain([("z".to_owned(), end.to_owned())]).collect();
            block_of(labels.iter().map(|(name, value)| (&**name, &**value)))
        };
        let blocks = [block("b", "2"), block("a", "2"), block("a", "1"), block("\"", "1"), block("c", "3")];
        let blocks: Vec<&str> = blocks.iter().map(|block| &**block).collect();
        let mut expected = blocks.clone();
        expected.sort_by(|a, b| scrape_order(a, b));
        assert_eq!(in_order(&blocks), expected);
    }
}
