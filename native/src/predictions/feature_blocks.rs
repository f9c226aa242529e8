//! Which feature columns there are of which events, said once for all events that have the same ones.

/// Columns of events one after the other: the same names, and as many values in each column. Values stand event by event,
/// within it column by column. An event whose columns are not all as long has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first one.
    pub event: u32,
    pub events: u32,
    /// Values of each column.
    pub rows: u32,
    /// Where the first value is.
    pub begin: usize,
    /// Where their names are.
    names: usize,
    pub columns: usize,
}

#[derive(Default)]
pub struct Blocks {
    list: Vec<Block>,
    names: Vec<u32>,
}

impl Block {
    /// Values of each event.
    pub fn values(&self) -> usize {
        self.columns * self.rows as usize
    }

    pub fn end(&self) -> usize {
        self.begin + self.events as usize * self.values()
    }

    /// Its part of the events from `first` to before `last`.
    fn within(self, first: u32, last: u32) -> Self {
        let event = self.event.max(first);
        let end = (self.event + self.events).min(last);
        let begin = self.begin + (event - self.event) as usize * self.values();
        Block { event, events: end.saturating_sub(event), begin, ..self }
    }
}

impl Blocks {
    /// Columns of these names that follow those before; all have as many values, of which the first is at `begin`.
    #[inline]
    pub fn push(&mut self, event: u32, names: &[u32], rows: u32, begin: usize) {
        if let Some(last) = self.list.last_mut() {
            let same = last.event + last.events == event && last.rows == rows && last.end() == begin;
            if same && self.names[last.names..][..last.columns] == *names {
                last.events += 1;
                return;
            }
        }
        let at = self.place(names);
        self.list.push(Block { event, events: 1, rows, begin, names: at, columns: names.len() });
    }

    /// Where these names are, mostly as of the block before.
    fn place(&mut self, names: &[u32]) -> usize {
        if let Some(last) = self.list.last().filter(|last| self.names[last.names..].starts_with(names)) {
            return last.names;
        }
        self.names.extend_from_slice(names);
        self.names.len() - names.len()
    }

    pub fn names(&self, block: &Block) -> &[u32] {
        &self.names[block.names..block.names + block.columns]
    }

    /// Those of the events from `first` to before `last`.
    pub fn between(&self, first: u32, last: u32) -> impl Iterator<Item = Block> + '_ {
        let from = self.list.partition_point(|block| block.event + block.events <= first);
        let own = self.list[from..].iter().take_while(move |block| block.event < last);
        own.map(move |block| block.within(first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(blocks: &Blocks, first: u32, last: u32) -> Vec<(u32, u32, u32, usize, Vec<u32>)> {
        let own = blocks.between(first, last);
        own.map(|block| (block.event, block.events, block.rows, block.begin, blocks.names(&block).to_vec())).collect()
    }

    #[test]
    fn events_with_the_same_columns_are_one_block() {
        let mut blocks = Blocks::default();
        for (event, begin) in [(0, 0), (1, 2), (2, 4), (4, 6)] {
            blocks.push(event, &[5, 7], 1, begin);
        }
        blocks.push(5, &[5, 7], 3, 8);
        blocks.push(5, &[9], 0, 14);
        blocks.push(6, &[9], 0, 14);
        assert_eq!(blocks.names, [5, 7, 9]);
        let every =
            [(0, 3, 1, 0, vec![5, 7]), (4, 1, 1, 6, vec![5, 7]), (5, 1, 3, 8, vec![5, 7]), (5, 2, 0, 14, vec![9])];
        assert_eq!(found(&blocks, 0, 9), every);
        assert_eq!(found(&blocks, 1, 2), [(1, 1, 1, 2, vec![5, 7])]);
        assert_eq!(found(&blocks, 2, 6)[0], (2, 1, 1, 4, vec![5, 7]));
        assert_eq!(found(&blocks, 6, 7), [(6, 1, 0, 14, vec![9])]);
        assert_eq!(found(&blocks, 3, 4), []);
    }
}
