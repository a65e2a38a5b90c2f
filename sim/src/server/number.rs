//! Numbers as Redis reads and writes them.

/// Reads an integer as Redis does: no sign `+`, no space, no leading zero, nothing after it.
pub(crate) fn parse_i64(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [] => false,
        [b'0'] => text.len() == 1,
        [first, ..] => *first != b'0',
    };
    if !canonical || text.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The C cast of a double to a 64-bit integer on the machines Redis runs on: toward zero, and the
/// smallest integer for what does not fit. (Rust's `as` saturates instead.)
pub(crate) fn c_cast_i64(n: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&n) {
        n as i64
    } else {
        i64::MIN
    }
}

/// `printf("%.17g")`, which is how Redis 7.0 hands a Lua number to a command.
pub(crate) fn format_g17(n: f64) -> String {
    const DIGITS: i32 = 17;
    if n.is_nan() {
        return if n.is_sign_negative() {
            "-nan".to_owned()
        } else {
            "nan".to_owned()
        };
    }
    if n.is_infinite() {
        return if n > 0.0 {
            "inf".to_owned()
        } else {
            "-inf".to_owned()
        };
    }
    let scientific = format!("{:.*e}", DIGITS as usize - 1, n);
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let Ok(exponent) = exponent.parse::<i32>() else {
        return scientific;
    };
    if (-4..DIGITS).contains(&exponent) {
        let fixed = format!("{:.*}", (DIGITS - 1 - exponent) as usize, n);
        return strip_zeros(&fixed).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", strip_zeros(mantissa), exponent.abs())
}

fn strip_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_integers() {
        for (text, n) in [
            ("0", 0),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), Some(n), "{text}");
        }
        for text in [
            "",
            "-",
            "-0",
            "01",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "0x1",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_cast_goes_toward_zero_and_overflows_to_the_smallest() {
        assert_eq!(c_cast_i64(3.99), 3);
        assert_eq!(c_cast_i64(-3.99), -3);
        assert_eq!(c_cast_i64(9.3e18), i64::MIN);
        assert_eq!(c_cast_i64(f64::NAN), i64::MIN);
        assert_eq!(c_cast_i64(-9.3e18), i64::MIN);
    }

    #[test]
    fn doubles_are_written_as_printf_writes_them() {
        for (n, text) in [
            (0.1, "0.10000000000000001"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (-0.0, "-0"),
            (0.0001, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (3.0, "3"),
            (1e300, "1.0000000000000001e+300"),
        ] {
            assert_eq!(format_g17(n), text);
        }
    }
}
