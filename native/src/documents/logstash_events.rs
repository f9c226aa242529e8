//! Line pairs of the decoder as Logstash events. The shape is described in the reference decoder.

/// Documents' texts are numbered and measured in lumberjack frames, or stand in one JSON array.
#[derive(Clone, Copy)]
pub enum Form {
    Frames,
    Array,
}

/// What every event has in common: its beginning, and what stands between the document's address and its time.
pub struct Frame<'a> {
    pub begin: &'a [u8],
    pub middle: &'a [u8],
}

const ACTION: &[u8] = b"{\"create\":{";
const ACTION_END: &[u8] = b"}}";
const TIME: &[u8] = b"{\"@timestamp\":\"";
const MILLISECOND_DIGITS: usize = 13;
const BELOW_DIGITS: usize = 6;
/// `2J`, number, length.
const HEADER_BYTES: usize = 10;
/// `2023-11-14T22:13:20.`
const SECOND_BYTES: usize = 20;
const FRACTION_BYTES: usize = b"123456789Z".len();

/// One line pair in its parts.
struct Pair<'a> {
    action: &'a [u8],
    milliseconds: u64,
    below: &'a [u8],
    /// From the quote behind the time to the end of the line.
    rest: &'a [u8],
}

/// The events of one body of line pairs.
pub struct Events<'a> {
    pairs: Vec<Pair<'a>>,
    frame: Frame<'a>,
    form: Form,
    length: usize,
}

impl<'a> Events<'a> {
    /// `ends`: where each pair ends, native 32-bit numbers. An error has the index of what is not a pair.
    pub fn new(body: &'a [u8], ends: &[u8], frame: Frame<'a>, form: Form) -> Result<Self, usize> {
        let (words, _) = ends.as_chunks::<4>();
        let mut pairs = Vec::with_capacity(words.len());
        let mut begin = 0;
        let mut length = match form {
            Form::Frames => HEADER_BYTES * words.len(),
            Form::Array => words.len().saturating_sub(1) + b"[]".len(),
        };
        for (index, word) in words.iter().enumerate() {
            let end = u32::from_ne_bytes(*word) as usize;
            let pair = body.get(begin..end).and_then(Pair::new).ok_or(index)?;
            length += pair.length(&frame);
            pairs.push(pair);
            begin = end;
        }
        Ok(Events { pairs, frame, form, length })
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// `out` has the events' length.
    pub fn write(&self, out: &mut [u8]) {
        let mut out = Out { place: out };
        let mut seconds = Seconds::default();
        if let Form::Array = self.form {
            out.push(b"[");
        }
        for (number, pair) in (1u32..).zip(&self.pairs) {
            match self.form {
                Form::Frames => {
                    out.push(b"2J");
                    out.push(&number.to_be_bytes());
                    out.push(&(pair.length(&self.frame) as u32).to_be_bytes());
                }
                Form::Array if number > 1 => out.push(b","),
                Form::Array => {}
            }
            out.push(self.frame.begin);
            out.push(pair.action);
            out.push(self.frame.middle);
            out.push(seconds.text(pair.milliseconds / 1000));
            out.push(&digits::<3>(pair.milliseconds % 1000));
            out.push(pair.below);
            out.push(b"Z");
            out.push(pair.rest);
        }
        if let Form::Array = self.form {
            out.push(b"]");
        }
    }
}

impl<'a> Pair<'a> {
    fn new(pair: &'a [u8]) -> Option<Self> {
        let line = memchr::memchr(b'\n', pair)?;
        let action = pair[..line].strip_prefix(ACTION)?.strip_suffix(ACTION_END)?;
        let document = pair[line + 1..].strip_suffix(b"\n")?;
        if memchr::memchr(b'\n', document).is_some() {
            return None;
        }
        let time = document.strip_prefix(TIME)?;
        let point = time.iter().take(MILLISECOND_DIGITS + 1).position(|&byte| byte == b'.')?;
        let (whole, fraction) = (&time[..point], &time[point + 1..]);
        let (below, rest) = fraction.split_at_checked(BELOW_DIGITS)?;
        let well = !whole.is_empty() && whole.iter().chain(below).all(u8::is_ascii_digit) && rest.starts_with(b"\"");
        let milliseconds = whole.iter().fold(0, |number, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')));
        well.then_some(Pair { action, milliseconds, below, rest })
    }

    #[inline]
    fn length(&self, frame: &Frame<'_>) -> usize {
        frame.begin.len() + self.action.len() + frame.middle.len() + SECOND_BYTES + FRACTION_BYTES + self.rest.len()
    }
}

/// What is still to be written.
struct Out<'a> {
    place: &'a mut [u8],
}

impl Out<'_> {
    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) {
        let (here, behind) = std::mem::take(&mut self.place).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        self.place = behind;
    }
}

