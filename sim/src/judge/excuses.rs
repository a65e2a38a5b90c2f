//! What faults excuse, and for how long.

use super::state::Judge;
use crate::observe::fact::{Fault, Record};

impl Judge {
    pub(super) fn fault(&mut self, record: &Record, fault: Fault) {
        if let (Some(client), None) = (record.client, record.node) {
            let seen = &mut self.clients[usize::from(client)];
            match fault {
                Fault::Pause | Fault::Freeze => seen.asleep = true,
                Fault::ClientCrash => self.client_died(record.at, client),
                _ => {}
            }
        }
        self.may_linger(record, fault);
        self.excuse(record, fault);
    }

    pub(super) fn mended(&mut self, record: &Record, fault: Fault) {
        if let (Some(client), Fault::Pause | Fault::Freeze | Fault::ClientCrash) =
            (record.client, fault)
        {
            let seen = &mut self.clients[usize::from(client)];
            seen.asleep = false;
            seen.awake_since = record.at;
        }
        // Some tell of it when the copy is made that will be restored here: then this is when it strikes.
        // Of all others the excuse begins with the fault: a node that is down renews nobody.
        if fault == Fault::CrashStale {
            self.excuse(record, fault);
        }
    }

    /// A node that forgot the last writes remembers what was released, and a key without expiry stays.
    fn may_linger(&mut self, record: &Record, fault: Fault) {
        let Some(node) = record.node else { return };
        let all = matches!(fault, Fault::CrashStale | Fault::Failover | Fault::Replaced);
        for lease in 0..self.leases.len() {
            let of = self.leases[lease].key;
            let persisted = fault == Fault::Persisted && record.key == Some(of);
            self.seat(lease as u32, node).may_linger |= all || persisted;
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
        let unseen = fault == Fault::Replaced || self.rules.nodes == 1 || !self.rules.quarantine;
        // Fences are ahead of servers' times, which differ, by less than one max TTL together.
        if fault == Fault::Replaced && self.rules.nodes > 1 {
            self.fences_excused_until = self.fences_excused_until.max(end);
        }
        // Where two hold a key, as below.
        let prolonged = self.excused_until >= record.at;
        if fault.loses_memory() && (unseen || prolonged) {
            self.excused_until = self.excused_until.max(end);
        }
        // Where a stranger has let two hold a key, a node that forgets takes from the one and is open to
        // the other, whose copy is put back there: so it is not over before the TTL after that is.
        if fault.loses_memory() {
            for key in &mut self.keys {
                if key.excused_until >= record.at {
                    key.excused_until = key.excused_until.max(end);
                }
            }
        }
        if fault.loses_a_key()
            && let Some(key) = record.key
        {
            let key = &mut self.keys[usize::from(key)];
            key.excused_until = key.excused_until.max(end);
        }
    }
}
