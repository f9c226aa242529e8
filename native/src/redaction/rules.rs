//! The rules of one redactor, made ready. What they mean is said in the reference decoder (`rules`, `redactor`).

use std::borrow::Cow;

use hmac::{Hmac, Mac};
use regex::bytes::{Regex, RegexBuilder};
use sha2::Sha256;

use crate::documents::hex::push_hex;
use crate::documents::text::repair;
use crate::redaction::entry::Form;
use crate::redaction::glob::Globs;
use crate::redaction::payment_card;
use crate::redaction::prefilter::{Need, Prefilter, Prefilters, Suspects};

pub const MASKED: &[u8] = b"[masked]";
pub const CUT: &[u8] = "…[cut]".as_bytes();
pub const HASH_BYTES: usize = 8;
pub const MAX_SEARCHES: usize = 1024;
/// Rules of a kind, one bit each.
pub const MAX_RULES: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Drop,
    Hash,
    Mask,
}

impl Action {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "drop" => Some(Action::Drop),
            "hash" => Some(Action::Hash),
            "mask" => Some(Action::Mask),
            _ => None,
        }
    }
}

pub struct KeyRule {
    pub globs: Globs,
    pub action: Action,
    /// Names of the log records and span events in which the rule counts; none: everywhere.
    pub events: Vec<String>,
    /// It counts where the value is an array or a map.
    pub nested: bool,
    /// Keys of which one has to stand in the same map; none: it counts in every one.
    pub beside: Vec<String>,
    /// It counts for texts that begin as JSON of an array or a map does, too.
    pub json_texts: bool,
}

pub struct ValueRule {
    /// `[name`
    opening: Vec<u8>,
    regex: Regex,
    prefilter: Prefilter,
    action: Action,
    luhn: bool,
}

/// A value rule as it is given.
pub struct ValueSource {
    pub name: String,
    pub pattern: String,
    pub loose: String,
    pub need: Need,
    pub action: Action,
    pub luhn: bool,
}

/// What becomes of a value, a field or an entry.
pub enum Edit {
    Same,
    Drop,
    /// Another content.
    Put(Vec<u8>),
}

pub struct Rules {
    pub keys: Vec<KeyRule>,
    values: Vec<ValueRule>,
    luhn: Suspects,
    prefilters: Prefilters,
    hmac: Hmac<Sha256>,
    limit: usize,
    /// Resource attributes: the key, and the whole field.
    pub add: Vec<(String, Vec<u8>)>,
    /// There are key or value rules.
    pub scrubs: bool,
    /// A bit for each key rule that is for arrays and maps only.
    pub nested: u128,
    /// Of those a bit for each that is for texts of JSON, too.
    pub json_texts: u128,
}

impl Rules {
    pub fn new(
        keys: Vec<KeyRule>,
        values: Vec<ValueSource>,
        hash_key: &[u8],
        add: Vec<(String, Vec<u8>)>,
        limit: usize,
    ) -> Result<Self, String> {
        if keys.len().max(values.len()) > MAX_RULES || (limit > 0 && limit < CUT.len()) {
            return Err("the rules are over their bounds".to_owned());
        }
        let hmac = Hmac::<Sha256>::new_from_slice(hash_key).map_err(|error| error.to_string())?;
        let scrubs = !keys.is_empty() || !values.is_empty();
        let nested = bits_of(&keys, |rule| rule.nested);
        let json_texts = bits_of(&keys, |rule| rule.nested && rule.json_texts);
        let (values_read, prefilters) = (Vec::new(), Prefilters::default());
        let mut rules =
            Rules { keys, values: values_read, luhn: 0, prefilters, hmac, limit, add, scrubs, nested, json_texts };
        let (mut needs, mut loose) = (Vec::new(), Vec::new());
        for (index, source) in values.into_iter().enumerate() {
            rules.luhn |= Suspects::from(source.luhn) << index;
            rules.values.push(ValueRule {
                opening: [b"[", source.name.as_bytes()].concat(),
                regex: compile(&source.pattern)?,
                prefilter: Prefilter::new(&source.need)?,
                action: source.action,
                luhn: source.luhn,
            });
            needs.push(source.need);
            loose.push(source.loose);
        }
        rules.prefilters = Prefilters::new(&needs, &loose, compile)?;
        Ok(rules)
    }

