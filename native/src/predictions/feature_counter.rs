//! Values of feature columns, counted into the cells of a reference. `sidecar.derive.drift.column_bins` has the same.

use std::collections::HashMap;

use crate::predictions::features::{BOOL, MISSING, NUMBER, TEXT};

/// What is counted beside the cells, in this order.
pub const FLAGS: [&str; 5] = ["missing", "invalid", "below", "above", "unseen"];
const ABSENT: usize = 0;
const INVALID: usize = 1;
const BELOW: usize = 2;
const ABOVE: usize = 3;
const UNSEEN: usize = 4;
/// Sums of the values of the first and of the last cell.
const TAILS: usize = 2;
/// A value further from the centre, in units of sums, counts as that far.
const LARGEST: f64 = (1u64 << 40) as f64;
/// Added to a number of less than half of it, and taken away again, this rounds to the nearest whole number, half to even.
const ROUNDING: f64 = 1.5 * (1u64 << 52) as f64;
const UNKNOWN: u32 = u32::MAX;

/// A column of numbers.
pub struct NumberCells {
    /// Upper bounds of all cells but the last, ascending.
    pub edges: Vec<f64>,
    pub bin_of_cell: Vec<u8>,
    pub bins: usize,
    pub center: f64,
    /// One by the unit of sums, a power of two.
    pub scale: f64,
    pub low: f64,
    pub high: f64,
    /// Values below 0 are added up as 0, but for the tails.
    pub positive: bool,
}

/// A column of categories. Numbers and bools are categories by their text.
pub struct CategoryCells {
    pub values: HashMap<String, u32>,
    /// Those of the values that are the text of a number.
    pub numbers: Vec<(f64, u32)>,
    pub bins: usize,
    /// There were no other values in the reference.
    pub complete: bool,
}

pub enum Cells {
    Numbers(NumberCells),
    Categories(CategoryCells),
}

pub struct FeatureCounter {
    columns: Vec<Cells>,
    places: HashMap<String, usize>,
}

/// The features of some events, as `Features` has them.
pub struct FeatureColumns<'a> {
    pub event: &'a [u32],
    pub name: &'a [u32],
    pub names: &'a [&'a str],
    pub ends: &'a [u32],
    pub kind: &'a [u8],
    pub number: &'a [f64],
    pub texts: &'a [&'a str],
    /// Number of the first event, and of values before it.
    pub first: u32,
    pub begin: u32,
}

/// The values of one column in one event.
#[derive(Clone, Copy)]
struct Part {
    event: u32,
    begin: u32,
    end: u32,
}

pub struct Counts {
    /// Of each column of the counter its cells, FLAGS, tails, and the sums of its bins.
    pub counts: Vec<i64>,
    /// Values of each column of the counter.
    pub values: Vec<u64>,
    /// Event of the last one that is not missing; -1 where there is none.
    pub last: Vec<i64>,
    /// Values of each name that is no column of the counter.
    pub others: Vec<u64>,
}

impl Cells {
    fn cells(&self) -> usize {
        match self {
            Cells::Numbers(numbers) => numbers.edges.len() + 1,
            Cells::Categories(categories) => categories.values.len() + 1,
        }
    }

    fn bins(&self) -> usize {
        match self {
            Cells::Numbers(numbers) => numbers.bins,
            Cells::Categories(categories) => categories.bins,
        }
    }

    fn size(&self) -> usize {
        self.cells() + FLAGS.len() + TAILS + self.bins()
    }

    /// Counts the values of a column; the event of the last one that is not missing, -1 where there is none.
    fn count(&self, found: &FeatureColumns<'_>, parts: &[Part], own: &mut [i64]) -> Option<i64> {
        // The cell of each text, as far as it was looked up.
        let mut known = Vec::new();
        let mut last = -1;
        for part in parts {
            let values = part.begin as usize..part.end as usize;
            let (kind, number) = (found.kind.get(values.clone())?, found.number.get(values)?);
            let present = match self {
                Cells::Numbers(numbers) => numbers.count(kind, number, own),
                Cells::Categories(categories) => categories.count(kind, number, found.texts, &mut known, own)?,
            };
            if present {
                last = i64::from(part.event);
            }
        }
        Some(last)
    }
}

impl FeatureCounter {
    pub fn new(columns: Vec<(String, Cells)>) -> Self {
        let places = columns.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        FeatureCounter { columns: columns.into_iter().map(|(_, cells)| cells).collect(), places }
    }

    /// Upper bounds of the cells of the column in this place; None where there is none, or it is one of categories.
    pub fn edges(&self, place: usize) -> Option<&[f64]> {
        match self.columns.get(place)? {
            Cells::Numbers(numbers) => Some(&numbers.edges),
            Cells::Categories(_) => None,
        }
    }

    /// Counts the values of the events of which `wanted` is not 0. None where the columns contradict themselves.
    pub fn count(&self, found: &FeatureColumns<'_>, wanted: &[u8]) -> Option<Counts> {
        let places: Vec<Option<usize>> = found.names.iter().map(|name| self.places.get(*name).copied()).collect();
        let mut counts = Counts {
            counts: vec![0; self.columns.iter().map(Cells::size).sum()],
            values: vec![0; self.columns.len()],
            last: vec![-1; self.columns.len()],
            others: vec![0; found.names.len()],
        };
        // All values of one column after the other: its edges and counts are then at hand.
        let mut parts: Vec<Vec<Part>> = vec![Vec::new(); self.columns.len()];
        let mut begin = found.begin;
        for ((&event, &name), &end) in found.event.iter().zip(found.name).zip(found.ends) {
            let part = Part { event: event.checked_sub(found.first)?, begin, end };
            begin = end;
            if *wanted.get(part.event as usize)? == 0 {
                continue;
            }
            let values = u64::from(end.checked_sub(part.begin)?);
            match *places.get(name as usize)? {
                Some(place) => {
                    counts.values[place] += values;
                    parts[place].push(part);
                }
                None => counts.others[name as usize] += values,
            }
        }
        let mut rest = counts.counts.as_mut_slice();
        for ((cells, parts), last) in self.columns.iter().zip(&parts).zip(&mut counts.last) {
            let own;
            (own, rest) = rest.split_at_mut(cells.size());
            *last = cells.count(found, parts, own)?;
        }
        Some(counts)
    }
}

