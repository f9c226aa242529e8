//! Documents as they are handed over.

use std::cell::Cell;

/// Line pairs, where each ends, which are events, and how many each payload gave.
#[derive(Default)]
pub struct Lines {
    pub body: Vec<u8>,
    pub ends: Vec<u32>,
    pub event: Vec<u8>,
    pub docs: Vec<usize>,
}

/// Memory of the last body that a thread wrote, kept up to this size: fresh pages cost more than the writing.
const KEPT_BYTES: usize = 8 << 20;

thread_local! {
    static BODY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Lines {
    /// In the memory of the thread's last call.
    pub fn new() -> Self {
        Lines { body: BODY.take(), ..Lines::default() }
    }

    /// Leaves so many documents, the first ones.
    pub fn truncate(&mut self, documents: usize) {
        self.ends.truncate(documents);
        self.event.truncate(documents);
        self.body.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }

    /// Gives the body's memory to the thread's next call.
    pub fn recycle(self) {
        let mut body = self.body;
        body.clear();
        body.shrink_to(KEPT_BYTES);
        BODY.set(body);
    }
}