/// ISO texts of Unix seconds, up to the point before the fraction. The last one is kept: records come by time.
#[derive(Default)]
struct Seconds {
    last: Option<u64>,
    text: [u8; SECOND_BYTES],
}

impl Seconds {
    #[inline(always)]
    fn text(&mut self, second: u64) -> &[u8] {
        if self.last != Some(second) {
            self.last = Some(second);
            self.text = iso(second);
        }
        &self.text
    }
}

fn iso(second: u64) -> [u8; SECOND_BYTES] {
    let (year, month, day) = date(second / 86_400);
    let mut text = *b"0000-00-00T00:00:00.";
    text[..4].copy_from_slice(&digits::<4>(year));
    let clock = [(5, month), (8, day), (11, second / 3600 % 24), (14, second / 60 % 60), (17, second % 60)];
    for (place, number) in clock {
        text[place..place + 2].copy_from_slice(&digits::<2>(number));
    }
    text
}

/// Year, month and day of a day since 1970-01-01. Years begin in March here, so that the leap day is their last.
fn date(day: u64) -> (u64, u64, u64) {
    const TO_EPOCH: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let day = day + TO_EPOCH;
    let (era, day) = (day / DAYS_IN_400_YEARS, day % DAYS_IN_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, turn) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * era + year + turn, month, day_of_month)
}

#[inline(always)]
fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(second: u64) -> String {
        String::from_utf8_lossy(&iso(second)).into_owned()
    }

    #[test]
    fn writes_times() {
        assert_eq!(text(0), "1970-01-01T00:00:00.");
        assert_eq!(text(951_782_399), "2000-02-28T23:59:59.");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.");
        assert_eq!(text(4_107_542_399), "2100-02-28T23:59:59.");
        assert_eq!(text(4_107_542_400), "2100-03-01T00:00:00.");
        assert_eq!(text(9_223_372_036), "2262-04-11T23:47:16.");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = date(0);
        for day in 1..120_000 {
            let next = date(day);
            let (year, month, of_month) = last;
            let follows = [(year, month, of_month + 1), (year, month + 1, 1), (year + 1, 1, 1)];
            assert!(follows.contains(&next) && next.2 <= 31, "{last:?} {next:?}");
            last = next;
        }
        assert_eq!(last, (2298, 7, 19));
    }

    #[test]
    fn what_is_not_a_pair_is_named() {
        let pair = b"{\"create\":{\"_id\":\"1\"}}\n{\"@timestamp\":\"1.000000\",\"a\":1}\n";
        let frame = || Frame { begin: b"{", middle: b",\"at\":\"" };
        let ends = |ends: &[usize]| ends.iter().flat_map(|&end| (end as u32).to_ne_bytes()).collect::<Vec<u8>>();
        let found = |body: &[u8], at: &[usize]| Events::new(body, &ends(at), frame(), Form::Array).err();
        assert_eq!(found(pair, &[pair.len()]), None);
        assert_eq!(found(pair, &[pair.len(), pair.len()]), Some(1));
        assert_eq!(found(pair, &[pair.len() + 1]), Some(0));
        assert_eq!(found(&pair[..pair.len() - 1], &[pair.len() - 1]), Some(0));
        let events = Events::new(pair, &ends(&[pair.len()]), frame(), Form::Array).ok();
        let mut out = vec![0; events.as_ref().map_or(0, Events::len)];
        if let Some(events) = events {
            events.write(&mut out);
        }
        assert_eq!(out, b"[{\"_id\":\"1\",\"at\":\"1970-01-01T00:00:00.001000000Z\",\"a\":1}]");
    }
}
