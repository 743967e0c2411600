//! What the check of `differences` catches, and what it lets pass.

use super::*;
use crate::checks::made::{SERIES, refused, serials, unknown, written};
use crate::history::{PaymentOutcome, ReadAnswer, SerialsSeen};

fn is_same(expected: &Answer, outcome: &Outcome) -> bool {
    answer_difference(expected, outcome).is_none()
}

fn answered(answer: WriteAnswer) -> Outcome {
    written(5, answer)
}

#[test]
fn an_answer_is_of_its_kind_and_says_the_same() {
    use PaymentOutcome::{AlreadyPaid, Applied};
    let placed = |amount_idr, expires_at_ms| WriteAnswer::Placed { amount_idr, expires_at_ms };
    let stamped = |series, number| WriteAnswer::Stamped { series, number, code: "".into() };
    let recorded = |outcome, serials| WriteAnswer::Recorded { outcome, serials };
    let other_numbers = SerialsSeen { first_number: 7, ..serials() };
    let range = Some((SERIES, serials().first_number, serials().quantity));
    let rows = [
        (Answer::SeriesOpened, vec![WriteAnswer::SeriesOpened], vec![]),
        (Answer::Cancelled, vec![WriteAnswer::Cancelled], vec![]),
        (Answer::RefundSettled, vec![WriteAnswer::RefundSettled], vec![]),
        (Answer::PolicySet, vec![WriteAnswer::PolicySet], vec![]),
        (
            Answer::Voided { refund_idr: 5 },
            vec![WriteAnswer::Voided { refund_idr: 5 }],
            vec![WriteAnswer::Voided { refund_idr: 6 }],
        ),
        (
            Answer::Stamped { series: SERIES, number: 5 },
            vec![stamped(SERIES, 5)],
            vec![stamped(SERIES, 6), stamped(*b"B24", 5)],
        ),
        (Answer::Placed { amount_idr: 5, expires_at_ms: 6 }, vec![placed(5, 6)], vec![placed(6, 6), placed(5, 7)]),
        (
            Answer::Recorded { outcome: Applied, serials: range },
            vec![recorded(Applied, Some(serials())), WriteAnswer::Noticed { outcome: Applied }],
            vec![
                recorded(AlreadyPaid, Some(serials())),
                recorded(Applied, None),
                recorded(Applied, Some(other_numbers)),
                WriteAnswer::Noticed { outcome: AlreadyPaid },
            ],
        ),
    ];
    for (at, (expected, same, other)) in rows.iter().enumerate() {
        assert!(same.iter().all(|answer| is_same(expected, &answered(answer.clone()))), "{expected:?}");
        assert!(!other.iter().any(|answer| is_same(expected, &answered(answer.clone()))), "{expected:?}");
        let of_other_kinds = rows.iter().enumerate().filter(|(other, _)| *other != at).flat_map(|(_, row)| &row.1);
        assert!(!of_other_kinds.into_iter().any(|answer| is_same(expected, &answered(answer.clone()))), "{expected:?}");
        assert!(!is_same(expected, &refused("ORDER_EXPIRED")), "{expected:?}");
    }
}

#[test]
fn a_refusal_names_its_reason_and_a_field_that_differs() {
    let expected = |differs: &[&str]| Answer::Refused {
        reason: "ORDER_ID_REUSED".into(),
        differs: differs.iter().map(|field| (*field).into()).collect(),
    };
    let told = |reason: &str, field: &str| match refused(reason) {
        Outcome::Refused { reason, place, term, .. } => Outcome::Refused { reason, field: field.into(), place, term },
        other => other,
    };
    assert!(is_same(&expected(&[]), &told("ORDER_ID_REUSED", "")));
    assert!(is_same(&expected(&["quantity", "account_id"]), &told("ORDER_ID_REUSED", "account_id")));
    assert!(!is_same(&expected(&["quantity"]), &told("ORDER_ID_REUSED", "account_id")));
    assert!(!is_same(&expected(&["quantity"]), &told("STOCK_EXHAUSTED", "quantity")));
    assert!(!is_same(&expected(&[]), &told("STOCK_EXHAUSTED", "")));
    assert!(!is_same(&expected(&[]), &unknown()));
}

#[test]
fn an_outcome_is_told_in_a_few_words() {
    let read = crate::checks::made::read(ReadAnswer::Absent);
    let field = Outcome::Refused { reason: "R".into(), field: "quantity".into(), place: None, term: 1 };
    for (outcome, expected) in [
        (answered(WriteAnswer::Cancelled), "Cancelled at 5.0"),
        (refused("R"), "refused, R"),
        (field, "refused, R (quantity)"),
        (Outcome::NotDone { reason: "R".into() }, "not done, R"),
        (unknown(), "unknown, deadline"),
        (read, "Absent"),
    ] {
        assert_eq!(outcome_text(&outcome), expected);
    }
}
