//! What all handles and guards of one client share: its hub and its links. It takes leases for the
//! handles and verifies the nodes. When the last owner drops it, the client closes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    AcquireFailure, Config, Fence, Instant, Key, LeaseId, LeaseOptions, Manager, NodeId, Verdict,
    verdict,
};

use crate::client::alarm::Alarms;
use crate::client::cell::{Cell, Stage};
use crate::client::driver::drive;
use crate::client::hub::{Hub, Refused};
use crate::client::own_keys::OwnKeys;
use crate::client::own_thread::OwnThread;
use crate::client::patience::within;
use crate::client::secrets::Secrets;
use crate::client::tasks::Watched;
use crate::error::{ConnectError, Ended, LockError, Loss, SilentNode};
use crate::link::handle::{LinkHandle, NoAnswer, NodeAnswer, Probe};
use crate::link::interface::{LinkConfig, LinkStatus, Target};
use crate::link::spawn_link;
use crate::protocol::health::Health;
use crate::protocol::key;
use crate::protocol::scan::{Page, Step};
use crate::protocol::stream::FenceStream;
use crate::runtime::Seams;

/// What handles and guards share. Dropping it closes the client in the background.
#[derive(Debug)]
pub(crate) struct Client {
    hub: Arc<Hub>,
    secrets: Secrets,
    links: Vec<LinkHandle>,
    prefix: Vec<u8>,
    /// That draws the fences, over one node.
    stream: Option<Arc<FenceStream>>,
    /// How long the links take at most, if they run, to say that they are up or why not.
    verified_within: Duration,
    /// How they behave.
    link_config: LinkConfig,
    own_keys: OwnKeys,
    /// Of those who await a loss or an answer.
    alarms: Arc<Alarms>,
}

/// A lease that was granted and that no guard owns yet. Dropping it releases the lease.
#[must_use = "dropping it releases the lease"]
pub(crate) struct Granted<'a> {
    pending: Pending<'a>,
    fence: Fence,
    at: Instant,
}

impl Granted<'_> {
    /// When the caller's task was told.
    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    /// Gives the lease to a guard, which releases it from now on.
    pub(crate) fn hand_over(mut self) -> (LeaseId, Arc<Cell>, Fence) {
        self.pending.handed_over = true;
        let Pending { lease, cell, .. } = &self.pending;
        (*lease, Arc::clone(cell), self.fence)
    }
}

impl Client {
    /// Starts the tasks: one that runs what is due, and a link to each node.
    pub(crate) fn start(
        config: Config,
        nodes: Vec<Target>,
        link_config: &LinkConfig,
        seams: Seams,
        own_thread: Option<OwnThread>,
        prefix: Vec<u8>,
    ) -> Result<Self, ConnectError> {
        let mut seed = [0; 8];
        seams.entropy.fill(&mut seed);
        let mut link_config = link_config.clone();
        if config.queues() || config.hints() {
            let mut name = [0; 8];
            seams.entropy.fill(&mut name);
            link_config.channel = Some(key::channel(&prefix, u64::from_le_bytes(name)));
        }
        let manager = Manager::new(config, u64::from_le_bytes(seed));
        let names = nodes.iter().enumerate().map(|(index, node)| match node {
            Target::Address(address) => address.to_string(),
            Target::Group(address) => address.to_string(),
            #[cfg(feature = "cluster")]
            Target::Cluster(address) => address.to_string(),
            Target::Connection(_) => format!("connection {index}"),
        });
        let hub = Arc::new(Hub::new(manager, names.collect(), Arc::clone(&seams.clock)));
        let seams = Seams {
            spawner: Arc::new(Watched::new(&seams.spawner, &hub)),
            ..seams
        };
        seams.spawner.spawn(Box::pin(drive(Arc::clone(&hub))));
        let link = |(index, node)| {
            let (node_id, work) = (NodeId::new(index), Arc::clone(&hub));
            spawn_link(node_id, node, link_config.clone(), work, &seams)
        };
        let links = nodes.into_iter().enumerate().map(link).collect();
        if let Some(thread) = own_thread {
            thread.start(Arc::clone(&hub))?;
        }
        Ok(Self {
            alarms: Alarms::new(&seams.clock),
            hub,
            secrets: Secrets::new(seams.entropy),
            links,
            prefix,
            stream: link_config.stream.clone(),
            verified_within: link_config.longest_dial() * 2,
            link_config,
            own_keys: OwnKeys::default(),
        })
    }

