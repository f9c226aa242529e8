//! Times as log lines write them, as Unix nanoseconds.

use crate::logs::json::{Json, Object};
use crate::otlp::limits::MAX_TIME_NS;

/// Smallest number taken for a time in each unit, with that unit's nanoseconds.
const UNITS: [(i128, i128); 4] = [
    (100_000_000_000_000_000, 1),
    (100_000_000_000_000, 1_000),
    (100_000_000_000, 1_000_000),
    (100_000_000, 1_000_000_000),
];
const MAX_DIGITS: usize = 19;

/// Unix ns of a JSON value; None if it is no time between 1973 (ISO: 1970) and 2262.
pub fn parse_time(value: &Json<'_>) -> Option<u64> {
    match value {
        Json::Int(int) => from_int(i128::from(*int)),
        Json::Double(double) => from_double(*double),
        Json::Text(text) => from_text(text),
        Json::Object(object) => from_object(object),
        _ => None,
    }
}

/// Members of an object that is a time, and whether a small number of seconds is one too: log4j2; protobuf's Timestamp, as
/// Google's loggers write it; ROS and C.
const PAIRS: [(&str, &str, bool); 3] =
    [("epochSecond", "nanoOfSecond", true), ("seconds", "nanos", false), ("sec", "nsec", false)];

/// An object that has nothing but seconds and nanoseconds, or MongoDB's `$date`.
fn from_object(object: &Object<'_>) -> Option<u64> {
    let member = |name: &str| object.members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    match object.members.len() {
        1 => from_mongo(member("$date")?),
        2 => PAIRS.iter().find_map(|&(seconds, rest, any_seconds)| {
            seconds_and_nanoseconds(member(seconds)?, member(rest)?, any_seconds)
        }),
        _ => None,
    }
}

/// Extended JSON: ISO 8601, or milliseconds (of which the canonical form makes an object with a text).
fn from_mongo(date: &Json<'_>) -> Option<u64> {
    let milliseconds = match date {
        Json::Int(int) => i128::from(*int),
        Json::Text(text) => return from_iso(text.as_bytes()),
        Json::Object(object) => match &object.members[..] {
            [(key, Json::Text(text))] if key == "$numberLong" => digits(text)?,
            _ => return None,
        },
        _ => return None,
    };
    in_range(milliseconds * 1_000_000)
}

/// Whole seconds, as a number or a text, and the nanoseconds beside them. `any_seconds`: few seconds are a time too.
pub fn seconds_and_nanoseconds(seconds: &Json<'_>, rest: &Json<'_>, any_seconds: bool) -> Option<u64> {
    let (seconds, rest) = match (seconds, rest) {
        (Json::Int(seconds), Json::Int(rest)) => (i128::from(*seconds), i128::from(*rest)),
        (Json::Text(seconds), Json::Int(rest)) => (digits(seconds)?, i128::from(*rest)),
        _ => return None,
    };
    let is_time = (0..1_000_000_000).contains(&rest) && (any_seconds || seconds >= UNITS[3].0);
    is_time.then(|| in_range(seconds * 1_000_000_000 + rest))?
}

/// The number of a text of decimal digits.
fn digits(text: &str) -> Option<i128> {
    let fits = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

fn from_text(text: &str) -> Option<u64> {
    let text = text.trim_matches(' ');
    let bytes = text.as_bytes();
    let whole = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if (1..=MAX_DIGITS).contains(&whole) {
        match &bytes[whole..] {
            [] => return from_int(text.parse().ok()?),
            [b'.', fraction @ ..] if !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit) => {
                return from_double(text.parse().ok()?);
            }
            _ => {}
        }
    }
    from_iso(bytes).or_else(|| {
        let inner = bytes.strip_prefix(b"[").and_then(|bytes| bytes.strip_suffix(b"]"));
        from_named_month(inner.unwrap_or(bytes))
    })
}

fn from_int(value: i128) -> Option<u64> {
    let (_, unit) = UNITS.iter().find(|(smallest, _)| value >= *smallest)?;
    in_range(value * unit)
}

