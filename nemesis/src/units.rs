//! Quantities as people write them in schedules and in `--faults`.

/// A day: longer than any run, and far from where sums of times overflow.
const TIME_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// `"5s"`, `"500ms"`, `"1.5s"`, `"2m"` in milliseconds.
pub(crate) fn parse_millis(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 3] = [("ms", 1), ("s", 1_000), ("m", 60_000)];
    let wrong = || format!("{text:?} is no time; write \"500ms\", \"1.5s\", \"2m\" or a number of milliseconds");
    match scaled(text, &UNITS) {
        Ok(millis) => bounded_millis(millis),
        Err(Unscaled::Malformed) => Err(wrong()),
        Err(Unscaled::TooFine) => Err(format!("{text:?} is finer than a millisecond")),
    }
}

pub(crate) fn bounded_millis(millis: u64) -> Result<u64, String> {
    if millis > TIME_MAX_MS { Err("no time in a schedule is longer than a day".to_owned()) } else { Ok(millis) }
}

/// The shortest text that reads the same.
pub(crate) fn millis_text(millis: u64) -> String {
    if millis.is_multiple_of(1_000) { format!("{}s", millis / 1_000) } else { format!("{millis}ms") }
}

/// `"30%"`, `"0.5%"` in parts per million.
pub(crate) fn parse_share_ppm(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no share; write \"30%\" or \"0.5%\", more than 0 and at most 100");
    match scaled(text, &[("%", 10_000)]) {
        Ok(ppm @ 1..=1_000_000) => u32::try_from(ppm).map_err(|_| wrong()),
        Err(Unscaled::TooFine) => Err(format!("{text:?} is finer than a millionth")),
        _ => Err(wrong()),
    }
}

pub(crate) fn share_text(ppm: u32) -> String {
    let (whole, fraction) = (ppm / 10_000, ppm % 10_000);
    if fraction == 0 {
        format!("{whole}%")
    } else {
        format!("{whole}.{}%", format!("{fraction:04}").trim_end_matches('0'))
    }
}

/// `"10Mbit"`, `"256kbit"` in bits a second.
pub(crate) fn parse_bits_per_s(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no rate; write \"10Mbit\" or \"256kbit\" (a second)");
    scaled(text, &RATES).map_err(|_| wrong())
}

/// The shortest text that reads the same.
pub(crate) fn bits_per_s_text(bits_per_s: u64) -> String {
    let (name, unit) = RATES.iter().rev().find(|(_, unit)| bits_per_s.is_multiple_of(*unit)).unwrap_or(&RATES[0]);
    format!("{}{name}", bits_per_s / unit)
}

const RATES: [(&str, u64); 4] = [("bit", 1), ("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];

/// `"0KiB"`, `"64KiB"`, `"1.5MiB"` in KiB.
pub(crate) fn parse_kib(text: &str) -> Result<u64, String> {
    match scaled(text, &[("KiB", 1), ("MiB", 1024), ("GiB", 1024 * 1024)]) {
        Ok(kib) => Ok(kib),
        Err(Unscaled::Malformed) => Err(format!("{text:?} is no size; write \"64KiB\", \"1MiB\" or \"0KiB\"")),
        Err(Unscaled::TooFine) => Err(format!("{text:?} is finer than a KiB")),
    }
}

pub(crate) fn kib_text(kib: u64) -> String {
    if kib > 0 && kib.is_multiple_of(1024) { format!("{}MiB", kib / 1024) } else { format!("{kib}KiB") }
}

/// Why a quantity is none.
pub(crate) enum Unscaled {
    /// No number with one of the units.
    Malformed,
    /// Not a whole number of the smallest.
    TooFine,
}

/// A decimal number with one of these units. In whole numbers, because 0.1 has no exact fraction and 1.1s must be
/// 1100 ms.
pub(crate) fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, Unscaled> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ' ');
    let (number, unit) = text.split_at(unit_at.ok_or(Unscaled::Malformed)?);
    let unit = units.iter().find(|(name, _)| *name == unit).ok_or(Unscaled::Malformed)?.1;
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), "0"));
    let digits = |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(Unscaled::Malformed);
    }
    let scale = 10_u64.pow(fraction.len() as u32);
    let parse = |part: &str| part.parse::<u64>().map_err(|_| Unscaled::Malformed);
    let (whole, fraction) = (parse(whole)?, parse(fraction)?);
    let (over, whole) = (fraction.checked_mul(unit), whole.checked_mul(unit));
    let (Some(over), Some(whole)) = (over, whole) else { return Err(Unscaled::Malformed) };
    if over % scale != 0 {
        return Err(Unscaled::TooFine);
    }
    whole.checked_add(over / scale).ok_or(Unscaled::Malformed)
}