    pub(crate) const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Which of its keys are held by whom in this process.
    pub(crate) const fn own_keys(&self) -> &OwnKeys {
        &self.own_keys
    }

    /// What wakes those who await a loss or an answer.
    pub(crate) const fn alarms(&self) -> &Arc<Alarms> {
        &self.alarms
    }

    /// The length of the prefix that stands before the caller's key on the nodes.
    pub(crate) const fn prefix_len(&self) -> usize {
        self.prefix.len()
    }

    /// Waits until enough nodes serve, or it is clear that they do not.
    pub(crate) async fn verify(&self) -> Result<(), ConnectError> {
        let hub = self.hub();
        let verified = hub.wait_for_nodes(|nodes| {
            let mut up = 0;
            let mut open = 0;
            let mut refusals = 0;
            let mut refusal = None;
            for (index, node) in nodes.iter().enumerate() {
                if let Some(twin) = node.twin {
                    return Some(Err(ConnectError::SameServer {
                        node: hub.name(NodeId::new(index)).to_owned(),
                        twin: hub.name(twin).to_owned(),
                    }));
                }
                match &node.status {
                    LinkStatus::Up(_) => up += 1,
                    LinkStatus::Connecting => open += 1,
                    LinkStatus::Down { .. } => {}
                    LinkStatus::Rejected { words } => {
                        refusals += 1;
                        refusal.get_or_insert((NodeId::new(index), words));
                    }
                }
            }
            // As at a lock: a minority that refuses to serve is done without. The log names it.
            let serving = nodes.len() - refusals;
            if let Some((node, words)) = refusal
                && verdict(nodes.len(), 0, serving) == Verdict::Lost
            {
                return Some(Err(ConnectError::Rejected {
                    node: hub.name(node).to_owned(),
                    words: words.as_str().to_owned(),
                }));
            }
            if open > 0 {
                return None;
            }
            Some(match verdict(nodes.len(), up, 0) {
                Verdict::Won => Ok(()),
                _ => Err(ConnectError::Outage { nodes: Vec::new() }),
            })
        });
        match within(&self.alarms, self.verified_within, verified).await {
            Some(Ok(Err(ConnectError::Outage { .. }))) => Err(ConnectError::Outage {
                nodes: hub.silence_of_all(),
            }),
            Some(Ok(verified)) => verified,
            Some(Err(ended)) => Err(ConnectError::ended(ended)),
            None => Err(ConnectError::Outage {
                nodes: SilentNode::stalled(),
            }),
        }
    }

