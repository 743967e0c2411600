//! Who may still join the proposer's lines as they fill up. Money that was paid is shed last: a buyer who was told to come back
//! later has lost a moment, a payment that finds no entrance has no stamps.
//!
//! Each class has a bound on what waits in *all* lines when a call comes, and the bounds are nested. So whenever a call of one class is
//! let in, one of any higher class that came at that moment would be, too, of whatever size (a call is at most
//! `BATCH_COMMANDS_MAX` commands beyond the bound). Money that shares a call with other commands is bounded as new orders are, so
//! that nobody brings a thousand orders in by a payment beside them: whoever wants it to be shed last sends it alone.
//!
//! A follower's batch is bounded at the leader by what is in it, whatever the follower says; what the leader sheds, the follower's
//! callers are told at once. Coalesced orders and batches look the same there: both are bounded as new orders.
//!
//! Reads are shed after stamping and before new orders. They have bounds of their own (`READS_WAITING_MAX`), because they wait
//! elsewhere and take nothing from the log: while one of these is reached, neither new orders nor batches are let in.

use crate::counters::Counter;
use crate::domain::Command;
use crate::limits;

/// In the order in which they are shed, last first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Money that moved already: payments and settled refunds, one or many. And the operator's own commands: few, and what opens
    /// stock must not wait for stock.
    Confirmation,
    /// One command on an order that is there: stamping, voiding, cancelling.
    Stamping,
    /// One new order; and several commands with money among them.
    NewOrder,
    /// Several commands without money in them: its sender has time, or would not have collected them.
    Batch,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Confirmation, Self::Stamping, Self::NewOrder, Self::Batch];

    pub(crate) fn of(commands: &[Command]) -> Self {
        match commands {
            all if all.iter().all(confirms) => Self::Confirmation,
            [Command::PlaceOrder { .. }] => Self::NewOrder,
            [_] => Self::Stamping,
            several if several.iter().any(confirms) => Self::NewOrder,
            _ => Self::Batch,
        }
    }

    /// Of calls that a follower let in and sends together.
    pub(super) fn of_forwarded(commands: &[Command]) -> Self {
        if commands.iter().all(confirms) {
            Self::Confirmation
        } else if commands.iter().any(|command| matches!(command, Command::PlaceOrder { .. })) {
            Self::NewOrder
        } else {
            Self::Stamping
        }
    }

    /// Not let in while reads are turned away.
    pub(crate) fn is_below_reads(self) -> bool {
        self >= Self::NewOrder
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::Stamping => "stamping",
            Self::NewOrder => "new_order",
            Self::Batch => "batch",
        }
    }

    /// Commands of all classes, in all lines, from which on a call is turned away.
    #[must_use]
    pub fn queue_commands_max(self) -> usize {
        match self {
            Self::Confirmation => limits::QUEUE_COMMANDS_MAX,
            Self::Stamping => limits::QUEUE_STAMPING_COMMANDS_MAX,
            Self::NewOrder => limits::QUEUE_NEW_ORDER_COMMANDS_MAX,
            Self::Batch => limits::QUEUE_BATCH_COMMANDS_MAX,
        }
    }
}

/// What is refused first when the disks are low: orders that are not there yet. Beside money that was paid they are let in with it.
pub(super) fn is_new_work(commands: &[Command]) -> bool {
    let places = |command: &Command| matches!(command, Command::PlaceOrder { .. });
    commands.iter().any(places) && !commands.iter().any(confirms)
}

fn confirms(command: &Command) -> bool {
    match command {
        Command::RecordPayment { .. }
        | Command::SettleRefund { .. }
        | Command::OpenSeries(_)
        | Command::SetPolicy(_)
        | Command::ExpireOrders { .. } => true,
        Command::PlaceOrder { .. }
        | Command::CancelOrder { .. }
        | Command::VoidOrder { .. }
        | Command::StampDocument { .. } => false,
    }
}

/// Calls, by class.
#[derive(Debug, Default)]
pub struct ByClass([Counter; Class::ALL.len()]);

impl ByClass {
    #[must_use]
    pub fn of(&self, class: Class) -> &Counter {
        &self.0[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, Gateway, OrderId, PaymentId, PaymentName, Quantity, Rupiah, SeriesCode};

    fn order() -> OrderId {
        OrderId::from_bytes([7; 16])
    }

    fn place() -> Command {
        let (account, series) = (AccountId::new("portal").expect("valid"), SeriesCode::new("A24").expect("valid"));
        Command::PlaceOrder { order: order(), account, series, quantity: Quantity::new(1).expect("valid") }
    }

    fn pay() -> Command {
        let (gateway, payment_id) = (Gateway::new("midtrans").expect("valid"), PaymentId::new("p").expect("valid"));
        let payment = PaymentName { gateway, payment_id };
        Command::RecordPayment { payment, order: order(), amount: Rupiah::payment(10_000).expect("valid") }
    }

    #[test]
    fn a_call_is_of_the_class_of_what_it_carries() {
        let cancel = || Command::CancelOrder { order: order() };
        for (commands, class) in [
            (vec![pay()], Class::Confirmation),
            (vec![pay(), pay()], Class::Confirmation),
            (vec![Command::ExpireOrders { limit: 1 }], Class::Confirmation),
            (vec![cancel()], Class::Stamping),
            (vec![place()], Class::NewOrder),
            (vec![place(), pay()], Class::NewOrder),
            (vec![cancel(), pay()], Class::NewOrder),
            (vec![place(), place()], Class::Batch),
            (vec![cancel(), cancel()], Class::Batch),
        ] {
            assert_eq!(Class::of(&commands), class, "{commands:?}");
        }
    }

    #[test]
    fn a_followers_batch_is_of_the_class_of_the_least_in_it() {
        let cancel = || Command::CancelOrder { order: order() };
        for (commands, class) in [
            (vec![pay(), pay()], Class::Confirmation),
            (vec![cancel()], Class::Stamping),
            (vec![cancel(), cancel(), pay()], Class::Stamping),
            (vec![place()], Class::NewOrder),
            (vec![pay(), place(), cancel()], Class::NewOrder),
        ] {
            assert_eq!(Class::of_forwarded(&commands), class, "{commands:?}");
        }
    }

    #[test]
    fn new_work_is_what_places_orders_and_carries_no_money() {
        let cancel = || Command::CancelOrder { order: order() };
        let new = [vec![place()], vec![place(), place()], vec![cancel(), place()]];
        let rest = [
            vec![pay()],
            vec![place(), pay()],
            vec![cancel()],
            vec![cancel(), cancel()],
            vec![Command::ExpireOrders { limit: 1 }],
        ];
        assert!(new.iter().all(|commands| is_new_work(commands)));
        assert!(!rest.iter().any(|commands| is_new_work(commands)));
    }

    #[test]
    fn where_a_class_has_room_every_higher_one_has() {
        assert!(Class::ALL.is_sorted_by(|higher, lower| higher.queue_commands_max() > lower.queue_commands_max()));
        assert!(Class::Batch.queue_commands_max() >= 2 * limits::STREAM_COMMANDS_IN_FLIGHT_MAX);
    }
}
