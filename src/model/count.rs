//! Populations of buckets: whole numbers until a fraction arrives.

/// A number of observations. Stays an exact integer for as long as only integers are added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// A whole number.
    Int(u64),
    /// A number with a fraction, or one beyond `u64`.
    Float(f64),
}

impl Count {
    /// Nothing observed.
    pub const ZERO: Count = Count::Int(0);

    /// A count from a sample value: an integer where the value is one.
    pub fn from_f64(value: f64) -> Count {
        // The cast saturates: beyond u64, below zero and with a fraction the way back gives another
        // number. 2^64 is what the largest u64 becomes on that way, and no integer of its own.
        let whole = value as u64;
        if whole as f64 == value && whole != u64::MAX { Count::Int(whole) } else { Count::Float(value) }
    }

    /// The count as the formats with one number type show it.
    pub fn as_f64(self) -> f64 {
        match self {
            Count::Int(n) => n as f64,
            Count::Float(x) => x,
        }
    }

    /// Whether the count is no integer.
    pub fn is_float(self) -> bool {
        matches!(self, Count::Float(_))
    }

    /// The sum of both; beyond `u64` it goes on as a float.
    pub fn plus(self, other: Count) -> Count {
        match (self, other) {
            (Count::Int(a), Count::Int(b)) => match a.checked_add(b) {
                Some(sum) => Count::Int(sum),
                None => Count::Float(a as f64 + b as f64),
            },
            (a, b) => Count::Float(a.as_f64() + b.as_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stay_integers() {
        assert_eq!(Count::from_f64(3.0).plus(Count::Int(4)), Count::Int(7));
        assert_eq!(Count::from_f64(1.5).plus(Count::Int(4)), Count::Float(5.5));
        assert_eq!(Count::from_f64(-1.0), Count::Float(-1.0));
        assert!(Count::from_f64(f64::NAN).is_float() && Count::from_f64(1.8446744073709552e19).is_float());
    }

    #[test]
    fn beyond_u64_goes_on_as_float() {
        assert_eq!(Count::Int(u64::MAX).plus(Count::Int(1)), Count::Float(18_446_744_073_709_551_616.0));
        assert_eq!(Count::Int(1 << 63).plus(Count::Int(5)), Count::Int((1 << 63) + 5));
    }
}
