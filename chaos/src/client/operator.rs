//! The operator's calls of a drill: opening the series that are sold.

use anyhow::{Context, bail};

use super::{Call, Way, outcome_of_status, record_invoke};
use crate::cluster::Cluster;
use crate::history::{Outcome, Purpose, Record, Recorder, Request, Return, WriteAnswer, Written, wire};
use crate::limits;
use crate::proto::admin::OpenSeriesRequest;
use crate::scenario::{Series, Span};

/// Session of the operator: buyers start at 1.
const SESSION: u32 = 0;

/// Opens a series, again at the next node until it is known to be open.
///
/// # Errors
/// It is refused, or does not become known in time.
pub async fn open_series(cluster: &Cluster, recorder: &Recorder, series: &Series, payment_window: Span) -> anyhow::Result<()> {
    let payment_window_ms = i64::try_from(payment_window.ms()).context("payment_window")?;
    let request = OpenSeriesRequest {
        series_code: series.code.clone(),
        first_number: series.first_number,
        capacity: series.capacity,
        face_value_idr: i64::from(series.face_value_idr),
        payment_window_ms,
    };
    let recorded = Request::OpenSeries {
        series: series.code.as_bytes().try_into().context("a series code of three characters")?,
        first_number: series.first_number,
        capacity: series.capacity,
        face_value_idr: i64::from(series.face_value_idr),
        payment_window_ms,
    };
    let mut purpose = Purpose::Traffic;
    let until = tokio::time::Instant::now() + limits::FORM_DEADLINE;
    for node in cluster.nodes().iter().cycle() {
        let intended_ns = recorder.now_ns();
        let way = Way::Unary { deadline_on_wire: false };
        let call = Call { session: SESSION, intended_ns, node: node.id(), purpose, request: recorded.clone(), way };
        let op = recorder.next_op();
        record_invoke(recorder, op, &call, 0, None)?;
        let mut admin = node.admin();
        let outcome = match tokio::time::timeout(limits::ADMIN_DEADLINE, admin.open_series(request.clone())).await {
            Ok(Ok(response)) => match wire::receipt(response.into_inner().receipt) {
                Some(receipt) => Outcome::Written(Written { receipt, answer: WriteAnswer::SeriesOpened }),
                None => Outcome::Unknown { why: "OpenSeries was answered without a receipt".into() },
            },
            Ok(Err(status)) => outcome_of_status(&status, false),
            Err(_) => Outcome::Unknown { why: "no answer".into() },
        };
        recorder.record(Record::Return(Return { op, at_ns: recorder.now_ns(), outcome: outcome.clone() }))?;
        match outcome {
            Outcome::Written(_) => return Ok(()),
            Outcome::Refused { reason, .. } => bail!("series {} was refused: {reason}", series.code),
            other if tokio::time::Instant::now() >= until => bail!("series {} could not be opened: {other:?}", series.code),
            _ => purpose = Purpose::Retry,
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    bail!("a cluster without nodes")
}
