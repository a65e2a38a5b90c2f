//! The cells of the leases that somebody may still ask about, by the number of the lease.
//!
//! They lie in pages. A page in which nothing is left is given back, so a client that held many
//! leases once does not keep room for them.

use std::sync::Arc;

use tenure_core::LeaseId;

use crate::client::cell::Cell;

/// How many cells a page has.
const PAGE: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// None where a page was given back. The last is never none.
    pages: Vec<Option<Box<Page>>>,
}

#[derive(Debug)]
struct Page {
    cells: [Option<(LeaseId, Arc<Cell>)>; PAGE],
    /// How many of them there are.
    taken: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            cells: [const { None }; PAGE],
            taken: 0,
        }
    }
}

/// The page of a lease, and its place there.
const fn place(lease: LeaseId) -> (usize, usize) {
    (lease.index() / PAGE, lease.index() % PAGE)
}

impl Cells {
    /// Adds the cell of a lease. That of an older lease with its number is forgotten.
    pub(super) fn insert(&mut self, lease: LeaseId, cell: Arc<Cell>) {
        let (number, at) = place(lease);
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_default();
        let before = page.cells[at].replace((lease, cell));
        page.taken += usize::from(before.is_none());
    }

    pub(super) fn get(&self, lease: LeaseId) -> Option<&Arc<Cell>> {
        let (number, at) = place(lease);
        let page = self.pages.get(number)?.as_deref()?;
        let (known, cell) = page.cells[at].as_ref()?;
        (*known == lease).then_some(cell)
    }

    pub(super) fn remove(&mut self, lease: LeaseId) -> Option<Arc<Cell>> {
        self.get(lease)?;
        let (number, at) = place(lease);
        let page = self.pages[number].as_deref_mut()?;
        let (_, cell) = page.cells[at].take()?;
        page.taken -= 1;
        // The first page stays, so that a client which takes and frees one lock again and again
        // does not ask for memory each time.
        if page.taken == 0 && number > 0 {
            self.pages[number] = None;
            self.give_back();
        }
        Some(cell)
    }

    fn give_back(&mut self) {
        while let Some(None) = self.pages.last() {
            self.pages.pop();
        }
        if self.pages.capacity() > 4 * self.pages.len() {
            self.pages.shrink_to(2 * self.pages.len());
        }
    }

    /// All cells, in the order of the numbers of their leases.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Cell>> {
        let pages = self.pages.iter().flatten();
        let cells = pages.flat_map(|page| page.cells.iter().flatten());
        cells.map(|(_, cell)| cell)
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::{Config, Instant, Key, LeaseOptions, Manager, Secret};

    use super::*;

    fn leases(count: usize) -> (Manager, Vec<LeaseId>) {
        let config = Config::builder(1).max_leases(count).build();
        let config = config.expect("a configuration");
        let options = Arc::new(
            LeaseOptions::builder()
                .build(&config)
                .expect("the defaults"),
        );
        let mut manager = Manager::new(config, 0);
        let ids = (0..count)
            .map(|_| acquire(&mut manager, &options))
            .collect();
        (manager, ids)
    }

    fn acquire(manager: &mut Manager, options: &Arc<LeaseOptions>) -> LeaseId {
        let (key, secret) = (Key::new(*b"k"), Secret::new([0; 16]));
        let lease = manager.acquire(Instant::ORIGIN, key, secret, Arc::clone(options));
        lease.expect("there is room")
    }

    fn cell() -> Arc<Cell> {
        Arc::new(Cell::new(Key::new(*b"k"), Instant::ORIGIN))
    }

    #[test]
    fn each_lease_has_its_own_cell_until_it_is_removed() {
        let (_, leases) = leases(3 * PAGE);
        let mut cells = Cells::default();
        let own: Vec<_> = leases.iter().map(|_| cell()).collect();
        for (lease, cell) in leases.iter().zip(&own) {
            cells.insert(*lease, Arc::clone(cell));
        }
        assert!(cells.iter().zip(&own).all(|(a, b)| Arc::ptr_eq(a, b)));
        for (lease, cell) in leases.iter().zip(&own) {
            assert!(cells.get(*lease).is_some_and(|it| Arc::ptr_eq(it, cell)));
            assert!(
                cells
                    .remove(*lease)
                    .is_some_and(|it| Arc::ptr_eq(&it, cell))
            );
            assert!(cells.get(*lease).is_none() && cells.remove(*lease).is_none());
        }
        assert_eq!(cells.iter().count(), 0);
    }

    #[test]
    fn a_lease_does_not_find_the_cell_of_a_later_one_with_its_number() {
        let (mut manager, leases) = leases(1);
        let mut cells = Cells::default();
        cells.insert(leases[0], cell());
        manager.cancel(Instant::ORIGIN, leases[0]);
        let options = LeaseOptions::builder().build(manager.config());
        let later = acquire(&mut manager, &Arc::new(options.expect("the defaults")));
        assert_eq!(later.index(), leases[0].index());
        cells.insert(later, cell());
        assert!(cells.get(leases[0]).is_none() && cells.remove(leases[0]).is_none());
        assert!(cells.remove(later).is_some());
        assert_eq!(cells.pages[0].as_ref().map(|page| page.taken), Some(0));
    }

    #[test]
    fn memory_is_given_back() {
        let (_, leases) = leases(20 * PAGE);
        let mut cells = Cells::default();
        for lease in &leases {
            cells.insert(*lease, cell());
        }
        for lease in &leases[1..] {
            cells.remove(*lease);
        }
        assert_eq!(cells.pages.iter().flatten().count(), 1);
        assert!(cells.pages.capacity() <= 4);
    }
}