/// Rounded to microseconds, half to even: a double holds no more in our time.
fn from_double(value: f64) -> Option<u64> {
    let (_, unit) = UNITS.iter().find(|(smallest, _)| value >= *smallest as f64)?;
    if *unit == 1 {
        return in_range(value as i128);
    }
    let microseconds = (value * (*unit as f64 / 1000.0)).round_ties_even();
    in_range(microseconds as i128 * 1000)
}

fn in_range(nanoseconds: i128) -> Option<u64> {
    u64::try_from(nanoseconds).ok().filter(|&time| time != 0 && time <= MAX_TIME_NS)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        number.iter().try_fold(0, |value, &digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    }

    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        allowed.contains(&byte).then(|| {
            self.rest = rest;
            byte
        })
    }

    fn blanks(&mut self) {
        while self.one_of(b" ").is_some() {}
    }

    /// Three letters with a comma or not, and blanks; nothing where a digit comes first.
    fn week_day(&mut self) -> Option<()> {
        if self.rest.first()?.is_ascii_digit() {
            return Some(());
        }
        let (name, rest) = self.rest.split_first_chunk::<3>()?;
        self.rest = rest;
        let _ = self.one_of(b",");
        self.one_of(b" ")?;
        self.blanks();
        name.iter().all(u8::is_ascii_alphabetic).then_some(())
    }

    /// The separator that stood before, or nothing where there was none.
    fn same(&mut self, separator: Option<u8>) -> Option<()> {
        match separator {
            Some(byte) => self.one_of(&[byte]).map(|_| ()),
            None => Some(()),
        }
    }

    /// Nanoseconds of a fraction's digits, of which there is at least one; those past the ninth are dropped.
    fn fraction(&mut self) -> Option<i64> {
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        let kept = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
        (length > 0).then(|| kept.fold(0, |value, &digit| value * 10 + i64::from(digit - b'0')))
    }
}

/// `2026-11-21T10:00:00.123+01:00`; also `20261121T100000Z`, with `/`, a blank for the T, a comma, no seconds, a zone
/// without colon or minutes, with its name behind it (`+0000 UTC`, `Z[UTC]`), or none (UTC).
fn from_iso(text: &[u8]) -> Option<u64> {
    let mut cursor = Cursor { rest: text };
    let year = cursor.number(4)?;
    let separator = cursor.one_of(b"-/");
    let month = cursor.number(2)?;
    cursor.same(separator)?;
    let day = cursor.number(2)?;
    cursor.one_of(b"Tt ")?;
    let hour = cursor.number(2)?;
    let separator = cursor.one_of(b":");
    let minute = cursor.number(2)?;
    let (mut second, mut fraction) = (0, 0);
    let has_seconds = match separator {
        Some(_) => cursor.one_of(b":").is_some(),
        None => cursor.rest.first().is_some_and(u8::is_ascii_digit),
    };
    if has_seconds {
        second = cursor.number(2)?;
        if cursor.one_of(b".,").is_some() {
            fraction = cursor.fraction()?;
        }
    }
    let offset = zone(&mut cursor)?;
    instant(days(year, month, day)?, [hour, minute, second], fraction, offset)
}

/// `days`: since 1970; `offset`: seconds east of UTC.
fn instant(days: i64, [hour, minute, second]: [i64; 3], fraction: i64, offset: i64) -> Option<u64> {
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset;
    in_range(i128::from(seconds) * 1_000_000_000 + i128::from(fraction))
}

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// `Sat, 21 Nov 2026 10:00:00 +0000` (RFC 2822) and `21/Nov/2026:10:00:00 +0000` (CLF); also with hyphens, a fraction, no
/// day of the week (which is not compared), no seconds, the zone's name in brackets, or no zone (UTC).
fn from_named_month(text: &[u8]) -> Option<u64> {
    let mut cursor = Cursor { rest: text };
    cursor.week_day()?;
    let length = cursor.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let day = cursor.number((1..=2).contains(&length).then_some(length)?)?;
    let separator = cursor.one_of(b" /-")?;
    let (name, rest) = cursor.rest.split_first_chunk::<3>()?;
    let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))? as i64 + 1;
    cursor.rest = rest;
    cursor.one_of(&[separator])?;
    let year = cursor.number(4)?;
    if cursor.one_of(b": ")? == b' ' {
        cursor.blanks();
    }
    let hour = cursor.number(2)?;
    cursor.one_of(b":")?;
    let minute = cursor.number(2)?;
    let (mut second, mut fraction) = (0, 0);
    if cursor.one_of(b":").is_some() {
        second = cursor.number(2)?;
        if cursor.one_of(b".,").is_some() {
            fraction = cursor.fraction()?;
        }
    }
    let offset = mail_zone(&mut cursor)?;
    instant(days(year, month, day)?, [hour, minute, second], fraction, offset)
}

