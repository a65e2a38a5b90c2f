//! The scenes: what is done in each, and what to look at.

use std::time::Duration;

use tenure_core::LeaseOptions;

use crate::stage::Stage;

pub(crate) struct Scene {
    /// Its file in `tests/transcripts`.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) prose: &'static str,
    pub(crate) nodes: usize,
    pub(crate) clients: usize,
    /// Whether leases wait in the queue of the key.
    pub(crate) queues: bool,
    pub(crate) play: fn(&mut Stage),
}

const ONE: usize = 0;
const TWO: usize = 1;
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

pub(crate) const SCENES: &[Scene] = &[
    Scene {
        file: "01-taken-renewed-released",
        title: "A lock is taken, renewed and given back",
        prose: "
Nothing goes wrong here: this is what one lease costs, one request at a time. Look at \"valid
until\": it is counted from the moment before the request was sent, not from its reply, and it is 1
% and 2 ms less than the TTL, so it ends before the key does (10.010000 at the node). The renewal
begins when two thirds of the TTL have passed.",
        nodes: 1,
        clients: 1,
        queues: false,
        play: |stage| {
            let lease = stage.wants(ONE);
            stage.until(8_000);
            stage.releases(lease);
            stage.until(9_000);
        },
    },
    Scene {
        file: "02-contention",
        title: "Two want the same lock",
        prose: "
The second is refused, and told why: contention, not an error. It asks again after a pause that is
random, and longer each time, or when the holder's TTL ends, whichever is earlier. A refusal is an
answer, so nothing has to be cleaned up before the next try. Each try is an attempt of its own.
The fence of the second lease is larger than that of the first.",
        nodes: 1,
        clients: 2,
        queues: false,
        play: |stage| {
            let first = stage.wants(ONE);
            stage.until(900);
            let second = stage.wants(TWO);
            stage.until(1_000);
            stage.releases(first);
            stage.until(4_000);
            stage.releases(second);
            stage.until(5_000);
        },
    },
    Scene {
        file: "03-lost-reply-of-an-acquire",
        title: "The reply to an acquire is lost, and a release is owed",
        prose: "
The node grants, but the connection breaks before the reply arrives: the outcome is unknown, and
unknown is a third answer beside yes and no. The caller allowed one attempt, so the acquire fails
(\"outage\": too few nodes answered). But the key may stand at the node, and here it does: so the
node is owed a release, which is sent at once and frees the key at 0.030000, and not at 10.010000.",
        nodes: 1,
        clients: 1,
        queues: false,
        play: |stage| {
            stage.lose_next_reply(ONE, A);
            stage.wants_with(ONE, LeaseOptions::builder().attempts(Some(1)));
            stage.until(1_000);
        },
    },
    Scene {
        file: "04-renewal-lost-and-retried",
        title: "A renewal's reply is lost; the lease is suspect, and then renewed",
        prose: "
The renewal at 6.666666 is done by the node, but the reply is lost. The lease does not end for
that: its validity was told to last until 9.898000, and until then nobody else can have the lock.
It is suspect, and the renewal is tried again. The retry is confirmed, and validity counts from
the retry.",
        nodes: 1,
        clients: 1,
        queues: false,
        play: |stage| {
            let lease = stage.wants(ONE);
            stage.until(6_000);
            stage.lose_next_reply(ONE, A);
            stage.until(9_000);
            stage.releases(lease);
            stage.until(10_000);
        },
    },
    Scene {
        file: "05-expiry-behind-a-cut",
        title: "The holder is cut off until its validity ends",
        prose: "
Nothing arrives at the node from 2 s on, and nobody is told. The renewals stay without an answer.
At 9.898000 the first client tells the loss by its own clock, although no reply came: it need not
know anything else. Only at 10.010000 does the node forget the key. The second client, who asks
again about then, holds it after that: between the two instants nobody held it. When the cut is
mended, the release that the node was owed arrives late, and touches nothing: the key holds
another token (\"Taken\").",
        nodes: 1,
        clients: 2,
        queues: false,
        play: |stage| {
            stage.wants(ONE);
            stage.until(2_000);
            stage.cut(ONE, A);
            stage.until(9_600);
            let second = stage.wants(TWO);
            stage.until(11_500);
            stage.mend(ONE, A);
            stage.until(12_000);
            stage.releases(second);
            stage.until(13_000);
        },
    },
    Scene {
        file: "06-one-of-three-is-dead",
        title: "A quorum of three nodes, one of which is dead",
        prose: "
Two of three are enough, and nobody waits for the third: the lease is held with the second yes.
Validity is the instant up to which two nodes are known to keep the key.",
        nodes: 3,
        clients: 1,
        queues: false,
        play: |stage| {
            stage.dies(C);
            stage.until(100);
            let lease = stage.wants(ONE);
            stage.until(7_000);
            stage.releases(lease);
            stage.until(8_000);
        },
    },
    Scene {
        file: "07-split-vote",
        title: "Two clients at once: a split vote, and how it clears",
        prose: "
The third node is dead, and each client is near one of the others: so each gets one of three, and
neither has a quorum. If each kept what it has and asked for the rest, neither would ever get it.
So each gives back all that it touched before it pauses, and the pauses are random: after some
rounds one comes back well before the other, and gets both.",
        nodes: 3,
        clients: 2,
        queues: false,
        play: |stage| {
            stage.dies(C);
            stage.set_latency(ONE, A, 2);
            stage.set_latency(TWO, B, 2);
            let give_up = Some(Duration::from_millis(200));
            let leases = [ONE, TWO].map(|client| {
                stage.wants_with(client, LeaseOptions::builder().give_up_after(give_up))
            });
            stage.until(300);
            stage.releases(leases[ONE]);
            stage.until(1_000);
        },
    },
    Scene {
        file: "08-repair",
        title: "A node loses its copy, and gets it back",
        prose: "
The second node restarts empty while the lease is held. The holder learns of it at its next
renewal: that node answers gone. The lease is held by the other two, so it goes on, and the node
gets its copy back by a repair, which writes only where the key is absent. That the node is in
quarantine does not matter for a lease that a quorum holds without it.",
        nodes: 3,
        clients: 1,
        queues: false,
        play: |stage| {
            let lease = stage.wants(ONE);
            stage.until(3_000);
            stage.restarts_empty(B);
            stage.until(8_000);
            stage.releases(lease);
            stage.until(9_000);
        },
    },
    Scene {
        file: "09-fence-confirmed",
        title: "A fence that needs a second round",
        prose: "
Each node draws a fence, at least its own time in microseconds, and these clocks differ; the third
node is slow. With two yeses there is a quorum, but only one node has stored the larger fence,
310000: another quorum, without that node, could draw a smaller one later. So before the lease is
told, the other node stores it too, by a second request, a confirmation. The second lease proposes
a fence a little ahead of all the time it has seen. Both nodes take it, the answers are equal, and
one round is enough: that is the usual case.",
        nodes: 3,
        clients: 1,
        queues: false,
        play: |stage| {
            stage.set_ahead(B, 300_000);
            stage.set_latency(ONE, B, 5);
            stage.set_latency(ONE, C, 200);
            let first = stage.wants(ONE);
            stage.until(1_000);
            stage.releases(first);
            stage.until(2_000);
            let second = stage.wants(ONE);
            stage.until(3_000);
            stage.releases(second);
            stage.until(4_000);
        },
    },
    Scene {
        file: "10-quarantine",
        title: "A node that forgot is not counted",
        prose: "
The first client is cut off from the third node, and holds the other two. Then the second node
restarts without its memory. If it granted at once, the second client would have two of three as
well, the second and the third, and both would hold the lock. But a node that may have forgotten a
lease answers \"in quarantine\" for one max TTL: by then every lease that it may have forgotten has
ended.",
        nodes: 3,
        clients: 2,
        queues: false,
        play: |stage| {
            stage.cut(ONE, C);
            let first = stage.wants(ONE);
            stage.until(1_000);
            stage.restarts_empty(B);
            stage.until(1_500);
            let options = LeaseOptions::builder().attempts(Some(1));
            stage.wants_with(TWO, options);
            stage.until(4_000);
            stage.releases(first);
            stage.until(5_000);
        },
    },
    Scene {
        file: "11-cancelled-acquire",
        title: "An acquire is dropped while its request is on its way",
        prose: "
The caller drops the future after 5 ms. The request cannot be called back: it arrives, and the
node sets the key. So a release goes behind it on the same connection, and the key stands for no
longer than that.",
        nodes: 1,
        clients: 1,
        queues: false,
        play: |stage| {
            let lease = stage.wants(ONE);
            stage.until(5);
            stage.drops(lease);
            stage.until(1_000);
        },
    },
    Scene {
        file: "12-deleted-by-a-stranger",
        title: "A stranger deletes the key",
        prose: "
Some program deletes the key without looking whose it is. No lock can detect that at once: the
first client goes on believing until its next renewal, which finds the token of the second client
(\"Taken\"; \"Gone\", if nobody had come), and then the loss is told. In between, from 5.020000 to
6.686666, two hold the lock. What protects the resource behind it in that time is the fence, which
is larger for the second.",
        nodes: 1,
        clients: 2,
        queues: false,
        play: |stage| {
            stage.wants(ONE);
            stage.until(3_000);
            stage.deleted(A);
            stage.until(5_000);
            let second = stage.wants(TWO);
            stage.until(8_000);
            stage.releases(second);
            stage.until(9_000);
        },
    },
    Scene {
        file: "13-pause-past-validity",
        title: "The holder stands still for longer than its validity",
        prose: "
The first client's process stands still from 1 s to 15 s, so nothing in it can notice anything.
The second gets the lock when the key has expired. When the first goes on, the loss is the first
thing it is told, before any late reply; a guard that is asked earlier still reads its own clock
and says the same. What the first sent before, or sends now, cannot touch a key that holds another
token.",
        nodes: 1,
        clients: 2,
        queues: false,
        play: |stage| {
            stage.wants(ONE);
            stage.until(1_000);
            stage.pauses(ONE);
            stage.until(9_900);
            let second = stage.wants(TWO);
            stage.until(15_000);
            stage.resumes(ONE);
            stage.until(16_000);
            stage.releases(second);
            stage.until(17_000);
        },
    },
    Scene {
        file: "14-handed-on",
        title: "A lock is handed on to the next in line",
        prose: "
The second client wants the lock while the first holds it. Its first request is plain and cheap, and
finds the key busy; the second enters a place in the queue of the key, at 1.030000. Then nobody asks
for anything: the release itself hands the lock on, and the node pushes that to the second client,
which holds it 10 ms after the release arrived. Its validity is counted from when the request
was queued that had its place kept, at 1.020000, since the node keeps the lock for as long as it
would have kept the place.",
        nodes: 1,
        clients: 2,
        queues: true,
        play: |stage| {
            let first = stage.wants(ONE);
            stage.until(1_000);
            let second = stage.wants(TWO);
            stage.until(3_000);
            stage.releases(first);
            stage.until(5_000);
            stage.releases(second);
            stage.until(6_000);
        },
    },
    Scene {
        file: "15-lost-push",
        title: "The push is lost, and the lock is found by asking",
        prose: "
The lock is handed on at 3.010000, and nobody hears of it. A place is kept by asking again, at the
pace of renewals: the request that would have kept it, at 7.686666, finds the lease's own token
under the key. The answer grants the lock. Nobody else could have had it in between: it was the
second client's, which did not know.",
        nodes: 1,
        clients: 2,
        queues: true,
        play: |stage| {
            let first = stage.wants(ONE);
            stage.until(1_000);
            let second = stage.wants(TWO);
            stage.until(2_000);
            stage.lose_next_push(TWO, A);
            stage.until(3_000);
            stage.releases(first);
            stage.until(9_000);
            stage.releases(second);
            stage.until(10_000);
        },
    },
    Scene {
        file: "16-dead-head",
        title: "The first in line has lost its power",
        prose: "
Lease 1 is the first in line, and the machine of its client has lost its power. Nobody closed its
connection, so the node thinks that somebody listens, and hands it the lock at 3.010000. It is kept
until 11.030000: that is the end of the place's reservation, which is never made longer. Lease 2 is
the next. It learns of that end when it keeps its own place, at 7.796666, asks just after it, and
takes the key over. So a dead waiter costs its reservation, and no more. (Had its connection been
closed, the node would have passed it over.)",
        nodes: 1,
        clients: 2,
        queues: true,
        play: |stage| {
            let first = stage.wants(ONE);
            stage.until(1_000);
            stage.wants(TWO);
            stage.until(1_100);
            let third = stage.wants(ONE);
            stage.until(2_000);
            stage.loses_power(TWO);
            stage.until(3_000);
            stage.releases(first);
            stage.until(13_000);
            stage.releases(third);
            stage.until(14_000);
        },
    },
    Scene {
        file: "17-cancelled-place",
        title: "A place is given up while the lock is handed to it",
        prose: "
The second client drops its wait at 3.005000. At the node the lock was handed to it at 3.010000, and
the push is on its way. The release of a place looks at the lock too: it arrives at 3.015000, finds
the lease's own token, and hands the lock on to lease 2. The push to lease 1 comes to nobody.",
        nodes: 1,
        clients: 2,
        queues: true,
        play: |stage| {
            let first = stage.wants(ONE);
            stage.until(1_000);
            let second = stage.wants(TWO);
            stage.until(1_100);
            let third = stage.wants(ONE);
            stage.until(3_000);
            stage.releases(first);
            stage.until(3_005);
            stage.drops(second);
            stage.until(5_000);
            stage.releases(third);
            stage.until(6_000);
        },
    },
    Scene {
        file: "18-pushed-loss",
        title: "A loss that the node pushes",
        prose: "
The same as in 12, but the owner waits to be told. So the node is asked to watch the key, and says
at 3.010000 that somebody touched it. That is a doubt and no loss: the client asks by a renewal, and
the answer ends the lease at 3.030000, and not at 6.686666.",
        nodes: 1,
        clients: 1,
        queues: true,
        play: |stage| {
            let lease = stage.wants(ONE);
            stage.until(1_000);
            stage.watches(lease);
            stage.until(3_000);
            stage.deleted(A);
            stage.until(4_000);
        },
    },
    Scene {
        file: "19-hinted",
        title: "A hint over three nodes",
        prose: "
Two of three nodes are needed, so none of them can hand the lock on. Each tells one of those who
wait there instead that the lock is free, when it is given back: that is a hint, to ask now. Lease 1
hears three at 3.020000. They end its pause once, after up to 5 ms that are random, since each node
may have told somebody else. Before that nobody asked for anything. At 5.010000 it is the turn of
lease 2, which was dropped at 5.005000: its hints come to nobody. But its release finds the lock
free, and hints in turn, so lease 3 is told at 5.025000. Look at #4 of each waiter, too. Two answers
decided its round, and the third is not awaited: what that node may have granted is given back, and
the lease stays in line there (\"Stay\").",
        nodes: 3,
        clients: 2,
        queues: true,
        play: |stage| {
            let first = stage.wants(ONE);
            stage.until(1_000);
            let second = stage.wants(TWO);
            stage.until(1_100);
            let third = stage.wants(ONE);
            stage.until(3_000);
            stage.releases(first);
            stage.until(4_000);
            let fourth = stage.wants(TWO);
            stage.until(5_000);
            stage.releases(second);
            stage.until(5_005);
            stage.drops(third);
            stage.until(6_000);
            stage.releases(fourth);
            stage.until(7_000);
        },
    },
];
