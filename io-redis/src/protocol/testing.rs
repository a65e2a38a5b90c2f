//! Requests with real ids, for unit tests.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Config, Instant, Key, LeaseOptions, Manager, NodeId, Op, Request, Secret};

/// One acquire of each of `count` leases, on keys `lock-0`, `lock-1`, …; the token's secret is
/// zero.
pub(crate) fn acquires(count: usize) -> Vec<Request> {
    let config = Config::builder(1).build().expect("the defaults");
    let options = LeaseOptions::builder()
        .build(&config)
        .expect("the defaults");
    let options = Arc::new(options);
    let mut manager = Manager::new(config, 0);
    let mut requests = Vec::new();
    for index in 0..count {
        let key = Key::new(format!("lock-{index}").into_bytes());
        let options = Arc::clone(&options);
        manager
            .acquire(Instant::ORIGIN, key, Secret::new([0; 16]), options)
            .expect("there is room");
        manager.poll_requests(NodeId::new(0), 1, &mut requests);
    }
    for request in &mut requests {
        request.deadline = Instant::ORIGIN + Duration::from_secs(3600);
    }
    requests
}

/// The request `op` of the lease on `lock-{index}`.
pub(crate) fn request(index: usize, op: Op) -> Request {
    let mut request = acquires(index + 1).swap_remove(index);
    request.op = op;
    request
}