    /// The value rules that may match a text in these bytes.
    #[inline]
    pub fn suspects(&self, bytes: &[u8]) -> Suspects {
        self.prefilters.by_bytes(bytes) | self.prefilters.by_others(bytes)
    }

    /// The same for a message whose `texts` are known to hold all its texts. Ids and times have any bytes in them, so
    /// that single ones are looked for in the texts alone.
    #[inline]
    pub fn suspects_in<'a>(&self, message: &'a [u8], texts: impl Fn(&'a [u8]) -> Suspects) -> Suspects {
        let others = self.prefilters.by_others(message);
        if self.prefilters.by_bytes(message) & !others == 0 {
            return others;
        }
        others | texts(message)
    }

    #[inline]
    pub fn suspects_by_bytes(&self, text: &[u8]) -> Suspects {
        self.prefilters.by_bytes(text)
    }

    /// Whether none of the suspect rules matches a text in these bytes.
    #[inline]
    fn passes_none(&self, suspects: Suspects, bytes: &[u8]) -> bool {
        self.values.iter().enumerate().all(|(index, rule)| suspects >> index & 1 == 0 || !rule.prefilter.passes(bytes))
    }

    /// Whether an entry of texts and small numbers is of no interest to the value rules and the limit.
    #[inline(always)]
    pub fn entry_may_stay(&self, suspects: Suspects, entry: &[u8]) -> bool {
        (self.limit == 0 || entry.len() <= self.limit) && (suspects == 0 || self.passes_none(suspects, entry))
    }

    /// Whether texts are of any interest where no value rule is suspect.
    #[inline(always)]
    pub fn may_stay(&self, suspects: Suspects, length: usize) -> bool {
        suspects == 0 && (self.limit == 0 || length <= self.limit)
    }

    /// Which key rule concerns an entry; `active` has a bit for each rule that counts here.
    pub fn key_rule(&self, key: &[u8], path: &[u8], active: u128) -> Option<usize> {
        let lower = path.to_ascii_lowercase();
        let lower_key = &lower[path.len() - key.len()..];
        let names = |rule: &KeyRule| rule.globs.matches(lower_key) || rule.globs.matches(&lower);
        (0..self.keys.len()).find(|&index| active >> index & 1 == 1 && names(&self.keys[index]))
    }

    /// The key rules that count in a log record or span event of this name, `everywhere` and those that are for it.
    pub fn active_in(&self, event: &[u8], everywhere: u128) -> u128 {
        if everywhere.count_ones() as usize == self.keys.len() {
            return everywhere;
        }
        let name = repair(event);
        everywhere | bits_of(&self.keys, |rule| rule.events.iter().any(|event| *event == *name))
    }

    /// Those of `active` that may concern an entry of this form.
    pub fn active_for(&self, form: Form, active: u128) -> u128 {
        match form {
            Form::Nested => active,
            Form::JsonText => active & !(self.nested & !self.json_texts),
            Form::Plain => active & !self.nested,
        }
    }

    /// What stands for a hashed value.
    pub fn push_digest(&self, out: &mut Vec<u8>, value: &[u8]) {
        let mut hmac = self.hmac.clone();
        hmac.update(value);
        push_hex(out, &hmac.finalize().into_bytes()[..HASH_BYTES]);
    }

    /// A text or bytes value as it may leave.
    pub fn text(&self, raw: &[u8], suspects: Suspects) -> Edit {
        let mut text = Cow::Borrowed(raw);
        if !self.replace_all(&mut text, suspects) {
            return Edit::Drop;
        }
        if self.limit > 0 && text.len() > self.limit {
            let end = self.limit - CUT.len();
            let end = end - continued(|steps| text.get(end - steps), end);
            text = Cow::Owned([&text[..end], CUT].concat());
        }
        edit(raw, text)
    }

