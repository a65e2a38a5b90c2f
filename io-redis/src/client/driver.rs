//! The task that calls the core when something is due.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;

use crate::client::hub::{Hub, Turn};

/// Runs the core's timers until the client is finished.
pub(crate) async fn drive(hub: Arc<Hub>) {
    loop {
        match hub.drive() {
            Turn::Over => return,
            // A step is bounded. Between two of them other tasks, timers and sockets of this thread
            // get their turn.
            // Law: Bounded work
            Turn::Again => tokio::task::yield_now().await,
            // It does not matter which of the two woke this task: `drive` looks up what is due.
            Turn::At(at) => {
                let due = hub.clock().sleep_until(at);
                select(pin!(hub.driver_woken()), due).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenure_core::{Answer, Fence, Instant, Op, Reply, Request, ServerTime};

    use crate::client::hub::Hub;
    use crate::client::testing::{acquire, hub, node};
    use crate::link::interface::Work;

    /// The requests that are due at the node.
    fn asked(hub: &Hub) -> Vec<Request> {
        let mut requests = Vec::new();
        hub.poll(node(), 10, &mut requests);
        requests
    }

    /// The guard has told the end, from its own clock.
    // Law: No resurrection
    #[test]
    fn nothing_is_renewed_after_the_end_although_the_driver_is_late() {
        let (hub, clock) = hub();
        let (lease, cell) = acquire(&hub);
        let granted = Answer::Granted {
            fence: Fence::new(7).expect("not zero"),
            server_time: ServerTime::from_micros(7),
        };
        let reply = |request: &Request| (request.id, Reply::Applied(granted.clone()));
        hub.reply(&mut asked(&hub).iter().map(reply).collect());
        assert!(hub.renew(lease).is_ok());
        clock.set(cell.valid_until() + Duration::from_millis(1));
        assert!(asked(&hub).is_empty());
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
}
