//! What was made of the messages that came last: log lines of several services come in turns, each with a resource and a
//! scope of its own.

use std::ops::{Index, IndexMut};

const MOST: usize = 8;

pub struct Recent<T> {
    items: Vec<T>,
    /// The place that the next new one takes once there are many.
    replaced: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { items: Vec::new(), replaced: 0 }
    }
}

impl<T: Default> Recent<T> {
    /// The place of the one that it is.
    #[inline(always)]
    pub fn find(&self, is: impl Fn(&T) -> bool) -> Option<usize> {
        self.items.iter().position(is)
    }

    /// The place for a new one, which may have one before in it.
    pub fn room(&mut self) -> usize {
        if self.items.len() < MOST {
            self.items.push(T::default());
            return self.items.len() - 1;
        }
        let place = self.replaced;
        self.replaced = (place + 1) % MOST;
        place
    }
}

impl<T> Index<usize> for Recent<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, place: usize) -> &T {
        &self.items[place]
    }
}

impl<T> IndexMut<usize> for Recent<T> {
    #[inline(always)]
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut self.items[place]
    }
}