    /// Whether rules for card numbers are of any interest to a number.
    #[inline(always)]
    pub fn concern(&self, number: f64) -> bool {
        self.luhn != 0 && payment_card::is_as_long(number)
    }

    /// A number's decimal digits as the rules for card numbers leave them.
    pub fn digits(&self, digits: &[u8]) -> Edit {
        let mut text = Cow::Borrowed(digits);
        for rule in self.values.iter().filter(|rule| rule.luhn) {
            match self.replace(rule, &text) {
                Edit::Same => {}
                Edit::Drop => return Edit::Drop,
                Edit::Put(new) => text = Cow::Owned(new),
            }
        }
        edit(digits, text)
    }

    /// False where the text may not leave.
    fn replace_all(&self, text: &mut Cow<'_, [u8]>, suspects: Suspects) -> bool {
        let mut suspects = suspects;
        for (index, rule) in self.values.iter().enumerate() {
            if suspects >> index & 1 == 0 || !rule.prefilter.passes(text) {
                continue;
            }
            match self.replace(rule, text) {
                Edit::Same => {}
                Edit::Drop => return false,
                Edit::Put(new) => {
                    *text = Cow::Owned(new);
                    // What is left may be what a later rule looks for, and was not before.
                    suspects = Suspects::MAX;
                }
            }
        }
        true
    }

    fn replace(&self, rule: &ValueRule, raw: &[u8]) -> Edit {
        let mut out = Vec::new();
        let (mut copied, mut place, mut searches) = (0, 0, 0);
        while searches < MAX_SEARCHES {
            let Some(found) = rule.regex.find_at(raw, place) else { break };
            searches += 1;
            let (begin, mut end) = (found.start(), found.end());
            if rule.luhn {
                match payment_card::end(raw, begin, end) {
                    Some(last) => end = last,
                    None => {
                        place = payment_card::behind_digits(raw, begin);
                        continue;
                    }
                }
            }
            if rule.action == Action::Drop {
                return Edit::Drop;
            }
            // A match of single bytes may begin or end inside a character, half of which would not be text any more.
            let begin = begin - continued(|steps| raw.get(begin - steps), begin - copied);
            let end = end + continued(|steps| raw.get(end + steps), raw.len() - end);
            out.extend_from_slice(&raw[copied..begin]);
            self.push_instead(&mut out, rule, &raw[begin..end]);
            copied = end;
            place = end;
        }
        if searches == MAX_SEARCHES && copied < raw.len() {
            if rule.action == Action::Drop {
                return Edit::Drop;
            }
            self.push_instead(&mut out, rule, &raw[copied..]);
            copied = raw.len();
        }
        if out.is_empty() {
            return Edit::Same;
        }
        out.extend_from_slice(&raw[copied..]);
        Edit::Put(out)
    }

    fn push_instead(&self, out: &mut Vec<u8>, rule: &ValueRule, found: &[u8]) {
        out.extend_from_slice(&rule.opening);
        if rule.action == Action::Hash {
            out.push(b':');
            self.push_digest(out, found);
        }
        out.push(b']');
    }
}

/// A bit for each key rule of which this is true.
pub fn bits_of(keys: &[KeyRule], is: impl Fn(&KeyRule) -> bool) -> u128 {
    keys.iter().enumerate().fold(0, |bits, (index, rule)| bits | u128::from(is(rule)) << index)
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).unicode(false).build().map_err(|error| error.to_string())
}

fn edit(raw: &[u8], text: Cow<'_, [u8]>) -> Edit {
    match text {
        Cow::Owned(new) if new != raw => Edit::Put(new),
        _ => Edit::Same,
    }
}

/// How many steps it is to where a character begins: at most three, and at most `room`.
fn continued<'a>(at: impl Fn(usize) -> Option<&'a u8>, room: usize) -> usize {
    let most = room.min(3);
    (0..=most).find(|&steps| at(steps).is_none_or(|byte| byte & 0xc0 != 0x80)).unwrap_or(most)
}
