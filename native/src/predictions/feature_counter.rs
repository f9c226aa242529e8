//! Values of feature columns, counted into the cells of a reference. `sidecar.derive.drift.column_bins` has the same.

use std::collections::HashMap;

use crate::predictions::feature_blocks::Blocks;
use crate::predictions::features::{BOOL, MISSING, NUMBER, TEXT};
use crate::predictions::number_cells::{NumberCells, NumberCounts, TAILS, TOGETHER};

/// What is counted beside the cells, in this order.
pub const FLAGS: [&str; 5] = ["missing", "invalid", "below", "above", "unseen"];
const ABSENT: usize = 0;
const INVALID: usize = 1;
const BELOW: usize = 2;
const ABOVE: usize = 3;
const UNSEEN: usize = 4;
const UNKNOWN: u32 = u32::MAX;

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

/// The features of the events from `first` to before `last`, as `Features` has them.
pub struct FeatureColumns<'a> {
    pub blocks: &'a Blocks,
    pub names: &'a [&'a str],
    pub kind: &'a [u8],
    pub number: &'a [f64],
    pub texts: &'a [&'a str],
    pub first: u32,
    pub last: u32,
}

/// The values of one column in events one after the other.
#[derive(Clone, Copy)]
struct Part {
    /// The first one, and where its values begin.
    event: u32,
    begin: usize,
    events: u32,
    /// Values of each event, one at least.
    rows: u32,
    /// Values from an event's to those of the next.
    stride: usize,
}

impl Part {
    /// All of its values. None where there are not so many.
    #[inline(always)]
    fn each(self, kind: &[u8], number: &[f64], mut found: impl FnMut(u8, f64)) -> Option<()> {
        let rows = self.rows as usize;
        let values = self.begin..self.begin + (self.events as usize - 1) * self.stride + rows;
        let (kind, number) = (kind.get(values.clone())?, number.get(values)?);
        if rows == 1 {
            kind.iter()
                .step_by(self.stride)
                .zip(number.iter().step_by(self.stride))
                .for_each(|(kind, number)| found(*kind, *number));
            return Some(());
        }
        for (kind, number) in kind.chunks(self.stride).zip(number.chunks(self.stride)) {
            kind.iter().zip(number).take(rows).for_each(|(kind, number)| found(*kind, *number));
        }
        Some(())
    }

    /// The last event with a value that is not missing.
    fn last_present(self, kind: &[u8]) -> Option<u32> {
        let rows = self.rows as usize;
        let present = |event: &u32| {
            let begin = self.begin + *event as usize * self.stride;
            kind.get(begin..begin + rows).is_some_and(|own| own.iter().any(|kind| *kind != MISSING))
        };
        (0..self.events).rev().find(present).map(|event| self.event + event)
    }
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
            Cells::Numbers(numbers) => numbers.cells(),
            Cells::Categories(categories) => categories.values.len() + 1,
        }
    }

    fn bins(&self) -> usize {
        match self {
            Cells::Numbers(numbers) => numbers.bins(),
            Cells::Categories(categories) => categories.bins,
        }
    }

    fn size(&self) -> usize {
        self.cells() + FLAGS.len() + TAILS + self.bins()
    }
}

impl FeatureCounter {
    pub fn new(columns: Vec<(String, Cells)>) -> Self {
        let places = columns.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        FeatureCounter { columns: columns.into_iter().map(|(_, cells)| cells).collect(), places }
    }

    /// Upper bounds of the cells of the column in this place; None where there is none, or it is one of categories.
    pub fn edges(&self, place: usize) -> Option<Vec<f64>> {
        match self.columns.get(place)? {
            Cells::Numbers(numbers) => Some(numbers.edges().collect()),
            Cells::Categories(_) => None,
        }
    }

