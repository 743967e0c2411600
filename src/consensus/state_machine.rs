//! openraft's state machine over a [`LedgerStore`]: converts and calls down. No rule of the business is here.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::async_runtime::watch::WatchSender as _;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{WatchReceiverOf, WatchSenderOf};
use openraft::{AsyncRuntime, EntryPayload, Instant, OptionalSend};

use super::first_failure::FirstFailure;
use super::metrics::Metrics;
use super::types::{Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use super::wire;
use crate::limits;
use crate::storage::codec::corrupt;
use crate::storage::{CommittedEntry, EntryBody, LedgerMeta, LedgerStore, StorageError};

pub(super) struct StateMachine<RT: AsyncRuntime, S> {
    ledger: S,
    metrics: Arc<Metrics>,
    failure: FirstFailure,
    /// Log entries applied so far: the index of the next one.
    applied_end: Mutex<WatchSenderOf<TypeConfig<RT>, u64>>,
}

impl<RT: AsyncRuntime, S: LedgerStore> StateMachine<RT, S> {
    /// The receiver follows the index after the last one that is applied.
    pub(super) fn new(ledger: S, metrics: Arc<Metrics>, failure: FirstFailure) -> (Self, WatchReceiverOf<TypeConfig<RT>, u64>) {
        let (sender, receiver) = TypeConfig::<RT>::watch_channel(applied_end(&ledger.meta()));
        (Self { ledger, metrics, failure, applied_end: Mutex::new(sender) }, receiver)
    }

    fn publish_applied(&self) {
        let end = applied_end(&self.ledger.meta());
        self.applied_end.lock().unwrap_or_else(PoisonError::into_inner).send_if_greater(end);
    }

    async fn apply_group(&self, group: Group<RT>) -> io::Result<()> {
        let Group { entries, responders, .. } = group;
        let count = entries.len();
        let started = TypeConfig::<RT>::now();
        let replies = self.ledger.apply(entries).await.map_err(|error| self.failure.keep(error))?;
        self.metrics.apply_us.record_us(started.elapsed());
        self.metrics.apply_entries.record(count as u64);
        if replies.len() != count {
            return Err(io::Error::other(format!("{count} entries were applied, {} answered", replies.len())));
        }
        self.publish_applied();
        for (responder, replies) in responders.into_iter().zip(replies) {
            if let Some(responder) = responder {
                responder.send(replies);
            }
        }
        Ok(())
    }
}

fn applied_end(meta: &LedgerMeta) -> u64 {
    meta.applied.as_ref().map_or(0, |applied| applied.index + 1)
}

/// Entries that go into one atomic write.
struct Group<RT: AsyncRuntime> {
    entries: Vec<CommittedEntry>,
    responders: Vec<Option<ApplyResponder<TypeConfig<RT>>>>,
    commands: usize,
}

impl<RT: AsyncRuntime> Group<RT> {
    fn new() -> Self {
        Self { entries: Vec::new(), responders: Vec::new(), commands: 0 }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= limits::APPLY_ENTRIES_MAX || self.commands >= limits::APPLY_COMMANDS_MAX
    }

    fn push(&mut self, (entry, responder): EntryResponder<TypeConfig<RT>>) -> Result<(), StorageError> {
        let entry = committed_entry(entry)?;
        if let EntryBody::Commands(batch) = &entry.body {
            self.commands += batch.commands.len();
        }
        self.entries.push(entry);
        self.responders.push(responder);
        Ok(())
    }
}

/// What a peer sent was decoded when it came: what cannot be decoded now was damaged on our disk.
pub(super) fn committed_entry(entry: Entry) -> Result<CommittedEntry, StorageError> {
    let index = entry.log_id.index;
    let body = match entry.payload {
        EntryPayload::Blank => EntryBody::Blank,
        EntryPayload::Normal(batch) => {
            let decoded = batch.take_decoded();
            EntryBody::Commands(decoded.map_err(|error| corrupt(&format!("log entry {index}"), error))?)
        }
        EntryPayload::Membership(membership) => EntryBody::Membership(wire::membership_to_wire(&membership)),
    };
    Ok(CommittedEntry { position: wire::position(&entry.log_id), body })
}

impl<RT: AsyncRuntime, S: LedgerStore> RaftStateMachine<TypeConfig<RT>> for StateMachine<RT, S> {
    type SnapshotData = S::Snapshot;
    type SnapshotBuilder = SnapshotBuilder<S>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let meta = meta_of(&self.ledger.meta()).map_err(|error| self.failure.keep(error))?;
        Ok((meta.last_log_id, meta.last_membership))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig<RT>>, io::Error>> + Unpin + OptionalSend,
    {
        // The look ahead below may have met the end already.
        let mut entries = entries.fuse();
        while let Some(first) = entries.next().await {
            let mut group = Group::new();
            group.push(first?).map_err(|error| self.failure.keep(error))?;
            // What is ready joins; what has to be read from disk first is another group.
            while !group.is_full()
                && let Some(Some(next)) = entries.next().now_or_never()
            {
                group.push(next?).map_err(|error| self.failure.keep(error))?;
            }
            self.apply_group(group).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        let ledger = self.ledger.clone();
        let mut building: Building<S> = async move { ledger.build_snapshot().await }.boxed();
        // The ledger takes its position at the first poll: here, between two applies, not when openraft gets to run it.
        let building = match poll_fn(|context| Poll::Ready(building.as_mut().poll(context))).await {
            Poll::Ready(result) => std::future::ready(result).boxed(),
            Poll::Pending => building,
        };
        SnapshotBuilder { building: Mutex::new(Some(building)), metrics: self.metrics.clone(), failure: self.failure.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: S::Snapshot) -> Result<(), io::Error> {
        let started = TypeConfig::<RT>::now();
        let installed = self.ledger.install_snapshot(snapshot).await.and_then(|installed| meta_of(&installed));
        let installed = installed.map_err(|error| self.failure.keep(error))?;
        // The header that openraft decided by and the contents must tell of the same state.
        if installed != *meta {
            return Err(io::Error::other(format!("a snapshot of {meta} was announced, it is one of {installed}")));
        }
        self.metrics.snapshot_install_us.record_us(started.elapsed());
        self.publish_applied();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<S::Snapshot>>, io::Error> {
        self.ledger.current_snapshot().map(to_snapshot::<S>).transpose().map_err(|error| self.failure.keep(error))
    }
}

type Building<S> = BoxFuture<'static, Result<(LedgerMeta, <S as LedgerStore>::Snapshot), StorageError>>;

pub(super) struct SnapshotBuilder<S: LedgerStore> {
    /// In a mutex because openraft wants the builder to be `Sync`; never locked.
    building: Mutex<Option<Building<S>>>,
    metrics: Arc<Metrics>,
    failure: FirstFailure,
}

impl<RT: AsyncRuntime, S: LedgerStore> RaftSnapshotBuilder<TypeConfig<RT>> for SnapshotBuilder<S> {
    type SnapshotData = S::Snapshot;

    async fn build_snapshot(&mut self) -> Result<Snapshot<S::Snapshot>, io::Error> {
        let building = self.building.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let building = building.ok_or_else(|| io::Error::other("a snapshot builder builds once"))?;
        let started = TypeConfig::<RT>::now();
        let built = building.await.and_then(to_snapshot::<S>).map_err(|error| self.failure.keep(error))?;
        self.metrics.snapshot_build_us.record_us(started.elapsed());
        Ok(built)
    }
}

fn to_snapshot<S: LedgerStore>((meta, snapshot): (LedgerMeta, S::Snapshot)) -> Result<Snapshot<S::Snapshot>, StorageError> {
    Ok(Snapshot { meta: meta_of(&meta)?, snapshot })
}

fn meta_of(meta: &LedgerMeta) -> Result<SnapshotMeta, StorageError> {
    wire::snapshot_meta(meta).map_err(|error| corrupt("the ledger's membership", error))
}
