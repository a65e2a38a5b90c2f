//! Where the leases of a manager are kept: numbered slots, whose memory is given back.
//!
//! The lowest free slot is taken first, and slots lie in pages. A page in which nothing is left is
//! given back, so a client that held many leases once does not keep room for them.

use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::{LeaseId, NodeId, NodeSet};
use crate::lease::{Due, Lease};
use crate::recall::PutOff;
use crate::time::Instant;

/// How many slots a page has: one for each bit of its masks.
const PAGE: usize = u64::BITS as usize;

/// The leases of a manager, by slot.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// None where a page was given back. The last is never none.
    pages: Vec<Option<Box<Page>>>,
    /// The pages with a free slot, those included that were given back.
    room: BTreeSet<usize>,
    /// The page that was emptied last. One empty page is kept, so that a client which takes and
    /// frees one lock again and again does not ask for memory each time.
    spare: Option<usize>,
    leases: usize,
    /// How many of them have each TTL.
    ttls: BTreeMap<Duration, usize>,
    /// The generation with which the slots of a new page begin. No page that was given back has
    /// used it, so no id comes twice.
    generation: u32,
}

#[derive(Debug, Default)]
struct Page {
    /// Only as many as were needed so far.
    slots: Vec<Slot>,
    /// The slots that have a lease.
    taken: u64,
    /// The slots that are in an outbox, even if their lease has ended.
    queued: u64,
    /// The slots whose lease waits for a push.
    waiting: u64,
}

/// A place for one lease at a time.
#[derive(Debug)]
struct Slot {
    generation: u32,
    lease: Option<Lease>,
    due: Option<(Instant, Due)>,
    put_off: PutOff,
    /// The nodes in whose outbox the slot is.
    queued: NodeSet,
}

/// The page of a slot, and its place there.
const fn place(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}

impl Slots {
    /// How many leases there are.
    pub(crate) const fn len(&self) -> usize {
        self.leases
    }

    /// The shortest TTL of all of them.
    pub(crate) fn shortest_ttl(&self) -> Option<Duration> {
        self.ttls.first_key_value().map(|(ttl, _)| *ttl)
    }

    /// Puts a lease into the lowest free slot.
    pub(crate) fn insert(&mut self, lease: Lease) -> LeaseId {
        let number = match self.room.first() {
            Some(page) => *page,
            None => {
                self.pages.push(None);
                self.room.insert(self.pages.len() - 1);
                self.pages.len() - 1
            }
        };
        *self.ttls.entry(lease.ttl()).or_default() += 1;
        let page = self.pages[number].get_or_insert_default();
        let at = page.taken.trailing_ones() as usize;
        if at == page.slots.len() {
            page.slots.push(Slot {
                generation: self.generation,
                lease: None,
                due: None,
                put_off: PutOff::default(),
                queued: NodeSet::EMPTY,
            });
        }
        page.slots[at].lease = Some(lease);
        page.taken |= 1 << at;
        if page.taken == u64::MAX {
            self.room.remove(&number);
        }
        self.leases += 1;
        self.id((number * PAGE + at) as u32)
    }

