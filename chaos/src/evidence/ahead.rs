//! What is read on a thread of its own, a little ahead of whoever takes it.

use std::sync::mpsc::sync_channel;
use std::thread::Scope;

/// Hand-overs that wait.
const WAITING_MAX: usize = 4;

/// `items` in their order, handed over `at_once` at a time.
pub fn ahead<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    at_once: usize,
    mut items: impl Iterator<Item = T> + Send + 'scope,
) -> impl Iterator<Item = T> {
    let (hand, taken) = sync_channel(WAITING_MAX);
    scope.spawn(move || {
        loop {
            let some: Vec<T> = items.by_ref().take(at_once).collect();
            // Whoever takes them may want no more.
            if some.is_empty() || hand.send(some).is_err() {
                return;
            }
        }
    });
    taken.into_iter().flatten()
}
