//! Which value rules may match somewhere in a record, found in one look at its bytes. No rule that matches a text in
//! them is left out; some that do not match are named.

use aho_corasick::{packed, AhoCorasick, Input, MatchKind, Span};
use regex::bytes::Regex;

use crate::redaction::payment_card;

/// Bit n stands for value rule n.
pub type Suspects = u128;

/// What every match of one rule holds: one of the literals, or a run of bytes. Both may be unknown.
pub struct Need {
    pub literals: Vec<Vec<u8>>,
    pub run: Vec<u8>,
    pub length: usize,
    /// Every match that counts is a payment card's number: the run has its digits too.
    pub card: bool,
}

pub struct Run {
    set: [bool; 256],
    length: usize,
    card: bool,
}

impl Run {
    fn new(need: &Need) -> Self {
        let mut set = [false; 256];
        for &byte in &need.run {
            set[usize::from(byte)] = true;
        }
        Run { set, length: need.length.max(1), card: need.card }
    }

    /// A run of so many bytes covers one of every so many places.
    #[inline]
    fn is_in(&self, bytes: &[u8]) -> bool {
        let is_member = |byte: &u8| self.set[usize::from(*byte)];
        let mut probe = self.length - 1;
        while let Some(byte) = bytes.get(probe) {
            if is_member(byte) {
                let before = bytes[..probe].iter().rev().take_while(|byte| is_member(byte)).count();
                let behind = bytes[probe..].iter().take_while(|byte| is_member(byte)).count();
                let run = &bytes[probe - before..probe + behind];
                if run.len() >= self.length && (!self.card || payment_card::has_digits_for_one(run)) {
                    return true;
                }
                probe += behind;
            }
            probe += self.length;
        }
        false
    }
}

/// Literals of two bytes and more, looked for all at once.
pub enum Finder {
    /// Many bytes at a time; not on every processor, nor for very many literals.
    Packed(Box<packed::Searcher>),
    Automaton(Box<AhoCorasick>),
}

impl Finder {
    fn new(literals: &[&[u8]]) -> Result<Self, String> {
        if let Some(searcher) = packed::Config::new().builder().extend(literals).build() {
            return Ok(Finder::Packed(Box::new(searcher)));
        }
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals);
        built.map(|automaton| Finder::Automaton(Box::new(automaton))).map_err(|error| error.to_string())
    }

    /// Index and begin of the first literal from `place` on.
    #[inline]
    fn find(&self, bytes: &[u8], place: usize) -> Option<(usize, usize)> {
        let hit = match self {
            Finder::Packed(searcher) => searcher.find_in(bytes, Span::from(place..bytes.len())),
            Finder::Automaton(automaton) => automaton.find(Input::new(bytes).range(place..)),
        }?;
        Some((hit.pattern().as_usize(), hit.start()))
    }
}

/// The look at one text for one rule.
pub enum Prefilter {
    /// Literals of one byte, and longer ones.
    Literals(Vec<u8>, Option<Finder>),
    Run(Box<Run>),
    Open,
}

impl Prefilter {
    pub fn new(need: &Need) -> Result<Self, String> {
        Ok(if !need.literals.is_empty() {
            let single = |literal: &Vec<u8>| <[u8; 1]>::try_from(&literal[..]).ok();
            let bytes = need.literals.iter().filter_map(single).map(|[byte]| byte).collect();
            let longer: Vec<&[u8]> = need.literals.iter().map(Vec::as_slice).filter(|it| it.len() > 1).collect();
            let finder = if longer.is_empty() { None } else { Some(Finder::new(&longer)?) };
            Prefilter::Literals(bytes, finder)
        } else if need.length > 0 {
            Prefilter::Run(Box::new(Run::new(need)))
        } else {
            Prefilter::Open
        })
    }

    #[inline]
    pub fn passes(&self, text: &[u8]) -> bool {
        match self {
            Prefilter::Literals(single, longer) => {
                single.iter().any(|&byte| memchr::memchr(byte, text).is_some())
                    || longer.as_ref().is_some_and(|longer| longer.find(text, 0).is_some())
            }
            Prefilter::Run(run) => run.is_in(text),
            Prefilter::Open => true,
        }
    }
}

/// The look at a record for all rules.
#[derive(Default)]
pub struct Prefilters {
    bytes: Vec<(u8, Suspects)>,
    literals: Option<Finder>,
    /// Rules of each literal, and of those that it begins with or that begin with it.
    owners: Vec<Suspects>,
    all_owners: Suspects,
    runs: Vec<(Run, Suspects)>,
    /// Any of the rules of which nothing is known.
    loose: Option<Regex>,
    loose_rules: Suspects,
}

impl Prefilters {
    /// `loose` is each rule's pattern without assertions.
    pub fn new(
        needs: &[Need],
        loose: &[String],
        compile: impl Fn(&str) -> Result<Regex, String>,
    ) -> Result<Self, String> {
        let mut prefilters = Prefilters::default();
        let mut literals: Vec<(&[u8], Suspects)> = Vec::new();
        let mut unknown: Vec<&str> = Vec::new();
        for (index, need) in needs.iter().enumerate() {
            let rule = 1 << index;
            if !need.literals.is_empty() {
                for literal in &need.literals {
                    match literal[..] {
                        [byte] => prefilters.bytes.push((byte, rule)),
                        _ => literals.push((literal, rule)),
                    }
                }
            } else if need.length > 0 {
                prefilters.runs.push((Run::new(need), rule));
            } else {
                unknown.push(&loose[index]);
                prefilters.loose_rules |= rule;
            }
        }
        let shares = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let owners = |literal: &[u8]| {
            literals.iter().filter(|(other, _)| shares(literal, other)).fold(0, |rules, (_, rule)| rules | rule)
        };
        prefilters.owners = literals.iter().map(|(literal, _)| owners(literal)).collect();
        prefilters.all_owners = prefilters.owners.iter().fold(0, |all, rules| all | rules);
        if !literals.is_empty() {
            let patterns: Vec<&[u8]> = literals.iter().map(|(literal, _)| *literal).collect();
            prefilters.literals = Some(Finder::new(&patterns)?);
        }
        if !unknown.is_empty() {
            prefilters.loose = Some(compile(&unknown.join("|"))?);
        }
        Ok(prefilters)
    }

    /// Rules for which a single byte speaks.
    #[inline]
    pub fn by_bytes(&self, bytes: &[u8]) -> Suspects {
        let mut found = 0;
        for &(byte, rule) in &self.bytes {
            if memchr::memchr(byte, bytes).is_some() {
                found |= rule;
            }
        }
        found
    }

    /// Rules for which anything else speaks.
    #[inline]
    pub fn by_others(&self, bytes: &[u8]) -> Suspects {
        let mut found = 0;
        if let Some(literals) = &self.literals {
            let mut place = 0;
            while let Some((literal, begin)) = literals.find(bytes, place) {
                found |= self.owners[literal];
                if found & self.all_owners == self.all_owners {
                    break;
                }
                place = begin + 1;
            }
        }
        for (run, rule) in &self.runs {
            if run.is_in(bytes) {
                found |= rule;
            }
        }
        if self.loose.as_ref().is_some_and(|loose| loose.is_match(bytes)) {
            found |= self.loose_rules;
        }
        found
    }
}
