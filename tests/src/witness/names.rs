//! The leases, by the labels in their tokens.
//!
//! The application numbers what it asks for and writes the number into the label. A call of `lock`
//! may begin a second lease inside, if the first was over before its task ran: that one has the
//! same label and another secret, and is told as a lease of its own.

use std::collections::BTreeMap;

use tenure_core::OpKind;

use tenure_sim::observe::fact::{Nanos, Record};

use super::wire::Asked;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By label: what is known of the newest lease with it.
    current: Vec<Current>,
    /// By label and secret, as they stand in a token.
    leases: BTreeMap<Vec<u8>, u32>,
    /// The serial of the next request of a lease.
    serials: Vec<u32>,
    /// What was sent last: by lease, node and request.
    sent: BTreeMap<(u32, u8, OpKind), u32>,
    /// The same of requests that keep a place: by lease and by the number that they have there.
    keeping: BTreeMap<(u32, Vec<u8>), u32>,
    /// The leases and their keys, by the names of their places.
    places: BTreeMap<Vec<u8>, (u32, u8)>,
}

#[derive(Debug, Default)]
struct Current {
    lease: u32,
    ttl: Nanos,
    /// A request with its token was sent.
    named: bool,
    granted: bool,
    /// What happened to it before its grant was told. It is told after the grant.
    early: Vec<Record>,
}

/// What a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) lease: u32,
    pub(super) attempt: u32,
    /// The earlier lease of the same label, which is over.
    pub(super) instead_of: Option<u32>,
    pub(super) ttl: Nanos,
}

impl Names {
    /// The label of a new lease with this TTL, by number.
    pub(super) fn begin(&mut self, ttl: Nanos) -> u32 {
        let lease = self.new_lease();
        self.current.push(Current {
            lease,
            ttl,
            ..Current::default()
        });
        u32::try_from(self.current.len() - 1).expect("fewer leases than that")
    }

    /// The lease that a label stands for now.
    pub(super) fn lease(&self, label: u32) -> u32 {
        self.current[label as usize].lease
    }

    /// The lease of a token, if it is known.
    pub(super) fn lease_of(&self, token: &[u8]) -> Option<u32> {
        self.leases.get(split(token)?.0).copied()
    }

    /// The lease of a token that is sent.
    pub(super) fn name(&mut self, token: &[u8]) -> Option<Named> {
        let (lease, attempt) = split(token)?;
        let label = label_of(lease)?;
        let current = self.current.get(label as usize)?;
        let ttl = current.ttl;
        if let Some(lease) = self.leases.get(lease) {
            return Some(Named {
                lease: *lease,
                attempt,
                instead_of: None,
                ttl,
            });
        }
        let instead_of = current.named.then_some(current.lease);
        let number = match instead_of {
            Some(_) => self.new_lease(),
            None => current.lease,
        };
        self.leases.insert(lease.to_vec(), number);
        self.current[label as usize] = Current {
            lease: number,
            ttl,
            named: true,
            ..Current::default()
        };
        Some(Named {
            lease: number,
            attempt,
            instead_of,
            ttl,
        })
    }

    fn new_lease(&mut self) -> u32 {
        self.serials.push(0);
        u32::try_from(self.serials.len() - 1).expect("fewer leases than that")
    }

    /// Numbers a request that is sent.
    pub(super) fn send(&mut self, lease: u32, node: u8, ask: OpKind) -> u32 {
        let serial = &mut self.serials[lease as usize];
        *serial += 1;
        self.sent.insert((lease, node, ask), *serial - 1);
        *serial - 1
    }

    /// Takes note of what a request that was just sent says of the place of its lease.
    pub(super) fn keep(&mut self, (lease, key): (u32, u8), serial: u32, asked: &Asked<'_>) {
        if let Some(number) = asked.serial {
            self.keeping.insert((lease, number.to_vec()), serial);
        }
        if let Some(place) = asked.place.and_then(Place::read) {
            self.places.insert(place.name.to_vec(), (lease, key));
        }
    }

    /// The serial of the request that keeps a place with this number.
    pub(super) fn kept(&self, lease: u32, number: &[u8]) -> Option<u32> {
        self.keeping.get(&(lease, number.to_vec())).copied()
    }

    /// The lease whose place has this name, and its key.
    pub(super) fn lease_at(&self, place: &[u8]) -> Option<(u32, u8)> {
        self.places.get(place).copied()
    }

    /// The serial of the last such request. An older one of the same kind that is executed late is
    /// taken for this one, which asks for the same.
    pub(super) fn sent(&self, lease: u32, node: u8, ask: OpKind) -> u32 {
        self.sent
            .get(&(lease, node, ask))
            .copied()
            .unwrap_or_default()
    }

    /// The grant of a label is told now. Gives what was kept back until then.
    pub(super) fn granted(&mut self, label: u32) -> Vec<Record> {
        let current = &mut self.current[label as usize];
        current.granted = true;
        std::mem::take(&mut current.early)
    }

    /// Keeps back a renewal of a lease whose grant the application has not heard of yet, since its
    /// task had no turn. Gives it back otherwise.
    pub(super) fn keep_back(&mut self, token: &[u8], record: Record) -> Option<Record> {
        let current = split(token)
            .and_then(|(lease, _)| label_of(lease))
            .and_then(|label| self.current.get_mut(label as usize));
        match current {
            Some(current) if !current.granted && Some(current.lease) == record.lease => {
                current.early.push(record);
                None
            }
            _ => Some(record),
        }
    }
}

/// The member of a queue that has the order of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) name: &'a [u8],
    pub(super) token: &'a [u8],
    pub(super) channel: &'a [u8],
}

impl<'a> Place<'a> {
    /// None if it is no such member: the other one of a place, or none at all.
    pub(super) fn read(member: &'a [u8]) -> Option<Self> {
        let rest = member.strip_prefix(b"Ax")?;
        let (name, rest) = rest.split_at_checked(16)?;
        let (length, rest) = rest.split_at_checked(3)?;
        let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
        let (token, channel) = rest.split_at_checked(length)?;
        Some(Self {
            name,
            token,
            channel,
        })
    }
}

/// The text of a label.
pub(super) fn label(label: u32) -> String {
    format!("lease-{label}")
}

fn label_of(lease: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(lease).ok()?;
    let (label, _) = text.rsplit_once(':')?;
    label.strip_prefix("lease-")?.parse().ok()
}

/// What is the same in all tokens of a lease, and the attempt.
fn split(token: &[u8]) -> Option<(&[u8], u32)> {
    let colon = token.iter().rposition(|byte| *byte == b':')?;
    let attempt = std::str::from_utf8(&token[colon + 1..])
        .ok()?
        .parse()
        .ok()?;
    Some((&token[..colon], attempt))
}
