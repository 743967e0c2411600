//! The leader proposes that orders expire whose time has come. Which ones do is decided when the entry is applied, by the
//! ledger's clock; this only looks whether there is anything to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::AsyncRuntime;
use openraft::type_config::TypeConfigExt;

use super::agreed_time::AgreedTime;
use super::calls::Sender;
use super::proposer::Proposer;
use super::target::Target;
use super::types::TypeConfig;
use crate::domain::{Command, LedgerTime, Outcome};
use crate::limits;
use crate::storage::LedgerStore;

/// Runs until `stopped`.
pub(super) async fn run<RT: AsyncRuntime, S: LedgerStore, T: Target<RT>>(
    ledger: S,
    proposer: Arc<Proposer<RT, T>>,
    time: Arc<AgreedTime<RT>>,
    stopped: Arc<AtomicBool>,
) {
    while !stopped.load(Ordering::Acquire) {
        TypeConfig::<RT>::sleep(limits::EXPIRY_POLL_INTERVAL).await;
        while proposer.leads() && is_due(&ledger, time.now()).await {
            let command = Command::ExpireOrders { limit: limits::EXPIRE_ORDERS_MAX };
            // As if from a peer: another leader does this by itself.
            match proposer.submit(vec![command], limits::EXPIRY_PROPOSE_WITHIN, Sender::Peer).await {
                // As many as were asked for: there may be more.
                Ok(submitted) if expired(&submitted.replies) == limits::EXPIRE_ORDERS_MAX => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::debug!(event = "orders_not_expired", %error, "orders were not expired, another look will follow");
                    break;
                }
            }
        }
    }
}

async fn is_due<S: LedgerStore>(ledger: &S, now: LedgerTime) -> bool {
    ledger.has_expired(now).await.unwrap_or_else(|error| {
        tracing::error!(event = "expiry_search_failed", %error, "the ledger could not be searched for orders to expire");
        // Proposed all the same: to apply it, this node's ledger would have to read them, and the failure stops the node.
        true
    })
}

fn expired(replies: &[crate::domain::Reply]) -> u32 {
    replies.iter().map(|reply| if let Outcome::OrdersExpired { count } = reply.outcome { count } else { 0 }).sum()
}
