//! A column of numbers: which cell a value belongs to, and sums of the values of bins.

use std::hint::select_unpredictable;

/// Sums of the values of the first and of the last cell.
pub const TAILS: usize = 2;
/// A value further from the centre, in units of sums, counts as that far.
const LARGEST: f64 = (1u64 << 40) as f64;
/// Added to a number of less than half of it, and taken away again, this rounds to the nearest whole number, half to even.
const ROUNDING: f64 = 1.5 * (1u64 << 52) as f64;
/// Values that are looked up one after the other, so that the searches do not wait for each other, nor for what is counted.
pub const TOGETHER: usize = 32;

pub struct NumberCells {
    /// Upper bounds of all cells but the last, ascending, as `key` has them.
    edges: Vec<i64>,
    bin_of_cell: Vec<u8>,
    bins: usize,
    scale: Scale,
    low: f64,
    high: f64,
}

/// What sums are reckoned in.
pub struct Scale {
    pub center: f64,
    /// One by the unit of sums, a power of two.
    pub by_unit: f64,
    /// Values below 0 are added up as 0, but for the tails.
    pub positive: bool,
}

/// What some values of a column are.
#[derive(Default)]
pub struct NumberCounts {
    /// Values, and sum of the values, of each cell.
    cells: Vec<[i64; 2]>,
    pub below: i64,
    pub above: i64,
    /// What the values below 0 lack, where they are added up as 0.
    lacking: i64,
}

/// Whole numbers that are ascending as doubles are: the searches compare these, in half the time. 0.0 and -0.0 have the same.
#[inline(always)]
fn key(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// The double of a key.
fn value(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63) as u64 >> 1) as i64) as u64)
}

impl NumberCells {
    /// `edges`: upper bounds of all cells but the last, ascending; `range`: values outside of it are flagged. None where there
    /// is not one bin for each cell.
    pub fn new(edges: &[f64], bin_of_cell: Vec<u8>, scale: Scale, range: (f64, f64)) -> Option<Self> {
        let bins = 1 + usize::from(*bin_of_cell.iter().max()?);
        let edges: Vec<i64> = edges.iter().copied().map(key).collect();
        let (low, high) = range;
        (bin_of_cell.len() == edges.len() + 1).then_some(NumberCells { edges, bin_of_cell, bins, scale, low, high })
    }

    pub fn cells(&self) -> usize {
        self.bin_of_cell.len()
    }

    pub fn bins(&self) -> usize {
        self.bins
    }

    pub fn edges(&self) -> impl Iterator<Item = f64> + '_ {
        self.edges.iter().copied().map(value)
    }

    /// Counts finite values.
    pub fn count(&self, values: &[f64], counts: &mut NumberCounts) {
        let mut cells = [0; TOGETHER];
        for values in values.chunks(TOGETHER) {
            self.look_up(values, &mut cells);
            for (cell, value) in cells.iter().zip(values) {
                let [rows, sum] = &mut counts.cells[*cell as usize];
                *rows += 1;
                *sum += self.scale.units(*value);
            }
            counts.below += values.iter().filter(|value| **value < self.low).count() as i64;
            counts.above += values.iter().filter(|value| **value > self.high).count() as i64;
            if self.scale.positive {
                counts.lacking += values.iter().map(|value| self.scale.lacking(*value)).sum::<i64>();
            }
        }
    }

    /// How many edges are below each value: so many steps for each, without a branch. The first one chooses between as many
    /// edges from the beginning and from the end, one less than a power of two.
    fn look_up(&self, values: &[f64], cells: &mut [u32; TOGETHER]) {
        match self.edges.len() {
            0 => cells.fill(0),
            1..3 => self.ranks::<1>(values, cells),
            3..7 => self.ranks::<3>(values, cells),
            7..15 => self.ranks::<7>(values, cells),
            15..31 => self.ranks::<15>(values, cells),
            31..63 => self.ranks::<31>(values, cells),
            63..127 => self.ranks::<63>(values, cells),
            127..255 => self.ranks::<127>(values, cells),
            _ => {
                for (cell, value) in cells.iter_mut().zip(values) {
                    let value = key(*value);
                    *cell = self.edges.partition_point(|edge| *edge < value) as u32;
                }
            }
        }
    }

    #[inline(always)]
    fn ranks<const N: usize>(&self, values: &[f64], cells: &mut [u32; TOGETHER]) {
        let (Some(first), Some(last)) = (self.edges.first_chunk::<N>(), self.edges.last_chunk::<N>()) else { return };
        let before = self.edges.len() - N;
        let middle = self.edges.get(N).copied().unwrap_or(i64::MAX);
        for (cell, value) in cells.iter_mut().zip(values) {
            let value = key(*value);
            let is_behind = middle < value;
            let edges = select_unpredictable(is_behind, last, first);
            *cell = (select_unpredictable(is_behind, before, 0) + rank(edges, value)) as u32;
        }
    }
}