/// Seconds east of UTC; the rest of the text is the zone, perhaps with its name in brackets behind it.
fn mail_zone(cursor: &mut Cursor<'_>) -> Option<i64> {
    if let Some(bracket) = cursor.rest.iter().position(|&byte| byte == b'(') {
        let (before, name) = cursor.rest.split_at(bracket);
        let name = name[1..].strip_suffix(b")")?;
        let is_name = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b' ';
        if !(1..=40).contains(&name.len()) || !name.iter().all(is_name) || before.last() != Some(&b' ') {
            return None;
        }
        cursor.rest = before;
        while let [rest @ .., b' '] = cursor.rest {
            cursor.rest = rest;
        }
    }
    cursor.blanks();
    if matches!(cursor.rest, b"" | b"Z" | b"z" | b"UT" | b"UTC" | b"GMT") {
        return Some(0);
    }
    let sign = if cursor.one_of(b"+-")? == b'-' { -60 } else { 60 };
    let hours = cursor.number(2)?;
    let _ = cursor.one_of(b":");
    let minutes = cursor.number(2)?;
    (cursor.rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// Seconds east of UTC; the rest of the text is the zone.
fn zone(cursor: &mut Cursor<'_>) -> Option<i64> {
    cursor.blanks();
    if let [before @ .., b']'] = cursor.rest {
        cursor.rest = without_region(before)?;
    }
    if matches!(cursor.rest, b"" | b"Z" | b"z" | b"UTC" | b"GMT") {
        return Some(0);
    }
    let sign = if cursor.one_of(b"+-")? == b'-' { -60 } else { 60 };
    let hours = cursor.number(2)?;
    let mut minutes = 0;
    cursor.rest = without_name(cursor.rest)?;
    if !cursor.rest.is_empty() {
        let _ = cursor.one_of(b":");
        minutes = cursor.number(2)?;
    }
    (cursor.rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// A zone before its region, as in `Z[UTC]`, of which the last bracket is gone.
fn without_region(text: &[u8]) -> Option<&[u8]> {
    let bracket = text.iter().position(|&byte| byte == b'[')?;
    let (zone, region) = (&text[..bracket], &text[bracket + 1..]);
    let is_region = |byte: &u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(byte);
    let named = (1..=40).contains(&region.len()) && region.iter().all(is_region);
    (named && !zone.is_empty()).then_some(zone)
}

/// What is before a zone's name, as in `+0000 UTC`.
fn without_name(text: &[u8]) -> Option<&[u8]> {
    let Some(blank) = text.iter().position(|&byte| byte == b' ') else { return Some(text) };
    let name = &text[blank + 1..];
    ((3..=5).contains(&name.len()) && name.iter().all(u8::is_ascii_uppercase)).then_some(&text[..blank])
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    const EPOCH: i64 = 719_162;
    let index = usize::try_from(month - 1).ok().filter(|&index| index < 12)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leap_day = i64::from(leap && month == 2);
    if year < 1 || day < 1 || day > LENGTHS[index] + leap_day {
        return None;
    }
    let years = year - 1;
    let past_leap_day = i64::from(leap && month > 2);
    Some(years * 365 + years / 4 - years / 100 + years / 400 + BEFORE[index] + past_leap_day + day - 1 - EPOCH)
}
