//! Excuses: for how long the judge does not demand what a fault breaks.
//!
//! A lease that was granted before a fault ends within one max TTL, so most excuses last for that
//! time.

use super::state::Judge;
use crate::observe::fact::fault::{Loses, Process};
use crate::observe::fact::{Fault, Record};

impl Judge {
    pub(super) fn fault(&mut self, record: &Record, fault: Fault) {
        if let (Some(client), None) = (record.client, record.node) {
            let seen = &mut self.clients[usize::from(client)];
            match fault.row().process {
                Process::Stops | Process::Freezes => seen.asleep = true,
                Process::Stalls => (seen.asleep, seen.stalled) = (true, true),
                Process::Dies => self.client_died(record.at, client),
                Process::GoesOn => {}
            }
        }
        if let Some(client) = record.client
            && fault.row().process.is_away()
        {
            self.forget_doubts(client);
        }
        self.may_linger(record, fault);
        self.excuse(record, fault);
    }

    pub(super) fn mended(&mut self, record: &Record, fault: Fault) {
        if let Some(client) = record.client
            && fault.row().process.is_away()
        {
            let seen = &mut self.clients[usize::from(client)];
            (seen.asleep, seen.stalled) = (false, false);
            seen.awake_since = record.at;
        }
        // A world may tell of such a fault when it makes the copy that it restores here. So the
        // loss may strike only now. Other faults have struck when they began, and a node that is
        // down renews no lease.
        if fault.row().loses.last_writes() {
            self.excuse(record, fault);
        }
    }

    /// After some faults a key may linger at the node: a node that lost its last writes may have
    /// lost a release, and a key without an expiry stays.
    fn may_linger(&mut self, record: &Record, fault: Fault) {
        let Some(node) = record.node else { return };
        let loses = fault.row().loses;
        for lease in 0..self.leases.len() {
            let of = self.leases[lease].key;
            let persisted = loses == Loses::Expiry && record.key == Some(of);
            self.seat(lease as u32, node).may_linger |= loses.last_writes() || persisted;
        }
    }

    /// Excuses two holders of a key, and fences that do not grow, where a node forgot them.
    fn excuse(&mut self, record: &Record, fault: Fault) {
        if !self.rules.excuses {
            return;
        }
        // Every lease that was granted before ends by then.
        let end = record.at + self.rules.max_ttl;
        // Quarantine makes a loss harmless, unless the loss is not seen. On a live connection no
        // client sees it, until it asks the node again who it is.
        let loses = fault.row().loses;
        let unseen = loses.unseen() || self.rules.nodes == 1 || !self.rules.quarantine;
        // Fences run ahead of the servers' times, and the servers' times differ. Both together are
        // less than one max TTL. One node that lost the last ids of its stream may draw them again
        // in the same millisecond.
        if loses == Loses::LastWritesUnseen {
            self.fences_excused_until = self.fences_excused_until.max(end);
        }
        // The same as for a single key below.
        let prolonged = self.excused_until >= record.at;
        if loses.memory() && (unseen || prolonged) {
            self.excused_until = self.excused_until.max(end);
        }
        // If a stranger's change has let two leases hold the key, a node that forgets may drop the
        // copy of one and accept the repair of the other. So the excuse lasts for one TTL more.
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