    /// Counts the values of the events of which `wanted` is not 0. None where the columns contradict themselves.
    pub fn count(&self, found: &FeatureColumns<'_>, wanted: &[u8]) -> Option<Counts> {
        let mut counts = Counts {
            counts: vec![0; self.columns.iter().map(Cells::size).sum()],
            values: vec![0; self.columns.len()],
            last: vec![-1; self.columns.len()],
            others: vec![0; found.names.len()],
        };
        // All values of one column after the other: its edges and counts are then at hand.
        let parts = self.parts(found, wanted, &mut counts)?;
        let mut rest = counts.counts.as_mut_slice();
        let mut numbers = NumberCounts::default();
        for ((cells, parts), last) in self.columns.iter().zip(&parts).zip(&mut counts.last) {
            let own;
            (own, rest) = rest.split_at_mut(cells.size());
            match cells {
                Cells::Numbers(column) => count_numbers(column, found, parts, &mut numbers, own)?,
                Cells::Categories(categories) => categories.count(found, parts, own)?,
            }
            *last = parts.iter().rev().find_map(|part| part.last_present(found.kind)).map_or(-1, i64::from);
        }
        Some(counts)
    }

    /// Where the values of each column are.
    fn parts(&self, found: &FeatureColumns<'_>, wanted: &[u8], counts: &mut Counts) -> Option<Vec<Vec<Part>>> {
        let places: Vec<Option<usize>> = found.names.iter().map(|name| self.places.get(*name).copied()).collect();
        let mut parts: Vec<Vec<Part>> = vec![Vec::new(); self.columns.len()];
        for block in found.blocks.between(found.first, found.last) {
            let stride = block.values();
            let mut event = block.event - found.first;
            let mut first = block.begin;
            let own = event as usize..(event + block.events) as usize;
            for same in wanted.get(own)?.chunk_by(|a, b| (*a == 0) == (*b == 0)) {
                let events = same.len() as u32;
                let values = u64::from(events) * u64::from(block.rows);
                let names = if same[0] == 0 { &[] } else { found.blocks.names(&block) };
                for (column, &name) in names.iter().enumerate() {
                    let begin = first + column * block.rows as usize;
                    match *places.get(name as usize)? {
                        Some(place) if values > 0 => {
                            counts.values[place] += values;
                            parts[place].push(Part { event, begin, events, rows: block.rows, stride });
                        }
                        Some(_) => {}
                        None => counts.others[name as usize] += values,
                    }
                }
                event += events;
                first += same.len() * stride;
            }
        }
        Some(parts)
    }
}

/// Counts the values of a column of numbers. `numbers`: to be used again.
fn count_numbers(
    column: &NumberCells,
    found: &FeatureColumns<'_>,
    parts: &[Part],
    numbers: &mut NumberCounts,
    own: &mut [i64],
) -> Option<()> {
    let (cells, own) = own.split_at_mut(column.cells());
    let (flags, own) = own.split_at_mut(FLAGS.len());
    let (tails, sums) = own.split_at_mut(TAILS);
    numbers.begin(column);
    let (mut values, mut held) = ([0.0; TOGETHER], 0);
    for part in parts {
        part.each(found.kind, found.number, |kind, value| {
            if (kind != NUMBER && kind != BOOL) || !value.is_finite() {
                flags[if kind == MISSING { ABSENT } else { INVALID }] += 1;
                return;
            }
            values[held % TOGETHER] = value;
            held += 1;
            if held == TOGETHER {
                column.count(&values, numbers);
                held = 0;
            }
        })?;
    }
    column.count(&values[..held], numbers);
    numbers.add_to(column, cells, tails, sums);
    flags[BELOW] += numbers.below;
    flags[ABOVE] += numbers.above;
    Some(())
}

