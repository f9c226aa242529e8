//! Type and message of an exception from the text of its stack trace.

use crate::documents::text::without_colours;

const PYTHON: &str = "Traceback (most recent call last):";

/// (type, message) of an exception, each empty where the text does not say.
type Exception = (String, String);

/// The exception of a stack trace; None if the text is no stack trace.
pub fn read_traceback(text: &str) -> Option<Exception> {
    read_plain(&without_colours(text))
}

fn read_plain(text: &str) -> Option<Exception> {
    let (first, rest) = text.split_once('\n').map_or((text, None), |(first, rest)| (first, Some(rest)));
    if text.contains(PYTHON) {
        return Some(python(text));
    }
    if let Some(message) = first.strip_prefix("panic: ") {
        return Some(("panic".to_owned(), message.to_owned()));
    }
    if let Some(place) = rust_panic(first) {
        // The message stands behind the place, or below it where the place ends in a colon.
        let below = rest.filter(|_| place.ends_with(':')).and_then(|rest| rest.split('\n').next());
        return Some(("panic".to_owned(), below.unwrap_or(place).to_owned()));
    }
    if let Some((kind, message)) = ruby(first) {
        return Some((kind.to_owned(), message.to_owned()));
    }
    let mut others = rest.into_iter().flat_map(|rest| rest.split('\n'));
    if others.clone().any(is_at_frame) {
        return Some(head(&without_thread(first)));
    }
    others.any(is_go_frame).then(Exception::default)
}

/// Behind the last header come indented frames, then the line that names the exception. The headers within a group have
/// its border; the line that names the group has the border too.
fn python(text: &str) -> Exception {
    let begins = |line: &str, with: &str| line.trim_start_matches(' ').starts_with(with);
    let lines: Vec<&str> = text.split('\n').collect();
    let is_header = |line: &&str| line.contains(PYTHON);
    let outer = lines.iter().rposition(|line| is_header(line) && !begins(line, "|"));
    let header = outer.or_else(|| lines.iter().rposition(is_header)).unwrap_or(0);
    let grouped = begins(lines[header], "+ ");
    lines[header + 1..]
        .iter()
        .map(|line| {
            let bare = line.trim_start_matches(' ');
            if grouped {
                bare.strip_prefix("| ").unwrap_or(bare)
            } else {
                line
            }
        })
        .find(|line| !line.is_empty() && !line.starts_with([' ', '\t', '|', '+']))
        .map_or_else(Exception::default, head)
}

/// `package.Type: message` or `Type` alone; Python's local classes have `<locals>` in their names, Ray's errors of tasks
/// the type of the cause, `RayTaskError(ValueError)`.
fn head(line: &str) -> Exception {
    let line = line.trim_end_matches('\r');
    let end = line.bytes().take_while(|&byte| byte.is_ascii_alphanumeric() || b"_.$<>".contains(&byte)).count();
    let end = end + cause_length(&line[end..]);
    let (kind, rest) = line.split_at(end);
    if !kind.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '$') {
        return Exception::default();
    }
    match rest.strip_prefix(':') {
        Some(message) => (kind.to_owned(), message.strip_prefix(' ').unwrap_or(message).to_owned()),
        None if rest.is_empty() => (kind.to_owned(), String::new()),
        None => Exception::default(),
    }
}

/// Bytes of `(TYPE)` at the beginning of the text.
fn cause_length(text: &str) -> usize {
    let inner = text.strip_prefix('(').and_then(|text| text.split_once(')')).map(|(inner, _)| inner);
    inner
        .filter(|inner| inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'))
        .map_or(0, |inner| inner.len() + 2)
}

/// What follows `thread 'NAME' panicked at `, also with a number behind the name.
fn rust_panic(line: &str) -> Option<&str> {
    let (_, rest) = line.strip_prefix("thread '")?.split_once('\'')?;
    let unnumbered = || {
        let (digits, rest) = rest.strip_prefix(" (")?.split_once(')')?;
        is_number(digits).then_some(rest)
    };
    unnumbered().unwrap_or(rest).strip_prefix(" panicked at ")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `FILE:LINE:in METHOD: MESSAGE (TYPE)`, as (type, message).
fn ruby(line: &str) -> Option<(&str, &str)> {
    let (before, kind) = line.strip_suffix(')')?.rsplit_once(" (")?;
    let mut characters = kind.chars();
    let first = characters.next()?;
    if !(first.is_ascii_alphabetic() || first == '_')
        || !characters.all(|character| character.is_ascii_alphanumeric() || character == '_' || character == ':')
    {
        return None;
    }
    // Looked for once, so that a hostile line with many places is not searched to its end for each of them.
    let last_colon = before.rfind(": ")?;
    before.rmatch_indices(":in ").find_map(|(at, found)| {
        let (file, number) = before[..at].rsplit_once(':')?;
        let method = at + found.len();
        let second = method + before[method..].chars().next()?.len_utf8();
        if file.is_empty() || !is_number(number) || second > last_colon {
            return None;
        }
        let colon = second + before[second..].find(": ")?;
        Some((kind, &before[colon + 2..]))
    })
}

/// `  at FRAME` of Java, JavaScript and .NET.
fn is_at_frame(line: &str) -> bool {
    let frame = line.trim_start_matches([' ', '\t']);
    frame.len() < line.len() && frame.strip_prefix("at ").is_some_and(|rest| !rest.is_empty() && !rest.starts_with(' '))
}

/// The line without the words of the runtime before the exception.
fn without_thread(line: &str) -> String {
    const UNCAUGHT: &str = "Uncaught ";
    let found = line.char_indices().find_map(|(at, _)| {
        let rest = &line[at..];
        let end = if rest.starts_with(UNCAUGHT) { UNCAUGHT.len() } else { thread_length(rest)? };
        Some((at, at + end))
    });
    match found {
        Some((start, end)) => [&line[..start], &line[end..]].concat(),
        None => line.to_owned(),
    }
}

/// Bytes of `Exception in thread "NAME" ` at the beginning of the text.
fn thread_length(text: &str) -> Option<usize> {
    let (_, rest) = text.strip_prefix("Exception in thread \"")?.split_once('"')?;
    rest.strip_prefix(' ').map(|rest| text.len() - rest.len())
}

/// `\tFILE:LINE` with or without ` +0xOFFSET`, of Go.
fn is_go_frame(line: &str) -> bool {
    let Some(frame) = line.strip_prefix('\t') else { return false };
    let place = match frame.rsplit_once(" +0x") {
        Some((place, offset))
            if !offset.is_empty() && offset.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) =>
        {
            place
        }
        _ => frame,
    };
    place.rsplit_once(':').is_some_and(|(file, number)| !file.is_empty() && is_number(number))
}