impl NumberCells {
    /// Whether one of the values is not missing.
    #[inline(always)]
    fn count(&self, kind: &[u8], number: &[f64], own: &mut [i64]) -> bool {
        let last = self.edges.len();
        let (cells, own) = own.split_at_mut(last + 1);
        let (flags, own) = own.split_at_mut(FLAGS.len());
        let (tails, sums) = own.split_at_mut(TAILS);
        let mut present = false;
        for (&kind, &value) in kind.iter().zip(number) {
            present |= kind != MISSING;
            if (kind != NUMBER && kind != BOOL) || !value.is_finite() {
                flags[if kind == MISSING { ABSENT } else { INVALID }] += 1;
                continue;
            }
            let cell = self.cell(value);
            cells[cell] += 1;
            flags[BELOW] += i64::from(value < self.low);
            flags[ABOVE] += i64::from(value > self.high);
            let units = self.units(value);
            sums[self.bin_of_cell[cell] as usize] += units;
            if cell == 0 {
                tails[0] += units;
            }
            if cell == last {
                tails[1] += units;
            }
            if self.positive && value < 0.0 {
                sums[self.bin_of_cell[0] as usize] += self.units(0.0) - units;
            }
        }
        present
    }

    /// How many edges are below a value.
    #[inline(always)]
    fn cell(&self, value: f64) -> usize {
        self.edges.partition_point(|edge| *edge < value)
    }

    /// Its distance from the centre, as a whole number.
    #[inline(always)]
    fn units(&self, value: f64) -> i64 {
        let units = ((value - self.center) * self.scale).clamp(-LARGEST, LARGEST);
        ((units + ROUNDING) - ROUNDING) as i64
    }
}

impl CategoryCells {
    /// Whether one of the values is not missing. `known`: the cell of each text, as far as it was looked up.
    fn count(
        &self,
        kind: &[u8],
        number: &[f64],
        texts: &[&str],
        known: &mut Vec<u32>,
        own: &mut [i64],
    ) -> Option<bool> {
        let rest = self.values.len();
        let (cells, flags) = own.split_at_mut(rest + 1);
        let mut present = false;
        for (&kind, &value) in kind.iter().zip(number) {
            present |= kind != MISSING;
            let cell = match kind {
                TEXT => {
                    let text = value as usize;
                    if known.len() < texts.len() {
                        known.resize(texts.len(), UNKNOWN);
                    }
                    let cell = known.get_mut(text)?;
                    if *cell == UNKNOWN {
                        *cell = self.named(texts[text]);
                    }
                    *cell as usize
                }
                NUMBER => self.numbers.iter().find(|(one, _)| *one == value).map_or(rest, |(_, cell)| *cell as usize),
                BOOL => self.named(if value == 0.0 { "false" } else { "true" }) as usize,
                MISSING => {
                    flags[ABSENT] += 1;
                    continue;
                }
                _ => {
                    flags[INVALID] += 1;
                    continue;
                }
            };
            cells[cell] += 1;
            flags[UNSEEN] += i64::from(cell == rest && self.complete);
        }
        Some(present)
    }

    fn named(&self, text: &str) -> u32 {
        self.values.get(text).copied().unwrap_or(self.values.len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(edges: &[f64]) -> NumberCells {
        NumberCells {
            edges: edges.to_vec(),
            bin_of_cell: vec![0; edges.len() + 1],
            bins: 1,
            center: 0.0,
            scale: 1.0,
            low: f64::MIN,
            high: f64::MAX,
            positive: false,
        }
    }

    #[test]
    fn cells_are_how_many_edges_are_below() {
        for length in 0..40 {
            let edges: Vec<f64> = (0..length).map(f64::from).collect();
            let cells = numbers(&edges);
            for twice in -3..2 * length + 3 {
                let value = f64::from(twice) / 2.0;
                assert_eq!(cells.cell(value), edges.iter().filter(|edge| **edge < value).count(), "{length} {value}");
            }
        }
    }

    #[test]
    fn units_are_rounded_half_to_even() {
        let cells = numbers(&[]);
        for (value, units) in [(0.5, 0), (1.5, 2), (-2.5, -2), (-0.7, -1), (1e300, 1 << 40), (f64::MIN, -(1 << 40))] {
            assert_eq!(cells.units(value), units, "{value}");
        }
    }

    #[test]
    fn columns_that_contradict_themselves_are_refused() {
        let counter = FeatureCounter::new(vec![("x".to_owned(), Cells::Numbers(numbers(&[0.0])))]);
        let whole = FeatureColumns {
            event: &[0],
            name: &[0],
            names: &["x"],
            ends: &[2],
            kind: &[NUMBER, MISSING],
            number: &[1.0, 0.0],
            texts: &[],
            first: 0,
            begin: 0,
        };
        let counts = counter.count(&whole, &[1]).map(|found| found.counts);
        assert_eq!(counts, Some(vec![0, 1, 1, 0, 0, 0, 0, 0, 1, 1]));
        assert!(counter.count(&whole, &[]).is_none());
        assert!(counter.count(&FeatureColumns { ends: &[3], ..whole }, &[1]).is_none());
    }
}
