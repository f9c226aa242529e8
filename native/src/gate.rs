//! Which value rules may match somewhere in a record, found in one look at its bytes. No rule that matches a text in
//! them is left out; some that do not match are named.

use aho_corasick::{AhoCorasick, Input, MatchKind};
use regex::bytes::Regex;

/// Bit n stands for value rule n.
pub type Suspects = u128;

/// What every match of one rule holds: one of the literals, or a run of bytes. Both may be unknown.
pub struct Need {
    pub literals: Vec<Vec<u8>>,
    pub run: Vec<u8>,
    pub length: usize,
}

pub struct Run {
    set: [bool; 256],
    length: usize,
}

impl Run {
    fn new(need: &Need) -> Self {
        let mut set = [false; 256];
        for &byte in &need.run {
            set[usize::from(byte)] = true;
        }
        Run { set, length: need.length.max(1) }
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
                if before + behind >= self.length {
                    return true;
                }
                probe += behind;
            }
            probe += self.length;
        }
        false
    }
}

fn automaton(literals: &[Vec<u8>]) -> Result<AhoCorasick, String> {
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals).map_err(|error| error.to_string())
}

/// The look at one text for one rule.
pub enum Gate {
    Literals(Box<AhoCorasick>),
    Run(Box<Run>),
    Open,
}

impl Gate {
    pub fn new(need: &Need) -> Result<Self, String> {
        Ok(if !need.literals.is_empty() {
            Gate::Literals(Box::new(automaton(&need.literals)?))
        } else if need.length > 0 {
            Gate::Run(Box::new(Run::new(need)))
        } else {
            Gate::Open
        })
    }

    #[inline]
    pub fn passes(&self, text: &[u8]) -> bool {
        match self {
            Gate::Literals(literals) => literals.is_match(text),
            Gate::Run(run) => run.is_in(text),
            Gate::Open => true,
        }
    }
}

/// The look at a record for all rules.
#[derive(Default)]
pub struct Gates {
    bytes: Vec<(u8, Suspects)>,
    literals: Option<AhoCorasick>,
    /// Rules of each literal, and of those that it begins with or that begin with it.
    owners: Vec<Suspects>,
    all_owners: Suspects,
    runs: Vec<(Run, Suspects)>,
    /// Any of the rules of which nothing is known.
    loose: Option<Regex>,
    loose_rules: Suspects,
}

impl Gates {
    /// `loose` is each rule's pattern without assertions.
    pub fn new(
        needs: &[Need],
        loose: &[String],
        compile: impl Fn(&str) -> Result<Regex, String>,
    ) -> Result<Self, String> {
        let mut gates = Gates::default();
        let mut literals: Vec<(&[u8], Suspects)> = Vec::new();
        let mut unknown: Vec<&str> = Vec::new();
        for (index, need) in needs.iter().enumerate() {
            let rule = 1 << index;
            if !need.literals.is_empty() {
                for literal in &need.literals {
                    match literal[..] {
                        [byte] => gates.bytes.push((byte, rule)),
                        _ => literals.push((literal, rule)),
                    }
                }
            } else if need.length > 0 {
                gates.runs.push((Run::new(need), rule));
            } else {
                unknown.push(&loose[index]);
                gates.loose_rules |= rule;
            }
        }
        let shares = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let owners = |literal: &[u8]| {
            literals.iter().filter(|(other, _)| shares(literal, other)).fold(0, |rules, (_, rule)| rules | rule)
        };
        gates.owners = literals.iter().map(|(literal, _)| owners(literal)).collect();
        gates.all_owners = gates.owners.iter().fold(0, |all, rules| all | rules);
        if !literals.is_empty() {
            let patterns: Vec<Vec<u8>> = literals.iter().map(|(literal, _)| literal.to_vec()).collect();
            gates.literals = Some(automaton(&patterns)?);
        }
        if !unknown.is_empty() {
            gates.loose = Some(compile(&unknown.join("|"))?);
        }
        Ok(gates)
    }

    #[inline]
    pub fn suspects(&self, bytes: &[u8]) -> Suspects {
        let mut found = 0;
        for &(byte, rule) in &self.bytes {
            if memchr::memchr(byte, bytes).is_some() {
                found |= rule;
            }
        }
        if let Some(literals) = &self.literals {
            let mut place = 0;
            while let Some(hit) = literals.find(Input::new(bytes).range(place..)) {
                found |= self.owners[hit.pattern().as_usize()];
                if found & self.all_owners == self.all_owners {
                    break;
                }
                place = hit.start() + 1;
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
