//! What faults excuse, and for how long.

use super::state::Judge;
use crate::observe::fact::fault::{Loses, Process};
use crate::observe::fact::{Fault, Record};

impl Judge {
    pub(super) fn fault(&mut self, record: &Record, fault: Fault) {
        if let (Some(client), None) = (record.client, record.node) {
            let seen = &mut self.clients[usize::from(client)];
            match fault.row().process {
                Process::Stops | Process::Freezes => seen.asleep = true,
                Process::Dies => self.client_died(record.at, client),
                Process::GoesOn => {}
            }
        }
        self.may_linger(record, fault);
        self.excuse(record, fault);
    }

    pub(super) fn mended(&mut self, record: &Record, fault: Fault) {
        if let Some(client) = record.client
            && fault.row().process.is_away()
        {
            let seen = &mut self.clients[usize::from(client)];
            seen.asleep = false;
            seen.awake_since = record.at;
        }
        // Some tell of it when the copy is made that will be restored here: then this is when it strikes.
        // Of all others the excuse begins with the fault: a node that is down renews nobody.
        if fault.row().loses.last_writes() {
            self.excuse(record, fault);
        }
    }

    /// A node that forgot the last writes remembers what was released, and a key without expiry stays.
    fn may_linger(&mut self, record: &Record, fault: Fault) {
        let Some(node) = record.node else { return };
        let loses = fault.row().loses;
        for lease in 0..self.leases.len() {
            let of = self.leases[lease].key;
            let persisted = loses == Loses::Expiry && record.key == Some(of);
            self.seat(lease as u32, node).may_linger |= loses.last_writes() || persisted;
        }
    }

    /// Notes how long two holders are excused by what was forgotten.
    fn excuse(&mut self, record: &Record, fault: Fault) {
        if !self.rules.excuses {
            return;
        }
        // What was granted before ends within one TTL.
        let end = record.at + self.rules.max_ttl;
        // Nobody sees what changes on a live connection, until he asks again who the node is.
        let loses = fault.row().loses;
        let unseen = loses.unseen() || self.rules.nodes == 1 || !self.rules.quarantine;
        // Fences are ahead of servers' times, which differ, by less than one max TTL together.
        if loses == Loses::LastWritesUnseen && self.rules.nodes > 1 {
            self.fences_excused_until = self.fences_excused_until.max(end);
        }
        // Where two hold a key, as below.
        let prolonged = self.excused_until >= record.at;
        if loses.memory() && (unseen || prolonged) {
            self.excused_until = self.excused_until.max(end);
        }
        // Where a stranger has let two hold a key, a node that forgets takes from the one and is open to
        // the other, whose copy is put back there: so it is not over before the TTL after that is.
        if loses.memory() {
            for key in &mut self.keys {
                if key.excused_until >= record.at {
                    key.excused_until = key.excused_until.max(end);
                }
            }
        }
        if loses == Loses::LockKey
            && let Some(key) = record.key
        {
            let key = &mut self.keys[usize::from(key)];
            key.excused_until = key.excused_until.max(end);
        }
    }
}
