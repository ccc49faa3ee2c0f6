//! Numbers as clients write them: a whole number may come as `4096.0` or `1e3` from languages without
//! integers.

/// A JSON number by its value, however it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum JsonNumber {
    /// A whole number, such as `4096`, `4096.0` and `4.096e3`.
    Whole(i128),
    /// A number with a fraction.
    Fraction(f64),
    /// A number beyond those that engines know.
    Beyond,
}

// === impl JsonNumber ===

impl JsonNumber {
    /// Reads a number from valid JSON; `None` for a value of another type.
    pub(crate) fn of(raw: &str) -> Option<Self> {
        if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return None;
        }
        if is_plain(raw) {
            return Some(raw.parse().map_or(Self::Beyond, Self::Whole));
        }
        let float: f64 = raw.parse().ok()?;
        Some(if !float.is_finite() {
            Self::Beyond
        } else if float.fract() == 0.0 {
            let digits = format!("{float:.0}");
            digits.parse().map_or(Self::Beyond, Self::Whole)
        } else {
            Self::Fraction(float)
        })
    }
}

/// Reports whether a number is written with digits alone, without a fraction or an exponent.
pub(crate) fn is_plain(raw: &str) -> bool {
    !raw.contains(['.', 'e', 'E'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_whole_however_they_are_written() {
        let wide = 18_446_744_073_709_551_616;
        for (raw, number) in [
            ("4096", Some(JsonNumber::Whole(4096))),
            ("4096.0", Some(JsonNumber::Whole(4096))),
            ("4.096e3", Some(JsonNumber::Whole(4096))),
            ("1E+3", Some(JsonNumber::Whole(1000))),
            ("-1", Some(JsonNumber::Whole(-1))),
            ("-1.000", Some(JsonNumber::Whole(-1))),
            ("-0", Some(JsonNumber::Whole(0))),
            ("-0.0", Some(JsonNumber::Whole(0))),
            ("0e5", Some(JsonNumber::Whole(0))),
            ("18446744073709551616", Some(JsonNumber::Whole(wide))),
            ("1.5", Some(JsonNumber::Fraction(1.5))),
            ("1e-3", Some(JsonNumber::Fraction(0.001))),
            ("1e39", Some(JsonNumber::Beyond)),
            ("1e400", Some(JsonNumber::Beyond)),
            ("-1e400", Some(JsonNumber::Beyond)),
            ("\"4096\"", None),
            ("[1]", None),
            ("{}", None),
            ("true", None),
            ("null", None),
        ] {
            assert_eq!(JsonNumber::of(raw), number, "{raw}");
        }
        let long = "9".repeat(400);
        assert_eq!(JsonNumber::of(&long), Some(JsonNumber::Beyond));
    }
}
