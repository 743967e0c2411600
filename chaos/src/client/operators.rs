//! Calls that the operators' port takes: series, the policy, refunds, lists.

use std::time::Duration;

use tonic::transport::Channel;

use super::call;
use super::convert::{self, or_unknown, read, written};
use crate::history::{Outcome, ReadAnswer, Request, WriteAnswer, wire};
use crate::model::series_text;
use crate::proto::admin;
use crate::proto::admin::admin_service_client::AdminServiceClient;

pub(super) async fn call_operators(
    mut client: AdminServiceClient<Channel>,
    request: Request,
    deadline: Option<Duration>,
) -> Outcome {
    let is_read = !request.is_write();
    match request {
        Request::OpenSeries { series, first_number, capacity, face_value_idr, payment_window_ms } => {
            let series_code = series_text(series);
            let open = admin::OpenSeriesRequest { series_code, first_number, capacity, face_value_idr, payment_window_ms };
            call!(client, open_series, open, is_read, deadline, series_opened)
        }
        Request::SettleRefund { payment, amount_idr, reference } => {
            let settle = admin::SettleRefundRequest {
                gateway: payment.gateway.into(),
                payment_id: payment.payment_id.into(),
                amount_idr,
                reference: reference.into(),
            };
            call!(client, settle_refund, settle, is_read, deadline, refund_settled)
        }
        Request::SetPolicy { version, void_refund_percent, void_window_ms } => {
            let set = admin::SetPolicyRequest { version, void_refund_percent, void_window_ms };
            call!(client, set_policy, set, is_read, deadline, policy_set)
        }
        Request::GetPolicy => call!(client, get_policy, admin::GetPolicyRequest {}, is_read, deadline, policy_read),
        Request::ListRefundsDue { page_size, page_token, .. } => {
            let list = admin::ListRefundsDueRequest { page_size, page_token: page_token.into() };
            call!(client, list_refunds_due, list, is_read, deadline, refunds_listed)
        }
        Request::ListOrders(list) => {
            call!(client, list_orders, convert::list_orders(*list), is_read, deadline, orders_listed)
        }
        Request::ListPayments(list) => {
            call!(client, list_payments, convert::list_payments(*list), is_read, deadline, payments_listed)
        }
        other => unreachable!("the public port takes {other:?}"),
    }
}

fn series_opened(response: admin::OpenSeriesResponse) -> Outcome {
    or_unknown(written(response.receipt, WriteAnswer::SeriesOpened), "OpenSeries")
}

fn refund_settled(response: admin::SettleRefundResponse) -> Outcome {
    or_unknown(written(response.receipt, WriteAnswer::RefundSettled), "SettleRefund")
}

fn policy_set(response: admin::SetPolicyResponse) -> Outcome {
    or_unknown(written(response.receipt, WriteAnswer::PolicySet), "SetPolicy")
}

fn policy_read(response: admin::GetPolicyResponse) -> Outcome {
    let policy = response.policy.as_ref().map(wire::policy).map(ReadAnswer::Policy);
    or_unknown(policy.map(|policy| read(response.mark, policy)), "GetPolicy")
}

fn refunds_listed(response: admin::ListRefundsDueResponse) -> Outcome {
    let refunds = response.refunds.iter().map(wire::refund).collect::<Option<Vec<_>>>();
    let next_page_token = response.next_page_token.as_str().into();
    let answer = refunds.map(|refunds| ReadAnswer::RefundsDue { refunds, next_page_token });
    or_unknown(answer.map(|answer| read(response.mark, answer)), "ListRefundsDue")
}

fn orders_listed(response: admin::ListOrdersResponse) -> Outcome {
    let orders = response.orders.iter().map(wire::order).collect::<Option<Vec<_>>>();
    let next_page_token = response.next_page_token.as_str().into();
    let answer = orders.map(|orders| ReadAnswer::Orders { orders, next_page_token });
    or_unknown(answer.map(|answer| read(response.mark, answer)), "ListOrders")
}

fn payments_listed(response: admin::ListPaymentsResponse) -> Outcome {
    let payments = response.payments.iter().map(wire::payment).collect::<Option<Vec<_>>>();
    let next_page_token = response.next_page_token.as_str().into();
    let answer = payments.map(|payments| ReadAnswer::Payments { payments, next_page_token });
    or_unknown(answer.map(|answer| read(response.mark, answer)), "ListPayments")
}
