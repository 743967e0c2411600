//! What the check of `accounting` catches, and what it lets pass.

use super::*;
use crate::checks::made::{FIRST_NUMBER, QUANTITY, SERIES, order, records, serials};
use crate::history::{OrderSeen, SerialsSeen};

fn held(seen: &OrderSeen) -> (Held, u64) {
    let (mut accounts, mut finding) = (Accounts::default(), Finding::default());
    held_by_orders(1, 9, &records(std::slice::from_ref(seen), &[], &[]), &mut accounts, &mut finding);
    (accounts.0.remove(&(1, SERIES)).expect("of the order's series"), finding.violations)
}

#[test]
fn an_order_has_serials_exactly_if_it_was_issued() {
    use OrderState::{AwaitingPayment, Cancelled, Expired, Issued, Voided};
    for state in [AwaitingPayment, Cancelled, Expired, Issued, Voided] {
        let has_some = matches!(state, Issued | Voided);
        assert_eq!(held(&order(state)).1, 0, "{state:?}");
        let turned = OrderSeen { serials: (!has_some).then(serials), ..order(state) };
        assert_eq!(held(&turned).1, 1, "{turned:?}");
    }
    let of_another_series = OrderSeen { serials: Some(SerialsSeen { series: *b"B24", ..serials() }), ..order(Issued) };
    assert_eq!(held(&of_another_series).1, 1);
}

#[test]
fn what_orders_hold_adds_up_over_lots_and_nodes_apart() {
    let of = |node: u16, state| Accounts([((node, SERIES), held(&order(state)).0)].into_iter().collect());
    let mut accounts = Accounts::default();
    for state in [OrderState::Issued, OrderState::Issued, OrderState::Voided, OrderState::AwaitingPayment] {
        accounts.merge(of(1, state));
        accounts.merge(of(1, state));
    }
    accounts.merge(of(2, OrderState::Issued));
    let sums =
        |node| accounts.0.get(&(node, SERIES)).map(|held| (held.issued, held.voided, held.reserved, held.given_out.len()));
    assert_eq!((sums(1), sums(2)), (Some((12, 6, 6, 6)), Some((3, 0, 0, 1))));
}

/// Of a series with one order issued, one voided, and one that waits.
fn faults(given_out: &[u64], alter: impl FnOnce(&mut Series)) -> u64 {
    let given_out = given_out.iter().map(|first| (*first, QUANTITY)).collect();
    let held = Held { given_out, issued: 3, voided: 3, reserved: 3 };
    let mut series = Series {
        series_code: "A24".into(),
        first_number: FIRST_NUMBER,
        capacity: 9,
        issued: 3,
        voided: 3,
        reserved: 3,
        ..Series::default()
    };
    alter(&mut series);
    let mut finding = Finding::default();
    adds_up(1, 9, &series, held, &mut finding);
    finding.violations
}

#[test]
fn a_series_adds_up_without_a_gap() {
    let next = FIRST_NUMBER + u64::from(QUANTITY);
    assert_eq!(faults(&[FIRST_NUMBER, next], |_| {}), 0);
    assert_eq!(faults(&[next, FIRST_NUMBER], |_| {}), 0, "in whatever order they are found");
    assert_eq!(faults(&[FIRST_NUMBER, next + 1], |_| {}), 1);
    assert_eq!(faults(&[FIRST_NUMBER, next - 1], |_| {}), 1);
    assert_eq!(faults(&[FIRST_NUMBER + 1, next + 1], |_| {}), 1, "its first number was left out");
    assert_eq!(faults(&[FIRST_NUMBER, next], |series| series.capacity = 8), 1);
    assert_eq!(faults(&[FIRST_NUMBER, next], |series| series.capacity = 10), 0);
    assert_eq!(faults(&[FIRST_NUMBER, next], |series| series.issued = 4), 1);
    assert_eq!(faults(&[FIRST_NUMBER, next], |series| series.voided = 4), 1);
    assert_eq!(faults(&[FIRST_NUMBER, next], |series| series.reserved = 4), 1);
}