/// The quantity at `number` of `last` equal steps between two that have the same unit: `"100ms"`, `"500ms"`.
pub(crate) fn between(from: &str, to: &str, number: u64, last: u64) -> Result<String, String> {
    let split = |text: &str| {
        let unit_at =
            text.find(|letter: char| !letter.is_ascii_digit() && !".+-".contains(letter)).unwrap_or(text.len());
        let (value, unit) = text.split_at(unit_at);
        value.parse::<f64>().ok().map(|value| (value, unit.to_owned()))
    };
    let no_ramp = || format!("there is no way from {from:?} to {to:?} in steps: write both in one unit");
    let ((begin, unit), (end, other)) = split(from).zip(split(to)).ok_or_else(no_ramp)?;
    if unit != other {
        return Err(no_ramp());
    }
    let value = begin + (end - begin) * number as f64 / last as f64;
    // As fine as the finest unit that anything is read in: a hundredth. Longer fractions would be refused as too fine.
    let text = format!("{value:.2}");
    let sign = if from.starts_with('+') && value >= 0.0 { "+" } else { "" };
    Ok(format!("{sign}{}{unit}", text.trim_end_matches('0').trim_end_matches('.')))
}

/// `"+1h"`, `"-250ms"`, `"2y"` in milliseconds; a year has 365 days.
pub(crate) fn parse_offset_ms(text: &str) -> Result<i64, String> {
    match signed(text, &OFFSET_UNITS) {
        Ok(millis) => Ok(millis),
        Err(Unscaled::TooFine) => Err(format!("{text:?} is finer than a millisecond")),
        Err(Unscaled::Malformed) => {
            Err(format!("{text:?} is no offset; write \"+1h\", \"-250ms\", in ms, s, m, h, d or y"))
        }
    }
}

const OFFSET_UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000), ("y", 365 * 24 * 3_600_000)];

/// With its sign, in the largest unit of which it is a whole number.
pub(crate) fn offset_text(offset_ms: i64) -> String {
    signed_text(offset_ms, &OFFSET_UNITS)
}

/// `"+5%"`, `"-200ppm"` in parts per million.
pub(crate) fn parse_rate_ppm(text: &str) -> Result<i64, String> {
    match signed(text, &RATE_UNITS) {
        Ok(ppm) => Ok(ppm),
        Err(Unscaled::TooFine) => Err(format!("{text:?} is finer than a millionth")),
        Err(Unscaled::Malformed) => Err(format!("{text:?} is no rate; write \"+5%\" or \"-200ppm\"")),
    }
}

const RATE_UNITS: [(&str, u64); 2] = [("ppm", 1), ("%", 10_000)];

/// With its sign, in the largest unit of which it is a whole number.
pub(crate) fn rate_text(rate_ppm: i64) -> String {
    signed_text(rate_ppm, &RATE_UNITS)
}

fn signed(text: &str, units: &[(&str, u64)]) -> Result<i64, Unscaled> {
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let size = i64::try_from(scaled(size, units)?).map_err(|_| Unscaled::Malformed)?;
    Ok(if negative { -size } else { size })
}