/// How many of so many edges, one less than a power of two, are below a value.
#[inline(always)]
fn rank<const N: usize>(edges: &[i64; N], value: i64) -> usize {
    let mut rank = 0;
    let mut half = N.div_ceil(2);
    while half > 0 {
        rank = select_unpredictable(edges[rank | (half - 1)] < value, rank | half, rank);
        half /= 2;
    }
    rank
}

impl Scale {
    /// The distance of a value from the centre, as a whole number.
    #[inline(always)]
    fn units(&self, value: f64) -> i64 {
        let units = ((value - self.center) * self.by_unit).clamp(-LARGEST, LARGEST);
        ((units + ROUNDING) - ROUNDING) as i64
    }

    #[inline(always)]
    fn lacking(&self, value: f64) -> i64 {
        if value < 0.0 {
            self.units(0.0) - self.units(value)
        } else {
            0
        }
    }
}

impl NumberCounts {
    /// For a column.
    pub fn begin(&mut self, column: &NumberCells) {
        self.cells.clear();
        self.cells.resize(column.cells(), [0; 2]);
        (self.below, self.above, self.lacking) = (0, 0, 0);
    }

    /// Rows of each cell, and sums of tails and of bins.
    pub fn add_to(&self, column: &NumberCells, cells: &mut [i64], tails: &mut [i64], sums: &mut [i64]) {
        for ((own, [rows, sum]), bin) in cells.iter_mut().zip(&self.cells).zip(&column.bin_of_cell) {
            *own += rows;
            sums[usize::from(*bin)] += sum;
        }
        sums[usize::from(column.bin_of_cell[0])] += self.lacking;
        tails[0] += self.cells.first().map_or(0, |[_, sum]| *sum);
        tails[1] += self.cells.last().map_or(0, |[_, sum]| *sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(edges: &[f64]) -> NumberCells {
        let scale = Scale { center: 0.0, by_unit: 1.0, positive: false };
        NumberCells::new(edges, vec![0; edges.len() + 1], scale, (f64::MIN, f64::MAX)).expect("as many bins as cells")
    }

    #[test]
    fn cells_are_how_many_edges_are_below() {
        for length in (0..40).chain([61, 62, 63, 64, 126, 127, 128, 150, 254, 255, 256, 300]) {
            let edges: Vec<f64> = (0..length).map(|edge| f64::from(edge) - 7.0).collect();
            let values: Vec<f64> = (-20..2 * length + 3).map(|twice| f64::from(twice) / 2.0).collect();
            let column = numbers(&edges);
            let mut counts = NumberCounts::default();
            counts.begin(&column);
            column.count(&values, &mut counts);
            let mut expected = vec![0; edges.len() + 1];
            for value in &values {
                expected[edges.iter().filter(|edge| *edge < value).count()] += 1;
            }
            assert_eq!(counts.cells.iter().map(|[rows, _]| *rows).collect::<Vec<_>>(), expected, "{length}");
        }
    }

    #[test]
    fn keys_are_ascending_as_doubles_are() {
        let ascending =
            [f64::MIN, -1.0, -f64::MIN_POSITIVE, -5e-324, 0.0, 5e-324, f64::MIN_POSITIVE, 1.0, f64::MAX, f64::INFINITY];
        for pair in ascending.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
        }
        for one in ascending {
            assert_eq!(value(key(one)), one);
        }
        assert_eq!(key(-0.0), key(0.0));
    }

    #[test]
    fn units_are_rounded_half_to_even() {
        let scale = Scale { center: 0.0, by_unit: 1.0, positive: false };
        for (value, units) in [(0.5, 0), (1.5, 2), (-2.5, -2), (-0.7, -1), (1e300, 1 << 40), (f64::MIN, -(1 << 40))] {
            assert_eq!(scale.units(value), units, "{value}");
        }
    }
}