    /// Adds the prefix to the key, and checks that the result can be locked.
    pub(crate) fn key(&self, key: &[u8]) -> Result<Key, (Key, key::KeyError)> {
        let named: Cow<'_, [u8]> = match &*self.prefix {
            [] => key.into(),
            prefix => [prefix, key].concat().into(),
        };
        let checked = if key.is_empty() {
            Err(key::KeyError::Empty)
        } else {
            key::check(&named)
        };
        let named = Key::new(&*named);
        match checked {
            Ok(()) => Ok(named),
            Err(error) => Err((named, error)),
        }
    }

    /// Takes a lock. Returns none if it was granted but had ended before the caller ran.
    pub(crate) async fn acquire(
        &self,
        key: &Key,
        options: &Arc<LeaseOptions>,
    ) -> Result<Option<Granted<'_>>, LockError> {
        let secret = self.secrets.draw(self.hub.clock().now());
        let (lease, cell) = self
            .hub
            .acquire(key.clone(), secret, Arc::clone(options))
            .map_err(|refused| match refused {
                Refused::Ended(ended) => LockError::ended(key.clone(), ended),
                Refused::AtCapacity(error) => LockError::AtCapacity {
                    key: key.clone(),
                    error,
                },
            })?;
        let pending = Pending {
            hub: &self.hub,
            lease,
            cell,
            handed_over: false,
        };
        let cell = &pending.cell;
        let answered = cell.wait_for(|state| answer(&state.stage));
        let outcome = match options.acquire_timeout() {
            Some(bound) => within(&self.alarms, bound, answered).await,
            None => Some(answered.await),
        };
        match outcome {
            Some(Ok(fence)) => {
                let at = self.hub.clock().now();
                let fence = fence.filter(|_| at < cell.valid_until());
                Ok(fence.map(|fence| Granted { pending, fence, at }))
            }
            Some(Err(stage)) => Err(self.error(key.clone(), stage)),
            None => Err(LockError::Outage {
                key: key.clone(),
                nodes: SilentNode::stalled(),
            }),
        }
    }

    /// What each node says of a key, by the name of the node. None if the client's own tasks did
    /// not run.
    pub(crate) async fn inspect(
        &self,
        key: &Key,
    ) -> Result<Option<Vec<(String, NodeAnswer)>>, Ended> {
        let asked = self
            .nodes()
            .map(|(node, link)| (node, link.inspect(key.clone())));
        Ok(self
            .answers(asked)
            .await?
            .map(|answers| self.named(answers)))
    }

    /// What a node says of each of these keys, in this order. None as for
    /// [`inspect`](Self::inspect).
    pub(crate) async fn inspect_at(
        &self,
        node: NodeId,
        keys: impl Iterator<Item = Key>,
    ) -> Result<Option<Vec<NodeAnswer>>, Ended> {
        let link = &self.links[node.index()];
        let answers = self
            .answers(keys.map(|key| (node, link.inspect(key))))
            .await?;
        Ok(answers.map(|answers| answers.into_iter().map(|(_, answer)| answer).collect()))
    }

    /// Takes one step of a scan of a node. None as for [`inspect`](Self::inspect).
    pub(crate) async fn scan(
        &self,
        node: NodeId,
        step: Step,
    ) -> Result<Option<Result<Page, NoAnswer>>, Ended> {
        let asked = std::iter::once((node, self.links[node.index()].scan(step)));
        let answers = self.answers(asked).await?;
        Ok(answers
            .and_then(|mut answers| answers.pop())
            .map(|(_, answer)| answer))
    }

    /// How each node is set up, and when it was asked and had answered. None as for
    /// [`inspect`](Self::inspect).
    pub(crate) async fn check(
        &self,
    ) -> Result<Option<Vec<(NodeId, Result<(Health, [Instant; 2]), NoAnswer>)>>, Ended> {
        let probe = Probe {
            unused: key::unused(&self.prefix),
            waits: self.link_config.acknowledged_by > 0,
        };
        let asked = self.nodes().map(|(node, link)| {
            let (probe, clock) = (probe.clone(), self.hub.clock());
            let told = async move {
                let asked = clock.now();
                let health = link.check(probe).await?;
                Ok((health, [asked, clock.now()]))
            };
            (node, told)
        });
        self.answers(asked).await
    }

    /// Whether nodes that may have forgotten a lease are in quarantine.
    pub(crate) const fn is_quarantined(&self) -> bool {
        self.link_config.node_set.is_some()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, &LinkHandle)> {
        let links = self.links.iter().enumerate();
        links.map(|(index, link)| (NodeId::new(index), link))
    }

    fn named<T>(&self, answers: Vec<(NodeId, T)>) -> Vec<(String, T)> {
        let named = |(node, answer)| (self.hub.name(node).to_owned(), answer);
        answers.into_iter().map(named).collect()
    }

    /// Waits for the answers of nodes, within the time that two connections need at most. None if
    /// the client's own tasks did not run.
    pub(super) async fn answers<T, F: Future<Output = Result<T, NoAnswer>>>(
        &self,
        asked: impl Iterator<Item = (NodeId, F)>,
    ) -> Result<Option<Vec<(NodeId, Result<T, NoAnswer>)>>, Ended> {
        self.hub.check()?;
        let (nodes, asked): (Vec<_>, Vec<_>) = asked.unzip();
        let answers = futures_util::future::join_all(asked);
        // If the connection breaks, it is asked again on another.
        let bound = (self.link_config.longest_dial() + self.link_config.longest_silence()) * 2;
        let answers = within(&self.alarms, bound, answers).await;
        let refused = |(node, answer)| (node, self.as_refused(node, answer));
        let answers: Option<Vec<_>> =
            answers.map(|answers| nodes.into_iter().zip(answers).map(refused).collect());
        // If the client ended meanwhile, that is the reason, and not the nodes.
        if answers.iter().flatten().all(|(_, answer)| answer.is_err()) {
            self.hub.check()?;
        }
        Ok(answers)
    }

    /// The answer of a node, told as a refusal if it is what the node's link was refused with.
    fn as_refused<T>(&self, node: NodeId, mut answer: Result<T, NoAnswer>) -> Result<T, NoAnswer> {
        if let Err(error) = &mut answer {
            error.refused |= self.hub.refuses(node, &error.why);
        }
        answer
    }

    /// How many nodes there are.
    pub(crate) fn node_count(&self) -> usize {
        self.links.len()
    }

    /// What stands before the caller's keys on the nodes.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    fn error(&self, key: Key, stage: Stage) -> LockError {
        match stage {
            Stage::Failed(cause) => self.failed(key, *cause),
            Stage::Abandoned(ended) => LockError::ended(key, *ended),
            _ => LockError::Closed { key },
        }
    }

    fn failed(&self, key: Key, cause: AcquireFailure) -> LockError {
        let name = |node| self.hub.name(node).to_owned();
        match cause {
            AcquireFailure::Contended {
                left,
                ahead,
                holder,
            } => LockError::Contended {
                key,
                left,
                ahead,
                holder: holder.map(|label| label.as_str().to_owned()),
            },
            AcquireFailure::QueueFull { node } => LockError::QueueFull {
                key,
                node: name(node),
            },
            AcquireFailure::Foreign { node } => LockError::Foreign {
                key,
                node: name(node),
            },
            AcquireFailure::WrongType {
                node,
                name: of,
                holds,
            } => LockError::WrongType {
                name: key::named(&key, of, self.stream.as_deref()),
                key,
                node: name(node),
                holds: holds.to_owned(),
            },
            AcquireFailure::Quarantined { node, left } => LockError::Quarantined {
                key,
                node: name(node),
                left,
            },
            AcquireFailure::Outage { silent } => LockError::Outage {
                key,
                nodes: self.hub.silence(&silent),
            },
            AcquireFailure::Unacknowledged {
                node,
                replicas,
                demanded,
            } => LockError::Unacknowledged {
                key,
                node: name(node),
                replicas,
                demanded,
            },
            AcquireFailure::Rejected { node, words } => LockError::Rejected {
                key,
                node: name(node),
                words: words.as_str().to_owned(),
            },
            AcquireFailure::Misuse { node, words } => LockError::Misconfigured {
                key,
                node: name(node),
                words: words.as_str().to_owned(),
            },
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.hub.close(None);
        self.alarms.end();
    }
}

