//! Names and numbers of log levels.

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

const LONGEST: usize = "informational".len();

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
    match &*lower {
        b"all" | b"trace" | b"finest" | b"silly" | b"verbose" | b"vrb" | b"trc" | b"t" | b"v" => 1,
        b"finer" => 3,
        b"debug" | b"dbg" | b"fine" | b"d" => 5,
        b"config" => 8,
        b"info" | b"information" | b"informational" | b"inf" | b"i" | b"http" | b"log" | b"ok" => 9,
        b"notice" | b"success" => 10,
        b"warn" | b"warning" | b"wrn" | b"w" => 13,
        b"error" | b"err" | b"exception" | b"severe" | b"eror" | b"e" => 17,
        b"critical" | b"crit" | b"dpanic" | b"c" => 18,
        b"alert" | b"panic" => 19,
        b"fatal" | b"ftl" | b"emergency" | b"emerg" | b"f" => 21,
        _ => 0,
    }
}
