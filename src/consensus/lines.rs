//! Who waits to be proposed, and who is next.
//!
//! There is a line for each class, and the lines are served in the order of the classes: money does not wait behind new orders,
//! and neither waits behind batches. Within a line, who came first is first. So what is lower waits as long as there is something
//! higher; it is let in only up to its bound, and whoever waits in vain is told so at the deadline (`NOT_IN_TIME`).
//!
//! Whoever makes a unary call has the answers that it builds on, so nothing is lost when a payment overtakes an order. On a stream
//! a batch may build on one before it that is not answered: a payment that overtook its order would find none, and be owed back.
//! Therefore a stream's batch stands in no better line than the unanswered ones before it ([`StreamOrder`]), and those of one
//! line are proposed in the order in which they came, also when they are proposed again ([`Open::streams`]). The commands of one
//! call are never parted.
//!
//! Not here: who is let in (`admission`), and when the next entry is formed (`proposer`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openraft::AsyncRuntime;

use super::admission::Class;
use super::calls::Call;

const LINES: usize = Class::ALL.len();

/// The batches of one stream that are let in and not answered, by the line they stand in. Clones are of the same stream.
#[derive(Debug, Clone, Default)]
pub struct StreamOrder(Arc<[AtomicUsize; LINES]>);

impl StreamOrder {
    /// A place in the line of `class`, or in the worst one in which an earlier batch is. Called in the order of the batches.
    pub(super) fn stand(&self, class: Class) -> Turn {
        let unanswered = |class: &Class| self.0[*class as usize].load(Ordering::Acquire) > 0;
        let line = Class::ALL.into_iter().rev().find(unanswered).map_or(class, |worst| worst.max(class));
        self.0[line as usize].fetch_add(1, Ordering::AcqRel);
        Turn { stream: self.clone(), line }
    }
}

/// A stream's batch, from when it was let in until it is answered.
pub(super) struct Turn {
    stream: StreamOrder,
    line: Class,
}

impl Turn {
    pub(super) fn line(&self) -> Class {
        self.line
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.stream.0[self.line as usize].fetch_sub(1, Ordering::AcqRel);
    }
}

/// In the order in which they came.
struct Line<RT: AsyncRuntime> {
    alone: VecDeque<Call<RT>>,
    /// Of streams: apart, because they may have to wait while the others may go.
    of_streams: VecDeque<Call<RT>>,
}

/// Who may go now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) lines: [bool; LINES],
    /// Those under way were sent, or will be, before what is taken now.
    pub(super) streams: bool,
}

impl Open {
    pub(super) fn only(self, line: Class) -> Self {
        Self { lines: Class::ALL.map(|other| other == line), ..self }
    }
}

pub(super) struct Lines<RT: AsyncRuntime> {
    lines: [Line<RT>; LINES],
    /// Of all calls.
    commands: usize,
    /// Calls that peers sent: whether there are any is asked before each batch.
    from_peers: usize,
    arrivals: u64,
}

impl<RT: AsyncRuntime> Lines<RT> {
    pub(super) fn new() -> Self {
        let line = || Line { alone: VecDeque::new(), of_streams: VecDeque::new() };
        Self { lines: std::array::from_fn(|_| line()), commands: 0, from_peers: 0, arrivals: 0 }
    }

    pub(super) fn commands(&self) -> usize {
        self.commands
    }

    pub(super) fn has_peers(&self) -> bool {
        self.from_peers > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// Behind all others of its line.
    pub(super) fn push(&mut self, mut call: Call<RT>, stream: Option<&StreamOrder>) {
        call.turn = stream.map(|stream| stream.stand(call.class));
        self.arrivals += 1;
        call.arrival = self.arrivals;
        self.count_in(&call);
        self.line_of(&call).push_back(call);
    }

    /// Where it stood before it was proposed.
    pub(super) fn put_back(&mut self, call: Call<RT>) {
        self.count_in(&call);
        let line = self.line_of(&call);
        let at = line.partition_point(|other| other.arrival < call.arrival);
        line.insert(at, call);
    }

    /// The next call, if `fits` says that it may come along.
    pub(super) fn next(&mut self, open: Open, fits: impl FnOnce(&Call<RT>) -> bool) -> Option<Call<RT>> {
        let open_lines = self.lines.iter_mut().zip(open.lines).filter(|(_, is_open)| *is_open);
        let first = open_lines.map(|(line, _)| line.first(open.streams)).find_map(|line| line)?;
        let call = first.front().is_some_and(fits).then(|| first.pop_front())??;
        self.commands -= call.count;
        self.from_peers -= usize::from(call.from_peer);
        Some(call)
    }

    /// Takes out all that `is_out` is true of.
    pub(super) fn take(&mut self, is_out: impl Fn(&Call<RT>) -> bool) -> Vec<Call<RT>> {
        let mut out = Vec::new();
        for line in self.lines.iter_mut().flat_map(|line| [&mut line.alone, &mut line.of_streams]) {
            if line.iter().any(&is_out) {
                let (taken, waiting): (VecDeque<_>, _) = std::mem::take(line).into_iter().partition(&is_out);
                *line = waiting;
                out.extend(taken);
            }
        }
        self.commands -= out.iter().map(|call| call.count).sum::<usize>();
        self.from_peers -= out.iter().filter(|call| call.from_peer).count();
        out
    }

    fn count_in(&mut self, call: &Call<RT>) {
        self.commands += call.count;
        self.from_peers += usize::from(call.from_peer);
    }

    fn line_of(&mut self, call: &Call<RT>) -> &mut VecDeque<Call<RT>> {
        let line = &mut self.lines[call.line() as usize];
        if call.turn.is_some() { &mut line.of_streams } else { &mut line.alone }
    }
}

impl<RT: AsyncRuntime> Line<RT> {
    /// Whose front came first, of those who may go.
    fn first(&mut self, streams: bool) -> Option<&mut VecDeque<Call<RT>>> {
        let came = |line: &VecDeque<Call<RT>>| line.front().map(|call| call.arrival);
        match (came(&self.alone), came(&self.of_streams).filter(|_| streams)) {
            (None, None) => None,
            (Some(alone), Some(of_stream)) if of_stream < alone => Some(&mut self.of_streams),
            (None, Some(_)) => Some(&mut self.of_streams),
            (Some(_), _) => Some(&mut self.alone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_a_stream_stands_behind_its_unanswered_ones_and_in_its_own_line_when_they_are_answered() {
        let stream = StreamOrder::default();
        let orders = stream.stand(Class::Batch);
        let payment = stream.stand(Class::Confirmation);
        assert_eq!((orders.line(), payment.line()), (Class::Batch, Class::Batch), "the order may be what is paid");
        assert_eq!(StreamOrder::default().stand(Class::Confirmation).line(), Class::Confirmation, "another stream");
        drop(orders);
        assert_eq!(stream.stand(Class::Confirmation).line(), Class::Batch, "a payment is before it");
        drop(payment);
        let payment = stream.stand(Class::Confirmation);
        assert_eq!(payment.line(), Class::Confirmation);
        assert_eq!(stream.stand(Class::NewOrder).line(), Class::NewOrder, "what is worse overtakes nothing");
    }
}
