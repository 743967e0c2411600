//! `stampede.admin.v1.AdminService`: operators, auditors, drills. Its port is not the clients'.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::consensus::{Consistency, TransferError};
use crate::domain::{Command, LedgerView, Outcome};
use crate::limits;
use crate::proto::admin::admin_service_server::AdminService;
use crate::proto::storage::MemberNode;
use crate::proto::{admin, v1};
use crate::storage::RocksView;
use crate::storage::codec::corrupt;
use crate::transport::calls::{Call, CallMetrics};
use crate::transport::edge::Edge;
use crate::transport::errors::{Failure, Reason};
use crate::transport::exports::{export, send_scan, unexported};
use crate::transport::ledger_node::ClusterNode;
use crate::transport::lists::Lists;
use crate::transport::long_answers::LongAnswers;
use crate::transport::members::Members;
use crate::transport::peers::{self, ClusterIdentity};
use crate::transport::support::{LooksInside, Support};
use crate::transport::{deadline, history, status, validate, wire};

pub struct Admin {
    edge: Edge<ClusterNode>,
    identity: ClusterIdentity,
    /// What `Init` makes a cluster of: the members of the configuration.
    members: Vec<MemberNode>,
    calls: Arc<CallMetrics>,
    long_answers: LongAnswers,
    watches: LongAnswers,
    stop: watch::Receiver<bool>,
    lists: Lists,
    started: Instant,
}

impl Admin {
    #[must_use]
    pub fn new(
        edge: Edge<ClusterNode>,
        identity: ClusterIdentity,
        members: Vec<MemberNode>,
        calls: Arc<CallMetrics>,
        started: Instant,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (long_answers, watches) = (LongAnswers::whole(stop.clone()), LongAnswers::watches(stop.clone()));
        Self { edge, identity, members, calls, long_answers, watches, stop, lists: Lists::default(), started }
    }

    /// The other service of the operators' port.
    pub(super) fn members(&self) -> Members {
        Members::new(self.edge.clone(), self.identity.clone(), self.calls.clone())
    }

    /// The third; `node` is who runs it.
    pub(super) fn support(&self, node: Arc<dyn LooksInside>) -> Support {
        Support::new(node, self.calls.clone(), self.stop.clone())
    }

    fn node(&self) -> &ClusterNode {
        self.edge.node()
    }

    /// The identity of every member is durable before the first log entry: a crash or a failure between the two leaves members
    /// that the same call, at any of them, completes.
    async fn initialize(&self, cluster_name: String) -> Result<String, Failure> {
        if self.node().status().initialized {
            return Err(Failure::new(Reason::AlreadyInitialized, "the cluster is initialised already"));
        }
        let cluster = peers::choose_cluster(&self.identity, &self.members, cluster_name).await?;
        peers::join_members(&self.identity, &self.members, &cluster, |error| self.edge.stop_for(error)).await?;
        self.node().initialize(self.members.clone()).await?;
        Ok(cluster.id)
    }