    /// Takes the lease out of a slot. Its id is never used again.
    pub(crate) fn remove(&mut self, slot: u32) {
        let (number, at) = place(slot);
        let page = self.page_mut(number);
        let lease = page.slots[at].lease.take();
        page.slots[at].generation = page.slots[at].generation.wrapping_add(1);
        page.taken &= !(1 << at);
        self.room.insert(number);
        self.leases -= 1;
        self.give_back(number);
        if let Some(lease) = lease
            && let Entry::Occupied(mut count) = self.ttls.entry(lease.ttl())
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Notes that a slot is in the outbox of a node now. False if it was already.
    pub(crate) fn enqueue(&mut self, slot: u32, node: NodeId) -> bool {
        let (number, at) = place(slot);
        let page = self.page_mut(number);
        let queued = &mut page.slots[at].queued;
        if queued.contains(node) {
            return false;
        }
        queued.insert(node);
        page.queued |= 1 << at;
        true
    }

    /// Notes that a slot is no longer in the outbox of a node. Returns the lease that is in it, if
    /// one is.
    pub(crate) fn dequeue(&mut self, slot: u32, node: NodeId) -> Option<LeaseId> {
        let (number, at) = place(slot);
        let id = self.id(slot);
        let page = self.page_mut(number);
        page.slots[at].queued.remove(node);
        if page.slots[at].queued.is_empty() {
            page.queued &= !(1 << at);
        }
        let taken = page.taken & 1 << at != 0;
        self.give_back(number);
        taken.then_some(id)
    }

    /// Sets what is due for a slot. Returns what was due before.
    pub(crate) fn set_due(
        &mut self,
        slot: u32,
        due: Option<(Instant, Due)>,
    ) -> Option<(Instant, Due)> {
        let (number, at) = place(slot);
        core::mem::replace(&mut self.page_mut(number).slots[at].due, due)
    }

    /// Notes whether the lease in a slot waits for a push. Returns whether it did before.
    pub(crate) fn set_waiting(&mut self, slot: u32, waiting: bool) -> bool {
        let (number, at) = place(slot);
        let page = self.page_mut(number);
        let before = page.waiting & 1 << at != 0;
        page.waiting = page.waiting & !(1 << at) | u64::from(waiting) << at;
        before
    }

    /// What the recall knows of the lease in a slot.
    pub(crate) fn put_off(&mut self, slot: u32) -> &mut PutOff {
        let (number, at) = place(slot);
        &mut self.page_mut(number).slots[at].put_off
    }

    /// The id of the lease that is in a slot, or of the next one. The slot must have a lease or be
    /// in an outbox.
    pub(crate) fn id(&self, slot: u32) -> LeaseId {
        let (number, at) = place(slot);
        let page = self.pages[number].as_deref().expect("a page in use stays");
        LeaseId {
            slot,
            generation: page.slots[at].generation,
        }
    }

    pub(crate) fn get(&self, id: LeaseId) -> Option<&Lease> {
        let (number, at) = place(id.slot);
        let slot = self.pages.get(number)?.as_deref()?.slots.get(at)?;
        slot.lease
            .as_ref()
            .filter(|_| slot.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        let (number, at) = place(id.slot);
        let page = self.pages.get_mut(number)?.as_deref_mut()?;
        let slot = page.slots.get_mut(at)?;
        slot.lease
            .as_mut()
            .filter(|_| slot.generation == id.generation)
    }

    /// The ids of all leases, each with what is due for it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LeaseId, Option<(Instant, Due)>)> {
        let pages = self.pages.iter().enumerate();
        pages
            .filter_map(|(number, page)| Some((number, page.as_deref()?)))
            .flat_map(|(number, page)| {
                let slots = page.slots.iter().enumerate();
                slots
                    .filter(|(_, slot)| slot.lease.is_some())
                    .map(move |(at, slot)| {
                        let slot_number = (number * PAGE + at) as u32;
                        let id = LeaseId {
                            slot: slot_number,
                            generation: slot.generation,
                        };
                        (id, slot.due)
                    })
            })
    }

    /// The first lease in this slot or a later one.
    pub(crate) fn from(&self, slot: u32) -> Option<LeaseId> {
        let (first, at) = place(slot);
        let pages = self.pages.iter().enumerate().skip(first);
        pages
            .filter_map(|(number, page)| Some((number, page.as_deref()?)))
            .find_map(|(number, page)| {
                let before = if number == first { (1 << at) - 1 } else { 0 };
                let taken = page.taken & !before;
                let at = taken.trailing_zeros() as usize;
                (taken != 0).then(|| self.id((number * PAGE + at) as u32))
            })
    }

    /// For how many leases there is memory now.
    pub(crate) fn capacity(&self) -> usize {
        let pages = self.pages.iter().flatten();
        pages.map(|page| page.slots.capacity()).sum()
    }

    fn page_mut(&mut self, number: usize) -> &mut Page {
        self.pages[number]
            .as_deref_mut()
            .expect("a page in use stays")
    }

    /// Gives a page back if nothing is left in it, but for one such page, the lowest.
    fn give_back(&mut self, number: usize) {
        if !self.is_empty(number) {
            return;
        }
        let other = self.spare.filter(|spare| self.is_empty(*spare));
        let higher = other.map_or(number, |spare| spare.max(number));
        let lower = other.map_or(number, |spare| spare.min(number));
        self.spare = Some(lower);
        if higher == lower {
            return;
        }
        if let Some(page) = self.pages[higher].take() {
            let used = page.slots.iter().map(|slot| slot.generation).max();
            self.generation = self.generation.max(used.unwrap_or(0));
        }
        while let Some(None) = self.pages.last() {
            self.pages.pop();
            self.room.remove(&self.pages.len());
        }
        if self.pages.capacity() > 4 * self.pages.len() {
            self.pages.shrink_to(2 * self.pages.len());
        }
    }

    /// Whether a page is there, and nothing is in it.
    fn is_empty(&self, number: usize) -> bool {
        let page = self.pages.get(number).and_then(Option::as_deref);
        page.is_some_and(|page| page.taken | page.queued == 0)
    }
}