/// The error for a grant whose time ended before the caller's task ran.
pub(crate) fn too_late(key: Key) -> LockError {
    let why = "the lock was granted, but its time ended before this task ran";
    LockError::Outage {
        key,
        nodes: SilentNode::this_process(why),
    }
}

/// The answer to an acquire, once there is one: the fence; none if it was granted and lost since;
/// or why it failed.
fn answer(stage: &Stage) -> Option<Result<Option<Fence>, Stage>> {
    match stage {
        Stage::Acquiring => None,
        Stage::Held(fence) => Some(Ok(Some(*fence))),
        Stage::Lost(loss) if **loss != Loss::Closed => Some(Ok(None)),
        Stage::Failed(_) | Stage::Abandoned(_) | Stage::Lost(_) => Some(Err(stage.clone())),
        Stage::Releasing | Stage::Released | Stage::NotReleased(_) | Stage::Dropped => {
            Some(Ok(None))
        }
    }
}

/// A lease that no guard owns yet. If the future that asks for it is dropped, it is released.
struct Pending<'a> {
    hub: &'a Hub,
    lease: LeaseId,
    cell: Arc<Cell>,
    /// Whether a guard owns it by now.
    handed_over: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.handed_over {
            return;
        }
        // Whatever was granted, or may have been, is released in the background.
        // Law: No orphan
        self.hub.drop_one(self.lease, &self.cell);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tenure_core::{Answer, Op, Reply, Secret};

    use super::*;
    use crate::link::interface::{Identity, Work};
    use crate::runtime::{BoxFuture, Clock, OsEntropy};

    fn node() -> NodeId {
        NodeId::new(0)
    }

    /// Shows what the test sets, and lets something happen the moment before it is read.
    #[derive(Default)]
    pub(crate) struct TestClock {
        shows: AtomicI64,
        before: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    }

    impl TestClock {
        pub(crate) fn set(&self, at: Instant) {
            self.shows.store(at.as_nanos(), Ordering::Relaxed);
        }

        /// Before it is read next, this happens.
        pub(crate) fn before(&self, act: impl FnOnce() + Send + 'static) {
            *self.before.lock().expect("no panic") = Some(Box::new(act));
        }
    }

    impl fmt::Debug for TestClock {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("TestClock")
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Instant {
            let act = self.before.lock().expect("no panic").take();
            if let Some(act) = act {
                act();
            }
            Instant::from_nanos(self.shows.load(Ordering::Relaxed))
        }

        fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    /// A client of one node, without tasks, and a lease that the node has just granted.
    pub(crate) fn client() -> (Arc<Client>, Arc<TestClock>, LeaseId, Arc<Cell>) {
        let clock = Arc::new(TestClock::default());
        let (client, lease, cell) = client_on(Arc::clone(&clock) as _);
        (client, clock, lease, cell)
    }

    /// The same on another clock.
    pub(crate) fn client_on(clock: Arc<dyn Clock>) -> (Arc<Client>, LeaseId, Arc<Cell>) {
        let (hub, lease, cell) = granted_on(&clock);
        let client = Client {
            hub: Arc::new(hub),
            alarms: Alarms::new(&clock),
            secrets: Secrets::new(Arc::new(OsEntropy)),
            links: Vec::new(),
            prefix: Vec::new(),
            stream: None,
            own_keys: OwnKeys::default(),
            verified_within: Duration::ZERO,
            link_config: LinkConfig::new(Duration::from_secs(1)),
        };
        (Arc::new(client), lease, cell)
    }

    impl Client {
        /// The lease, before a guard owns it.
        pub(crate) fn grant(&self, lease: LeaseId, cell: &Arc<Cell>) -> Granted<'_> {
            as_granted(&self.hub, lease, cell)
        }
    }

    /// The node answers all that is asked of it: done. Says what that was.
    pub(crate) fn answer_all(hub: &Hub) -> Vec<Op> {
        let requests = asked(hub);
        let done = |request: &tenure_core::Request| (request.id, Reply::Applied(Answer::Done));
        hub.reply(&mut requests.iter().map(done).collect());
        requests.iter().map(|request| request.op).collect()
    }

    /// A hub of one node, and a lease that the node has just granted.
    fn granted() -> (Hub, Arc<TestClock>, LeaseId, Arc<Cell>) {
        let clock = Arc::new(TestClock::default());
        let (hub, lease, cell) = granted_on(&(Arc::clone(&clock) as _));
        (hub, clock, lease, cell)
    }

    fn granted_on(clock: &Arc<dyn Clock>) -> (Hub, LeaseId, Arc<Cell>) {
        let config = Config::builder(1).build().expect("the defaults");
        let options = LeaseOptions::builder().build(&config);
        let options = Arc::new(options.expect("the defaults"));
        let manager = Manager::new(config, 0);
        let hub = Hub::new(manager, vec!["a".to_owned()], Arc::clone(clock));
        hub.status(node(), LinkStatus::Up(Identity::default()));
        let (lease, cell) = hub
            .acquire(Key::new(*b"k"), Secret::new([0; 16]), options)
            .expect("there is room");
        while cell.state().stage == Stage::Acquiring {
            let reply = |request: &tenure_core::Request| {
                let answer = match request.op {
                    Op::Acquire { .. } => Answer::Granted {
                        fence: Fence::new(7).expect("not zero"),
                        server_time: tenure_core::ServerTime::from_micros(7),
                    },
                    _ => Answer::Done,
                };
                (request.id, Reply::Applied(answer))
            };
            let mut replies: Vec<_> = asked(&hub).iter().map(reply).collect();
            assert!(!replies.is_empty(), "nothing is asked of the node");
            hub.reply(&mut replies);
        }
        assert!(asked(&hub).is_empty());
        (hub, lease, cell)
    }

    /// The requests that are due at the node.
    fn asked(hub: &Hub) -> Vec<tenure_core::Request> {
        let mut requests = Vec::new();
        hub.poll(node(), 10, &mut requests);
        requests
    }

    fn as_granted<'a>(hub: &'a Hub, lease: LeaseId, cell: &Arc<Cell>) -> Granted<'a> {
        Granted {
            pending: Pending {
                hub,
                lease,
                cell: Arc::clone(cell),
                handed_over: false,
            },
            fence: Fence::new(7).expect("not zero"),
            at: hub.clock().now(),
        }
    }

    #[test]
    fn a_grant_that_is_dropped_before_a_guard_owns_it_is_released() {
        let (hub, _, lease, cell) = granted();
        drop(as_granted(&hub, lease, &cell));
        assert_eq!(cell.valid_until(), Instant::MIN);
        let ops: Vec<_> = asked(&hub).iter().map(|request| request.op).collect();
        assert_eq!(
            ops,
            [Op::Release {
                place: None,
                hints: true
            }]
        );
    }

    #[test]
    fn a_key_is_watched_until_its_lease_ends_in_whatever_way() {
        type End = fn(&Hub, LeaseId);
        let ends: [End; 3] = [
            Hub::cancel,
            |hub, lease| {
                assert_eq!(hub.release(lease), Ok(()));
                answer_all(hub);
            },
            |hub, _| hub.close(None),
        ];
        for end in ends {
            let (client, _, lease, cell) = client();
            let hub = client.hub();
            hub.watch(lease, cell.key());
            assert_eq!(hub.watched(), 1);
            end(hub, lease);
            assert_eq!(hub.watched(), 0);
        }
    }

    #[test]
    fn a_grant_that_is_handed_over_stays() {
        let (hub, _, lease, cell) = granted();
        let (of, _, fence) = as_granted(&hub, lease, &cell).hand_over();
        assert_eq!((of, fence.get()), (lease, 7));
        assert!(cell.valid_until() > Instant::ORIGIN);
        assert!(asked(&hub).is_empty());
    }

    /// The client closes between the two steps of a release: that validity ends, and that it is
    /// queued.
    #[test]
    fn a_release_begun_before_the_client_closes_is_sent_and_answered() {
        let (hub, _, lease, cell) = granted();
        assert!(cell.let_go().is_some());
        hub.close(Some(Duration::from_secs(1)));
        assert_eq!(hub.release(lease), Ok(()));
        assert_eq!(
            answer_all(&hub),
            [Op::Release {
                place: None,
                hints: true
            }]
        );
        assert_eq!(cell.state().stage, Stage::Released);
        assert!(Work::finished(&hub), "and then it is closed");
    }

    #[test]
    fn a_release_begun_before_the_client_is_finished_is_not_sent_after_it() {
        let (hub, _, lease, cell) = granted();
        assert!(cell.let_go().is_some());
        hub.close(Some(Duration::from_secs(1)));
        hub.finish();
        assert_eq!(hub.release(lease), Err(Ended::Closed));
        let abandoned = Stage::Abandoned(Box::new(Ended::Closed));
        assert_eq!(cell.state().stage, abandoned);
    }
}