    /// One command that has only `done` to answer, or a refusal, which tells what it is `about`.
    async fn execute(
        &self,
        command: Command,
        done: &Outcome,
        about: (&'static str, String),
        within: Duration,
    ) -> Result<v1::Receipt, Failure> {
        let submitted = self.edge.submit(vec![command], within).await?;
        let reply = submitted.replies.into_iter().next();
        let receipt = reply.as_ref().map(|reply| wire::receipt(reply.place, reply.replayed, submitted.term));
        match (reply.map(|reply| reply.outcome), receipt) {
            (Some(outcome), Some(receipt)) if outcome == *done => Ok(receipt),
            (Some(Outcome::Refused(refusal)), receipt) => Err(Failure::refused(refusal, receipt).about(about.0, about.1)),
            _ => Err(Failure::new(Reason::OutcomeUnknown, "the ledger's answer does not fit the command")),
        }
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn init(&self, request: Request<admin::InitRequest>) -> Result<Response<admin::InitResponse>, Status> {
        self.calls
            .init
            .count(async {
                let name = request.into_inner().cluster_name;
                validate::cluster_name(&name).map_err(Failure::from)?;
                let cluster_id = self.initialize(name).await?;
                Ok(Response::new(admin::InitResponse { cluster_id }))
            })
            .await
    }

    async fn get_status(
        &self,
        _request: Request<admin::GetStatusRequest>,
    ) -> Result<Response<admin::GetStatusResponse>, Status> {
        self.calls
            .get_status
            .count(async {
                Ok(Response::new(status::status(&self.edge, &self.identity.data().identity(), self.started).await))
            })
            .await
    }

    async fn transfer_leader(
        &self,
        request: Request<admin::TransferLeaderRequest>,
    ) -> Result<Response<admin::TransferLeaderResponse>, Status> {
        self.calls
            .transfer_leader
            .count(async {
                let within = deadline::within(request.metadata());
                let to = Some(request.into_inner().to_node_id).filter(|to| *to != 0);
                let leader_id = self.node().transfer_leader(to, within).await.map_err(|error| {
                    let leader = match &error {
                        TransferError::NotLeader { leader } => *leader,
                        _ => None,
                    };
                    self.edge.with_leader(error.into(), leader)
                })?;
                Ok(Response::new(admin::TransferLeaderResponse { leader_id }))
            })
            .await
    }

    async fn trigger_snapshot(
        &self,
        request: Request<admin::TriggerSnapshotRequest>,
    ) -> Result<Response<admin::TriggerSnapshotResponse>, Status> {
        self.calls
            .trigger_snapshot
            .count(async {
                let within = deadline::within(request.metadata());
                let snapshot_index = self.node().trigger_snapshot(within).await.map_err(Failure::from)?;
                Ok(Response::new(admin::TriggerSnapshotResponse { snapshot_index }))
            })
            .await
    }

    async fn open_series(
        &self,
        request: Request<admin::OpenSeriesRequest>,
    ) -> Result<Response<admin::OpenSeriesResponse>, Status> {
        self.calls
            .open_series
            .count(async {
                let within = deadline::within(request.metadata());
                let request = request.into_inner();
                let command = validate::open_series(&request, self.edge.key_check()).map_err(Failure::from)?;
                let about = ("series", request.series_code);
                let receipt = self.execute(command, &Outcome::SeriesOpened, about, within).await?;
                Ok(Response::new(admin::OpenSeriesResponse { receipt: Some(receipt) }))
            })
            .await
    }

    async fn set_policy(
        &self,
        request: Request<admin::SetPolicyRequest>,
    ) -> Result<Response<admin::SetPolicyResponse>, Status> {
        self.calls
            .set_policy
            .count(async {
                let within = deadline::within(request.metadata());
                let command = validate::set_policy(request.get_ref()).map_err(Failure::from)?;
                let about = ("policy", request.get_ref().version.to_string());
                let receipt = self.execute(command, &Outcome::PolicySet, about, within).await?;
                Ok(Response::new(admin::SetPolicyResponse { receipt: Some(receipt) }))
            })
            .await
    }

    async fn get_policy(
        &self,
        request: Request<admin::GetPolicyRequest>,
    ) -> Result<Response<admin::GetPolicyResponse>, Status> {
        self.calls
            .get_policy
            .count(async {
                let within = deadline::within(request.metadata());
                let in_force = |view: &RocksView| {
                    let version = view.totals()?.policy_version;
                    let policy = view.policy(version)?;
                    if version > 0 && policy.is_none() {
                        return Err(corrupt("policies", format_args!("version {version} is in force and missing")));
                    }
                    Ok(policy)
                };
                let (mark, policy) = self.edge.read(Consistency::Linearizable, within, in_force).await?;
                let policy = Some(wire::policy(policy.as_ref()));
                Ok(Response::new(admin::GetPolicyResponse { mark: Some(mark), policy }))
            })
            .await
    }

    async fn settle_refund(
        &self,
        request: Request<admin::SettleRefundRequest>,
    ) -> Result<Response<admin::SettleRefundResponse>, Status> {
        self.calls
            .settle_refund
            .count(async {
                let within = deadline::within(request.metadata());
                let command = validate::settle_refund(request.get_ref()).map_err(Failure::from)?;
                let about = ("payment", request.into_inner().payment_id);
                let receipt = self.execute(command, &Outcome::RefundSettled, about, within).await?;
                Ok(Response::new(admin::SettleRefundResponse { receipt: Some(receipt) }))
            })
            .await
    }

    async fn list_refunds_due(
        &self,
        request: Request<admin::ListRefundsDueRequest>,
    ) -> Result<Response<admin::ListRefundsDueResponse>, Status> {
        self.calls
            .list_refunds_due
            .count(async {
                let within = deadline::within(request.metadata());
                let size = validate::page_size(request.get_ref().page_size).map_err(Failure::from)?;
                let after = validate::page_after(&request.get_ref().page_token).map_err(Failure::from)?;
                // One more than is told: it says whether there is another page.
                let page = move |view: &RocksView| view.refunds_due(after, size + 1);
                let (mark, mut due) = self.edge.read(Consistency::Linearizable, within, page).await?;
                let is_last = due.len() <= size;
                due.truncate(size);
                let last = due.last().filter(|_| !is_last).map(|refund| refund.due.to_string());
                let refunds = due.iter().map(wire::refund).collect();
                let next_page_token = last.unwrap_or_default();
                Ok(Response::new(admin::ListRefundsDueResponse { mark: Some(mark), refunds, next_page_token }))
            })
            .await
    }

    async fn list_orders(
        &self,
        request: Request<admin::ListOrdersRequest>,
    ) -> Result<Response<admin::ListOrdersResponse>, Status> {
        self.calls
            .list_orders
            .count(async {
                let (within, request) = (deadline::within(request.metadata()), request.get_ref());
                let size = validate::page_size(request.page_size).map_err(Failure::from)?;
                let filter = validate::order_filter(request).map_err(Failure::from)?;
                let (token, shown) = (&request.page_token, format!("{filter:?}"));
                let read = move |view: &RocksView, from: &[u8]| view.orders_page(from, size, |order| filter.wants(order));
                let (mark, orders, next_page_token) = self.lists.page(&self.edge, token, shown, within, read).await?;
                let orders = orders.iter().map(|order| wire::order(order, Vec::new())).collect();
                Ok(Response::new(admin::ListOrdersResponse { mark: Some(mark), orders, next_page_token }))
            })
            .await
    }

    async fn list_payments(
        &self,
        request: Request<admin::ListPaymentsRequest>,
    ) -> Result<Response<admin::ListPaymentsResponse>, Status> {
        self.calls
            .list_payments
            .count(async {
                let (within, request) = (deadline::within(request.metadata()), request.get_ref());
                let size = validate::page_size(request.page_size).map_err(Failure::from)?;
                let filter = validate::payment_filter(request).map_err(Failure::from)?;
                let (token, shown) = (&request.page_token, format!("{filter:?}"));
                let read = move |view: &RocksView, from: &[u8]| {
                    view.payments_page(from, size, filter.gateway.as_ref(), |payment| filter.pick(view, payment))
                };
                let (mark, payments, next_page_token) = self.lists.page(&self.edge, token, shown, within, read).await?;
                let told = |(payment, refund): &(_, Option<_>)| wire::payment(payment, refund.as_ref().map(wire::refund));
                let payments = payments.iter().map(told).collect();
                Ok(Response::new(admin::ListPaymentsResponse { mark: Some(mark), payments, next_page_token }))
            })
            .await
    }

    async fn list_series(
        &self,
        request: Request<admin::ListSeriesRequest>,
    ) -> Result<Response<admin::ListSeriesResponse>, Status> {
        self.calls
            .list_series
            .count(async {
                let within = deadline::within(request.metadata());
                let (mark, series) = self.edge.read(Consistency::Linearizable, within, |view| view.all_series()).await?;
                let series = series.iter().map(wire::series).collect();
                Ok(Response::new(admin::ListSeriesResponse { mark: Some(mark), series }))
            })
            .await
    }

    type ScanLedgerStream = BoxStream<'static, Result<admin::ScanLedgerResponse, Status>>;

    /// On a blocking thread of its own: a scan takes as long as the ledger is large, and waits for its reader, within limits.
    async fn scan_ledger(
        &self,
        _request: Request<admin::ScanLedgerRequest>,
    ) -> Result<Response<Self::ScanLedgerStream>, Status> {
        let call = self.calls.scan_ledger.start();
        let answer = match self.long_answers.begin() {
            Ok(answer) => answer,
            Err(failure) => return Err(ended(call, failure)),
        };
        let scan = self.node().ledger().scan();
        let node_id = self.node().status().node_id;
        let edge = self.edge.clone();
        let records = answer.of_blocking(limits::LONG_ANSWER_RECORDS_AHEAD, move |reader| {
            send_scan(&scan, node_id, reader).unwrap_or_else(|error| Err(edge.stop_for(error).status()))
        });
        Ok(Response::new(call.until_the_end_of(records)))
    }

    type ExportLogStream = BoxStream<'static, Result<admin::ExportLogResponse, Status>>;

    async fn export_log(&self, request: Request<admin::ExportLogRequest>) -> Result<Response<Self::ExportLogStream>, Status> {
        let call = self.calls.export_log.start();
        let answer = match self.long_answers.begin() {
            Ok(answer) => answer,
            Err(failure) => return Err(ended(call, failure)),
        };
        let from = request.into_inner().from_index;
        let Some(applied) = self.node().status().applied else {
            return Ok(Response::new(call.until_the_end_of(stream::empty())));
        };
        // The first page tells an unreachable start by the status of the call.
        let first = match self.node().export_log(from, limits::EXPORT_ENTRIES_PAGE).await {
            Ok(first) => first,
            Err(error) => return Err(ended(call, unexported(&self.edge, error))),
        };
        let entries = export(self.edge.clone(), first, applied.index);
        let entries = answer.of_stream(entries, limits::LONG_ANSWER_RECORDS_AHEAD, |entry| entry.log_index);
        Ok(Response::new(call.until_the_end_of(entries)))
    }

    type ExportAuditStream = BoxStream<'static, Result<admin::ExportAuditResponse, Status>>;

    async fn export_audit(
        &self,
        request: Request<admin::ExportAuditRequest>,
    ) -> Result<Response<Self::ExportAuditStream>, Status> {
        let call = self.calls.export_audit.start();
        let (within, from) = (deadline::within(request.metadata()), request.into_inner().from_index);
        let begun = async {
            let answer = self.long_answers.begin()?;
            let end = history::end_of_history(&self.edge, from, within).await?;
            let records = history::export(self.edge.clone(), from, end);
            Ok(answer.of_stream(records, limits::HISTORY_ENTRIES_AHEAD, |record| record.log_index))
        };
        match begun.await {
            Ok(records) => Ok(Response::new(call.until_the_end_of(records))),
            Err(failure) => Err(ended(call, failure)),
        }
    }

    type WatchLedgerStream = BoxStream<'static, Result<admin::WatchLedgerResponse, Status>>;

    async fn watch_ledger(
        &self,
        request: Request<admin::WatchLedgerRequest>,
    ) -> Result<Response<Self::WatchLedgerStream>, Status> {
        let call = self.calls.watch_ledger.start();
        let (within, request) = (deadline::within(request.metadata()), request.into_inner());
        let from = request.from_index;
        let begun = async {
            let answer = self.watches.begin()?;
            history::end_of_history(&self.edge, from, within).await?;
            history::same_history(&self.edge, from, &request.after).await?;
            let events = history::watch(self.edge.clone(), from, self.stop.clone());
            Ok(answer.of_stream(events, limits::HISTORY_ENTRIES_AHEAD, history::begins_at))
        };
        match begun.await {
            Ok(events) => Ok(Response::new(call.until_the_end_of(events))),
            Err(failure) => Err(ended(call, failure)),
        }
    }

    async fn list_digests(
        &self,
        request: Request<admin::ListDigestsRequest>,
    ) -> Result<Response<admin::ListDigestsResponse>, Status> {
        self.calls
            .list_digests
            .count(async {
                let digests = self.node().recent_digests(request.into_inner().from_index);
                let digests = digests.into_iter().take(limits::DIGESTS_LISTED_MAX);
                let digests =
                    digests.map(|(log_index, digest)| admin::IndexDigest { log_index, digest: digest.to_string() }).collect();
                Ok(Response::new(admin::ListDigestsResponse { digests }))
            })
            .await
    }
}

/// A call that comes to no stream.
fn ended(call: Call, failure: Failure) -> Status {
    let status = failure.status();
    call.end(status.code());
    status
}