fn signed_text(number: i64, units: &[(&str, u64)]) -> String {
    let (sign, size) = (if number < 0 { '-' } else { '+' }, number.unsigned_abs());
    let whole = units.iter().rev().find(|(_, scale)| size.is_multiple_of(*scale));
    let (unit, scale) = whole.copied().unwrap_or(units[0]);
    format!("{sign}{}{unit}", size / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_they_are_written() {
        for (text, ppm) in [("30%", 300_000), ("0.5%", 5_000), ("100%", 1_000_000), ("0.0001%", 1), ("12.25%", 122_500)]
        {
            assert_eq!(parse_share_ppm(text), Ok(ppm));
            assert_eq!(share_text(ppm), text);
        }
        for wrong in ["", "30", "%", "0%", "101%", "-1%", "1e1%", "1.%", "0.00001%", "99999999999999%"] {
            assert!(parse_share_ppm(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_ramp_goes_from_one_end_to_the_other() {
        let steps = |from, to| (0..=2).map(|number| between(from, to, number, 2)).collect::<Result<Vec<_>, _>>();
        assert_eq!(steps("100ms", "500ms").unwrap(), ["100ms", "300ms", "500ms"]);
        assert_eq!(steps("4s", "1s").unwrap(), ["4s", "2.5s", "1s"]);
        assert_eq!(steps("+1h", "-1h").unwrap(), ["+1h", "+0h", "-1h"]);
        assert_eq!(steps("1%", "10%").unwrap(), ["1%", "5.5%", "10%"]);
        assert!(steps("100ms", "1s").is_err() && steps("", "1s").is_err());
    }

    #[test]
    fn rates_read_as_they_are_written() {
        for (text, bits_per_s) in
            [("10Mbit", 10_000_000), ("256kbit", 256_000), ("1Gbit", 1_000_000_000), ("1234bit", 1_234)]
        {
            assert_eq!(parse_bits_per_s(text), Ok(bits_per_s));
            assert_eq!(bits_per_s_text(bits_per_s), text);
        }
        assert_eq!(parse_bits_per_s("1.5Mbit"), Ok(1_500_000));
        for wrong in ["", "10", "Mbit", "10mbit", "10MB", "0.5bit", "-1bit"] {
            assert!(parse_bits_per_s(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn signed_quantities_read_as_they_are_written() {
        for (text, millis) in [
            ("+1h", 3_600_000),
            ("-250ms", -250),
            ("-40y", -40 * 365 * 24 * 3_600_000),
            ("+90s", 90_000),
            ("+3d", 3 * 24 * 3_600_000),
        ] {
            assert_eq!(parse_offset_ms(text), Ok(millis));
            assert_eq!(offset_text(millis), text);
        }
        assert_eq!(parse_offset_ms("1.5s"), Ok(1_500));
        for (text, ppm) in [("+5%", 50_000), ("-200ppm", -200), ("+12ppm", 12)] {
            assert_eq!(parse_rate_ppm(text), Ok(ppm));
            assert_eq!(rate_text(ppm), text);
        }
        assert_eq!(parse_rate_ppm("-0.05%"), Ok(-500));
        for wrong in ["", "+", "--1s", "+-1s", "1", "s", "1 fortnight", "0.0001s", "999999999999y"] {
            assert!(parse_offset_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_read_as_they_are_written() {
        for (text, kib) in [("0KiB", 0), ("64KiB", 64), ("1MiB", 1024), ("1025KiB", 1025)] {
            assert_eq!((parse_kib(text), kib_text(kib).as_str()), (Ok(kib), text));
        }
        assert_eq!(parse_kib("0.5MiB"), Ok(512));
        for wrong in ["", "0", "1MB", "-1KiB", "0.5KiB", "99999999999GiB"] {
            assert!(parse_kib(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_exact() {
        for (text, millis) in
            [("1.1s", 1_100), ("500ms", 500), ("2m", 120_000), ("0.5m", 30_000), ("1440m", TIME_MAX_MS)]
        {
            assert_eq!(parse_millis(text), Ok(millis), "{text}");
        }
        for wrong in ["", "5", "s", "1..5s", "5x", "1441m", "1.0001s", "999999999999s"] {
            assert!(parse_millis(wrong).is_err(), "{wrong}");
        }
        assert_eq!((millis_text(1_500), millis_text(2_000)), ("1500ms".to_owned(), "2s".to_owned()));
    }
}
