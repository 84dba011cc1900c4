//! Times in the format of Go's `time.Time.MarshalBinary`: a version, seconds since the year 1, nanoseconds, and the
//! time zone, which is ignored.

use super::Fault;

/// The Unix epoch, in seconds since the year 1.
const UNIX_EPOCH: i64 = 62_135_596_800;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The value that Go writes for UTC instead of a number of minutes.
const UTC: i16 = -1;

/// A time in nanoseconds since the Unix epoch, limited to the range of `i64`. 0 for Go's zero time.
pub(super) fn decode(bytes: &[u8]) -> Result<i64, Fault> {
    let (&version, rest) = bytes.split_first().ok_or(Fault::Time)?;
    let (seconds, rest) = rest.split_first_chunk().ok_or(Fault::Time)?;
    let (nanos, zone) = rest.split_first_chunk().ok_or(Fault::Time)?;
    let (seconds, nanos) = (i64::from_be_bytes(*seconds), i32::from_be_bytes(*nanos));
    // Version 2 has the seconds of the zone too.
    let is_known = matches!((version, zone.len()), (1, 2) | (2, 3));
    if !is_known || !(0..NANOS_PER_SECOND).contains(&nanos.into()) {
        return Err(Fault::Time);
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(0);
    }
    let since_epoch = i128::from(seconds) - i128::from(UNIX_EPOCH);
    let nanos = since_epoch * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
    Ok(nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// The reverse of [`decode`], in UTC.
pub(super) fn encode(nanos: i64) -> [u8; 15] {
    let (seconds, nanos) = match nanos {
        0 => (0, 0),
        _ => (nanos.div_euclid(NANOS_PER_SECOND) + UNIX_EPOCH, nanos.rem_euclid(NANOS_PER_SECOND) as i32),
    };
    let mut out = [0; 15];
    let fields = [&[1][..], &seconds.to_be_bytes(), &nanos.to_be_bytes(), &UTC.to_be_bytes()];
    for (to, &from) in out.iter_mut().zip(fields.into_iter().flatten()) {
        *to = from;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(seconds: i64, nanos: i32) -> Vec<u8> {
        [&[1][..], &seconds.to_be_bytes(), &nanos.to_be_bytes(), &[0, 0]].concat()
    }

    #[test]
    fn times_as_go_writes_them() {
        let version_1 = [1, 0, 0, 0, 14, 0xe2, 0x94, 0x8e, 0x68, 0x16, 0x98, 0x6c, 0xb2];
        for zone in [[0, 0], [0xff, 0xff], [0xfe, 0xd4]] {
            let bytes = [&version_1[..], &zone].concat();
            assert_eq!(decode(&bytes), Ok(1_795_331_944_379_088_050));
        }
        let mut version_2 = version_1.to_vec();
        version_2[0] = 2;
        version_2.extend([0, 53, 28]);
        assert_eq!(decode(&version_2), Ok(1_795_331_944_379_088_050));
        let expected: Vec<u8> = version_1.into_iter().chain([0xff, 0xff]).collect();
        assert_eq!(encode(1_795_331_944_379_088_050), expected[..]);
    }

    #[test]
    fn times_without_meaning_and_out_of_range() {
        assert_eq!(decode(&time(0, 0)), Ok(0));
        assert_eq!(encode(0)[..13], time(0, 0)[..13]);
        assert_eq!(decode(&time(0, 1)), Ok(i64::MIN));
        assert_eq!(decode(&time(i64::MIN, 0)), Ok(i64::MIN));
        assert_eq!(decode(&time(i64::MAX, 999_999_999)), Ok(i64::MAX));
        assert_eq!(decode(&time(UNIX_EPOCH - 1, 999_999_999)), Ok(-1));
    }

    #[test]
    fn other_forms_are_refused() {
        let good = time(UNIX_EPOCH, 0);
        assert_eq!(decode(&good), Ok(0));
        let with = |at: usize, byte| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let longer = [&good[..], &[0]].concat();
        let more_than_a_second = time(UNIX_EPOCH, 1_000_000_000);
        for bytes in [with(0, 0), with(0, 2), with(0, 3), with(9, 0x80), longer, more_than_a_second] {
            assert_eq!(decode(&bytes), Err(Fault::Time), "{bytes:?}");
        }
        for end in 0..good.len() {
            assert_eq!(decode(&good[..end]), Err(Fault::Time));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos: i64) {
            prop_assert_eq!(decode(&encode(nanos)), Ok(nanos));
        }
    }
}
