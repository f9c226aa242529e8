//! Names and numbers of log levels.

use std::borrow::Cow;

use crate::documents::text::uncoloured;
use crate::logs::fields::Levels;

/// TRACE, DEBUG, INFO, WARN, ERROR or FATAL by number, by name where the number is 0, else UNSPECIFIED.
#[inline]
pub fn range_name(number: u8, name: &[u8]) -> &'static str {
    let number = if number == 0 { from_name(name) } else { number };
    match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "UNSPECIFIED",
    }
}

const HIGHEST: i64 = 24;
/// Lowest level number of a step -> severity number, descending; a number below the last is no level.
pub const PYTHON: [(i64, u8); 7] = [(50, 18), (40, 17), (30, 13), (25, 10), (20, 9), (10, 5), (5, 1)];
pub const PINO: [(i64, u8); 6] = [(60, 21), (50, 17), (40, 13), (30, 9), (20, 5), (10, 1)];
/// Syslog severity (index) -> severity number.
pub const SYSLOG: [u8; 8] = [21, 19, 18, 17, 13, 10, 9, 5];

/// Severity number of a level's number; 0 where it is none.
pub fn from_number(number: i64, levels: Levels) -> u8 {
    match levels {
        Levels::JavaScript => match usize::try_from(number).ok().and_then(|index| SYSLOG.get(index)) {
            Some(&severity) => severity,
            None => step(number, &PINO),
        },
        Levels::Python => step(number, &PYTHON),
        Levels::Otlp if (1..=HIGHEST).contains(&number) => number as u8,
        Levels::Otlp => 0,
    }
}

fn step(number: i64, steps: &[(i64, u8)]) -> u8 {
    steps.iter().find(|(lowest, _)| *lowest <= number && number < 100).map_or(0, |(_, severity)| *severity)
}

/// Names with what they stand for: as data, and as a match on them, which is quicker.
macro_rules! names {
    ($table:ident, $find:ident, $type:ty: $($($name:literal)|+ => $what:literal,)*) => {
        pub const $table: &[($type, &[&[u8]])] = &[$(($what, &[$($name),+])),*];

        #[inline]
        fn $find(name: &[u8]) -> Option<$type> {
            Some(match name {
                $($($name)|+ => $what,)*
                _ => return None,
            })
        }
    };
}

// Level names in lower case -> severity number.
names! { NAMES, number_of, u8:
    b"all" | b"trace" | b"finest" | b"silly" | b"verbose" | b"vrb" | b"trc" | b"trce" | b"trac" | b"t" | b"v" => 1,
    b"finer" => 3,
    b"debug" | b"dbg" | b"dbug" | b"debu" | b"fine" | b"d" => 5,
    b"config" => 8,
    b"info" | b"information" | b"informational" | b"inf" | b"i" | b"http" | b"log" | b"ok" => 9,
    b"notice" | b"success" => 10,
    b"warn" | b"warning" | b"wrn" | b"w" => 13,
    b"error" | b"err" | b"erro" | b"fail" | b"exception" | b"severe" | b"e" => 17,
    b"critical" | b"crit" | b"dpanic" | b"c" => 18,
    b"alert" | b"panic" | b"pani" => 19,
    b"fatal" | b"ftl" | b"fata" | b"emergency" | b"emerg" | b"f" => 21,
}

/// Bytes of the longest name.
pub const LONGEST: usize = "informational".len();

/// Severity number of a level name in any (ASCII) case; 0 where the name says nothing.
pub fn from_name(name: &[u8]) -> u8 {
    let mut name = name;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = name {
        name = rest;
    }
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..name.len()) else { return 0 };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    number_of(lower).unwrap_or(0)
}

/// A level's name as documents have it, one spelling for each; as it is where nobody knows it. `upper`: room for it.
pub fn shown<'n>(name: &'n [u8], upper: &'n mut [u8; LONGEST]) -> &'n [u8] {
    let trimmed = name.trim_ascii();
    let Some(upper) = upper.get_mut(..trimmed.len()).filter(|_| from_name(name) != 0) else { return name };
    upper.copy_from_slice(trimmed);
    upper.make_ascii_uppercase();
    match spelling_of(upper) {
        Some(spelling) => spelling.as_bytes(),
        None => upper,
    }
}

// Short and other spellings -> the name that documents have for them.
names! { SPELLINGS, spelling_of, &'static str:
    b"TRC" | b"T" => "TRACE",
    b"VRB" | b"V" => "VERBOSE",
    b"DBG" | b"D" => "DEBUG",
    b"INFORMATION" | b"INFORMATIONAL" | b"INF" | b"I" => "INFO",
    b"WARNING" | b"WRN" | b"W" => "WARN",
    b"ERR" | b"E" => "ERROR",
    b"CRIT" | b"C" => "CRITICAL",
    b"FTL" | b"F" => "FATAL",
    b"EMERG" => "EMERGENCY",
}

