//! Being told to stop, and stopping in order.
//!
//! In order means that no caller notices: leadership moves first, while every port is open and calls go on (as the leader's
//! own, then forwarded to the new one); only then are the ports closed, each after its last answer. Membership is never
//! touched: a node that stops comes back.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::consensus::{NodeStatus, TransferError};
use crate::limits::{HAND_OVER_RETRY_PAUSE, HAND_OVER_TRY_WITHIN};

/// Completes with the reason when this process should stop; may be asked again for a second request.
pub struct StopRequests {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    stdin_closed: Option<oneshot::Receiver<()>>,
    was_signalled: bool,
}

impl StopRequests {
    /// `with_stdin`: also when standard input closes, as it does when the parent process ends.
    ///
    /// # Errors
    /// The operating system does not let signals be caught.
    pub fn listen(with_stdin: bool) -> std::io::Result<Self> {
        let stdin_closed = with_stdin.then(watch_stdin);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            stdin_closed,
            was_signalled: false,
        })
    }

    pub async fn next(&mut self) -> &'static str {
        let stdin_closed = async {
            match self.stdin_closed.as_mut() {
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => self.signalled("SIGINT"),
            _ = self.terminate.recv() => self.signalled("SIGTERM"),
            () = stdin_closed => {
                self.stdin_closed = None;
                "standard input closed"
            }
        }
    }

    fn signalled(&mut self, name: &'static str) -> &'static str {
        self.was_signalled = true;
        name
    }

    /// Completes when a signal comes after another: whoever sends two wants no more waiting. A parent that ends closes
    /// standard input as well as it sends a signal, and wants nothing by it.
    pub async fn insisted(&mut self) -> &'static str {
        loop {
            let was_signalled = self.was_signalled;
            let name = tokio::select! {
                _ = self.interrupt.recv() => self.signalled("SIGINT"),
                _ = self.terminate.recv() => self.signalled("SIGTERM"),
            };
            if was_signalled {
                return name;
            }
        }
    }
}

/// A thread of its own: a read of standard input cannot be given up.
fn watch_stdin() -> oneshot::Receiver<()> {
    let (closed, is_closed) = oneshot::channel();
    std::thread::spawn(move || {
        // Whatever is written there is thrown away; an error means as much as the end.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = closed.send(());
    });
    is_closed
}

/// What a hand-over needs of a node.
pub trait Leads: Sync {
    fn status(&self) -> NodeStatus;
    /// As leader: without a majority nobody can take over.
    fn hears_a_majority(&self) -> bool;
    fn transfer_leader(&self, within: Duration) -> impl Future<Output = Result<u64, TransferError>> + Send;
}

/// Until this node does not lead, or nobody can take over, or `deadline`. True: whoever leads, it is not this node.
///
/// When all nodes are told to stop at once, the last one to lead is left without a majority: it does not wait for one.
pub async fn hand_over(node: &impl Leads, deadline: Instant) -> bool {
    loop {
        let status = node.status();
        if !status.leads() {
            return true;
        }
        let others = status.members.iter().filter(|member| member.voter && member.node_id != status.node_id).count();
        let left = deadline.saturating_duration_since(Instant::now());
        // Alone there is nobody to hand over to.
        if others == 0 || left.is_zero() {
            return false;
        }
        match node.transfer_leader(left.min(HAND_OVER_TRY_WITHIN)).await {
            Ok(leader) => {
                tracing::info!(event = "leadership_handed_over", leader, "another node leads");
                return true;
            }
            Err(TransferError::NotLeader { .. }) => return true,
            Err(error) => {
                tracing::warn!(event = "hand_over_failed", %error, "leadership has not moved");
                // Time enough for the answers to a heartbeat, should it have been elected again.
                sleep(HAND_OVER_RETRY_PAUSE.min(left)).await;
                if node.status().leads() && !node.hears_a_majority() {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::consensus::{MemberStatus, Role};
    use crate::operations::health::tests::healthy;

    /// Leads until a transfer goes well; the answers are given in their order, the last for ever.
    struct Scripted {
        answers: Mutex<Vec<Result<u64, TransferError>>>,
        status: Mutex<NodeStatus>,
        hears_a_majority: bool,
    }

    impl Scripted {
        fn leader(voters: u64, answers: &[Result<u64, TransferError>]) -> Self {
            let member = |node_id| MemberStatus {
                node_id,
                peer_address: String::new(),
                client_address: String::new(),
                voter: true,
                heard: None,
                matched: None,
                clock_ahead_ms: None,
                disk_low: None,
            };
            let members = (1..=voters).map(member).collect();
            let status = NodeStatus { node_id: 1, role: Role::Leader, leader: Some(1), members, ..healthy() };
            Self { answers: Mutex::new(answers.to_vec()), status: Mutex::new(status), hears_a_majority: true }
        }
    }

    impl Leads for Scripted {
        fn status(&self) -> NodeStatus {
            self.status.lock().unwrap().clone()
        }

        fn hears_a_majority(&self) -> bool {
            self.hears_a_majority
        }

        async fn transfer_leader(&self, _within: Duration) -> Result<u64, TransferError> {
            let mut answers = self.answers.lock().unwrap();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            if answer.is_ok() {
                self.status.lock().unwrap().role = Role::Follower;
            }
            answer
        }
    }

    fn in_a_while() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn leadership_is_offered_again_until_it_has_moved() {
        let node = Scripted::leader(3, &[Err(TransferError::Deadline), Err(TransferError::NotEligible(2)), Ok(3)]);
        assert!(hand_over(&node, in_a_while()).await);
        assert!(!node.status().leads());
    }

    #[tokio::test]
    async fn a_hand_over_that_never_goes_well_ends_at_the_deadline() {
        let node = Scripted::leader(3, &[Err(TransferError::Deadline)]);
        let deadline = Instant::now() + Duration::from_millis(50);
        assert!(!hand_over(&node, deadline).await);
        assert!(Instant::now() >= deadline);
    }

    #[tokio::test]
    async fn a_leader_whose_peers_have_gone_tries_once_and_does_not_wait() {
        let node = Scripted { hears_a_majority: false, ..Scripted::leader(3, &[Err(TransferError::Deadline)]) };
        // It would wait a minute.
        let deadline = in_a_while();
        assert!(!hand_over(&node, deadline).await);
        assert!(Instant::now() < deadline);
    }

    #[tokio::test]
    async fn who_does_not_lead_or_is_alone_does_not_wait() {
        // It would wait a minute.
        let deadline = in_a_while();
        let node = Scripted::leader(1, &[Err(TransferError::Deadline)]);
        assert!(!hand_over(&node, deadline).await, "alone");
        node.status.lock().unwrap().role = Role::Follower;
        assert!(hand_over(&node, deadline).await, "a follower");
        assert!(Instant::now() < deadline);
    }
}
