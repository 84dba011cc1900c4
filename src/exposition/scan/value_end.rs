//! Finds the end of a label value.

/// The number of eight-byte words of a label value that are checked one by one. For a short value that is faster
/// than a search function, which takes time to set up.
const SHORT_VALUE_WORDS: usize = 4;

/// The offset of the first quote, backslash or line feed.
#[inline]
pub(super) fn find_value_end(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // The lowest set bit marks the first byte that equals the needle. Bits above it may be set for other bytes.
    let equals = |word: u64, needle: u8| {
        let difference = word ^ (LOW * u64::from(needle));
        difference.wrapping_sub(LOW) & !difference & HIGH
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        if at == SHORT_VALUE_WORDS {
            let read = SHORT_VALUE_WORDS * 8;
            return memchr::memchr3(b'"', b'\\', b'\n', &bytes[read..]).map(|found| read + found);
        }
        let word = u64::from_le_bytes(*word);
        let found = equals(word, b'"') | equals(word, b'\\') | equals(word, b'\n');
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n'))?;
    Some(words.len() * 8 + at)
}