pub const SPOKEN: [&str; 11] =
    ["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "SEVERE", "CRITICAL", "FATAL", "PANIC"];
/// Levels at the beginning of a line before a colon, beside those in any case: of .NET, npm and winston.
pub const PREFIXES: [&str; 6] = ["TRCE", "DBUG", "FAIL", "CRIT", "VERBOSE", "SILLY"];
/// Levels where only a time stands before them: of zerolog, Serilog, logrus and charmbracelet/log.
pub const ABBREVIATED: [&str; 12] =
    ["TRC", "VRB", "DBG", "INF", "WRN", "ERR", "FTL", "TRAC", "DEBU", "ERRO", "FATA", "PANI"];
const KEYS: [&[u8]; 4] = [b"level", b"levelname", b"lvl", b"severity"];
const LOOK_AT: usize = 128;
/// Bytes beside those that colours may take up.
const COLOURS: usize = 128;

/// (severity number, the word that says so) of a line of plain text: the letter of glog, TensorFlow and tornado, or the
/// first word that is a level's name in capitals, or in any case where loggers write one. Colours do not matter.
pub fn guess(line: &[u8]) -> (u8, Cow<'_, str>) {
    match uncoloured(&line[..line.len().min(LOOK_AT + COLOURS)]) {
        Cow::Borrowed(head) => {
            let (number, word) = guess_plain(head);
            (number, Cow::Borrowed(word))
        }
        Cow::Owned(head) => {
            let (number, word) = guess_plain(&head);
            (number, Cow::Owned(word.to_owned()))
        }
    }
}

fn guess_plain(line: &[u8]) -> (u8, &str) {
    let head = &line[..line.len().min(LOOK_AT)];
    if let Some(letter) = letter(head) {
        let number = from_name(&[letter]);
        return (number, range_name(number, b""));
    }
    let mut begin = 0;
    while begin < head.len() {
        if !head[begin].is_ascii_alphabetic() {
            begin += 1;
            continue;
        }
        let length = head[begin..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let word = std::str::from_utf8(&head[begin..begin + length]).unwrap_or_default();
        let is_level = SPOKEN.contains(&word) || is_placed(&head[..begin], word, &head[begin + length..]);
        let number = if is_level { from_name(word.as_bytes()) } else { 0 };
        if number != 0 {
            return (number, word);
        }
        begin += length;
    }
    (0, "")
}

/// The level's letter of glog (`E1121 15:49:01.1 `), TensorFlow (`2026-11-21 15:49:01.123456: E `), tornado and optuna
/// (`[E 2026-11-21 ...`).
fn letter(head: &[u8]) -> Option<u8> {
    if let [letter @ (b'I' | b'W' | b'E' | b'F'), a, b, c, d, b' ', ..] = head {
        if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) {
            return Some(*letter);
        }
    }
    if let [b'[', letter @ (b'D' | b'I' | b'W' | b'E' | b'C' | b'F'), b' ', b'0'..=b'9', ..] = head {
        return Some(*letter);
    }
    let time = head.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b':' | b'.' | b' ' | b'-')).count();
    match &head[time..] {
        [letter @ (b'D' | b'I' | b'W' | b'E' | b'F'), b' ', ..] if time >= 20 && head[..time].ends_with(b": ") => {
            Some(*letter)
        }
        _ => None,
    }
}

/// Whether a word stands where loggers write a level.
fn is_placed(before: &[u8], word: &str, behind: &[u8]) -> bool {
    let next = trim_start(behind).first();
    if is_value(before) || (before.ends_with(b"[") && next == Some(&b']')) {
        return true;
    }
    if trim_end(before).ends_with(b"|") && next == Some(&b'|') {
        return true;
    }
    let is_one_of = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    if before.is_empty() && behind.starts_with(b":") {
        // `Error: ...` is an exception's name.
        let one_case = !word.bytes().any(|b| b.is_ascii_lowercase()) || !word.bytes().any(|b| b.is_ascii_uppercase());
        return one_case && (is_one_of(&SPOKEN) || is_one_of(&PREFIXES));
    }
    if ABBREVIATED.contains(&word) {
        return is_time(before) || (before.is_empty() && behind.starts_with(b"["));
    }
    is_one_of(&SPOKEN) && is_time(before)
}

/// Whether a key of levels stands before: `level=`, `level="`, and of JSON that is broken elsewhere `"level": "`.
fn is_value(before: &[u8]) -> bool {
    let key = match before {
        [rest @ .., b'"' | b'\''] => trim_end(rest).strip_suffix(b":").or_else(|| rest.strip_suffix(b"=")),
        _ => before.strip_suffix(b"="),
    };
    let key = key.map(|key| if let [rest @ .., b'"' | b'\''] = key { rest } else { key });
    key.is_some_and(|key| KEYS.iter().any(|known| key.ends_with(known)))
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

/// A time and what loggers put around it, and nothing else.
fn is_time(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
        && text.iter().all(|byte| byte.is_ascii_digit() || b":.,+/ TZAPM|()[]\t-".contains(byte))
}
