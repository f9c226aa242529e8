//! Which attributes of records become columns.

use crate::documents::text::repair;
use crate::otlp::value::{same, Any, Attribute};

const REPLACEMENT: &str = "\u{fffd}";

/// The attributes that become columns of a group, and behind them those that are wanted as numbers.
pub struct Wanted {
    names: Vec<String>,
    /// How many of the names make the group.
    pub grouping: usize,
    /// Which of those make none of a double.
    measures: Vec<usize>,
}

impl Wanted {
    pub fn new(dimensions: Vec<String>, numbers: Vec<String>, measures: &[String]) -> Self {
        let grouping = dimensions.len();
        let measures = (0..grouping).filter(|&place| measures.contains(&dimensions[place])).collect();
        Wanted { names: dimensions.into_iter().chain(numbers).collect(), grouping, measures }
    }
}

pub struct Dimensions<'d> {
    pub names: &'d [String],
    pub wanted: &'d Wanted,
    /// Bit n: a name has n bytes modulo 64.
    lengths: u64,
    /// A name that only a key with broken UTF-8 may have, once repaired.
    unclean: bool,
}

impl<'d> Dimensions<'d> {
    pub fn new(wanted: &'d Wanted) -> Self {
        let names = wanted.names.as_slice();
        Dimensions {
            names,
            wanted,
            lengths: names.iter().fold(0, |bits, name| bits | 1 << (name.len() % 64)),
            unclean: names.iter().any(|name| name.contains(REPLACEMENT)),
        }
    }

    /// The first attribute of each name.
    #[inline(always)]
    pub fn pick<'a>(&self, attributes: &[Attribute<'a>], found: &mut Vec<Option<Any<'a>>>) {
        found.clear();
        found.resize(self.names.len(), None);
        for attribute in attributes {
            if self.unclean {
                self.assign(repair(attribute.key).as_bytes(), attribute.value, found);
            } else if self.lengths >> (attribute.key.len() % 64) & 1 == 1 {
                self.assign(attribute.key, attribute.value, found);
            }
        }
    }

    /// Doubles of measures are no part of a group.
    #[inline(always)]
    pub fn leave_doubles(&self, own: &mut [Option<Any<'_>>]) {
        for &place in &self.wanted.measures {
            if let Some(Any::Double(_)) = own[place] {
                own[place] = Some(Any::Empty);
            }
        }
    }

    #[inline(always)]
    fn assign<'a>(&self, key: &[u8], value: Any<'a>, found: &mut [Option<Any<'a>>]) {
        for (name, slot) in self.names.iter().zip(found) {
            if slot.is_none() && same(name.as_bytes(), key) {
                *slot = Some(value);
            }
        }
    }
}