impl CategoryCells {
    fn count(&self, found: &FeatureColumns<'_>, parts: &[Part], own: &mut [i64]) -> Option<()> {
        let rest = self.values.len();
        let (cells, flags) = own.split_at_mut(rest + 1);
        // The cell of each text, as far as it was looked up.
        let mut known = Vec::new();
        let mut no_text = false;
        for part in parts {
            part.each(found.kind, found.number, |kind, value| {
                let cell = match kind {
                    TEXT => match self.of_text(value as usize, found.texts, &mut known) {
                        Some(cell) => cell as usize,
                        None => {
                            no_text = true;
                            return;
                        }
                    },
                    NUMBER => {
                        self.numbers.iter().find(|(one, _)| *one == value).map_or(rest, |(_, cell)| *cell as usize)
                    }
                    BOOL => self.named(if value == 0.0 { "false" } else { "true" }) as usize,
                    _ => {
                        flags[if kind == MISSING { ABSENT } else { INVALID }] += 1;
                        return;
                    }
                };
                cells[cell] += 1;
                flags[UNSEEN] += i64::from(cell == rest && self.complete);
            })?;
        }
        (!no_text).then_some(())
    }

    /// `known`: the cell of each text, as far as it was looked up. None where there is no such text.
    #[inline(always)]
    fn of_text(&self, text: usize, texts: &[&str], known: &mut Vec<u32>) -> Option<u32> {
        if known.len() < texts.len() {
            known.resize(texts.len(), UNKNOWN);
        }
        let cell = known.get_mut(text)?;
        if *cell == UNKNOWN {
            *cell = self.named(texts[text]);
        }
        Some(*cell)
    }

    fn named(&self, text: &str) -> u32 {
        self.values.get(text).copied().unwrap_or(self.values.len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictions::number_cells::Scale;

    fn counter() -> FeatureCounter {
        let scale = Scale { center: 0.0, by_unit: 1.0, positive: false };
        let numbers = NumberCells::new(&[0.0], vec![0; 2], scale, (f64::MIN, f64::MAX)).map(Cells::Numbers);
        FeatureCounter::new(vec![("x".to_owned(), numbers.expect("a bin for each cell"))])
    }

    fn blocks(columns: &[(u32, u32, u32)]) -> Blocks {
        let (mut blocks, mut begin) = (Blocks::default(), 0);
        for &(event, name, rows) in columns {
            blocks.push(event, &[name], rows, begin);
            begin += rows as usize;
        }
        blocks
    }

    #[test]
    fn columns_that_contradict_themselves_are_refused() {
        let (one, two, other) = (blocks(&[(0, 0, 2)]), blocks(&[(0, 0, 3)]), blocks(&[(0, 1, 2)]));
        let whole = FeatureColumns {
            blocks: &one,
            names: &["x"],
            kind: &[NUMBER, MISSING],
            number: &[1.0, 0.0],
            texts: &[],
            first: 0,
            last: 1,
        };
        let counts = counter().count(&whole, &[1]).map(|found| found.counts);
        assert_eq!(counts, Some(vec![0, 1, 1, 0, 0, 0, 0, 0, 1, 1]));
        assert!(counter().count(&whole, &[]).is_none());
        assert!(counter().count(&FeatureColumns { blocks: &two, ..whole }, &[1]).is_none());
        assert!(counter().count(&FeatureColumns { blocks: &other, ..whole }, &[1]).is_none());
    }

    #[test]
    fn only_wanted_events_are_counted() {
        let kind: Vec<u8> = [[NUMBER, NUMBER]; 40].concat();
        let number: Vec<f64> = (0..80).map(f64::from).collect();
        let mut every = Blocks::default();
        for event in 0..40 {
            every.push(event, &[0, 1], 1, 2 * event as usize);
        }
        let found = FeatureColumns {
            blocks: &every,
            names: &["x", "other"],
            kind: &kind,
            number: &number,
            texts: &[],
            first: 1,
            last: 40,
        };
        let wanted: Vec<u8> = (1..40).map(|event| u8::from(event % 3 != 0)).collect();
        let counts = counter().count(&found, &wanted).expect("columns are whole");
        let sum: i64 = (1..40).filter(|event| event % 3 != 0).map(|event| 2 * event).sum();
        assert_eq!(counts.counts, [0, 26, 0, 0, 0, 0, 0, 0, sum, sum]);
        assert_eq!((counts.values, counts.last, counts.others), (vec![26], vec![37], vec![0, 26]));
    }
}
