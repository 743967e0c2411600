//! Changes what the log lets through while the node runs, for a time: a node that is left at `debug` fills its disk, so each change
//! ends by itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::filter::LogFilter;
use super::recent::RecentLines;

type Apply = Box<dyn Fn(&LogFilter) -> Result<(), String> + Send + Sync>;

/// A handle; all clones are of one log.
#[derive(Clone)]
pub struct LogControl {
    inner: Arc<Inner>,
}

struct Inner {
    configured: LogFilter,
    recent: Arc<RecentLines>,
    apply: Apply,
    /// None: the log is as configured.
    changed: Mutex<Option<Changed>>,
}

#[derive(Debug, Clone)]
struct Changed {
    filter: LogFilter,
    until: Instant,
}

/// What the log lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    pub filter: LogFilter,
    /// What it goes back to.
    pub configured: LogFilter,
    /// Until it does; none if it is as configured.
    pub left: Option<Duration>,
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl LogControl {
    /// `apply` puts a filter into force.
    pub(super) fn new(
        configured: LogFilter,
        recent: Arc<RecentLines>,
        apply: impl Fn(&LogFilter) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { inner: Arc::new(Inner { configured, recent, apply: Box::new(apply), changed: Mutex::default() }) }
    }

    #[must_use]
    pub fn state(&self) -> LogState {
        let changed = self.changed().clone();
        LogState {
            configured: self.inner.configured.clone(),
            left: changed.as_ref().map(|changed| changed.until.saturating_duration_since(Instant::now())),
            filter: changed.map_or_else(|| self.inner.configured.clone(), |changed| changed.filter),
        }
    }

    #[must_use]
    pub fn recent(&self) -> &RecentLines {
        &self.inner.recent
    }

    /// For so long, then as configured again. In a runtime.
    ///
    /// # Errors
    /// The log cannot be changed.
    pub fn set(&self, filter: LogFilter, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        {
            let mut changed = self.changed();
            (self.inner.apply)(&filter)?;
            *changed = Some(Changed { filter: filter.clone(), until });
        }
        tracing::warn!(event = "log_level", filter = %filter, for_seconds = within.as_secs(), "the log lets other lines through");
        let control = self.clone();
        tokio::spawn(async move {
            sleep_until(until).await;
            control.end(|changed| changed.until == until);
        });
        Ok(())
    }

    /// As configured, from now on.
    pub fn reset(&self) {
        self.end(|_| true);
    }

    /// A change that another has taken the place of does not end it.
    fn end(&self, is_meant: impl FnOnce(&Changed) -> bool) {
        {
            let mut changed = self.changed();
            if !changed.as_ref().is_some_and(is_meant) {
                return;
            }
            if let Err(error) = (self.inner.apply)(&self.inner.configured) {
                tracing::error!(event = "log_level", error, "the log cannot be set back");
                return;
            }
            *changed = None;
        }
        tracing::warn!(event = "log_level", filter = %self.inner.configured, "the log is as configured again");
    }

    fn changed(&self) -> MutexGuard<'_, Option<Changed>> {
        self.inner.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that only notes what is put into force.
    fn control() -> (LogControl, Arc<Mutex<Vec<String>>>) {
        let applied = Arc::<Mutex<Vec<String>>>::default();
        let note = applied.clone();
        let control = LogControl::new("info".parse().unwrap(), Arc::default(), move |filter| {
            note.lock().unwrap().push(filter.to_string());
            Ok(())
        });
        (control, applied)
    }

    #[tokio::test]
    async fn a_change_ends_by_itself() {
        let (control, applied) = control();
        assert_eq!(control.state().left, None);
        control.set("debug".parse().unwrap(), Duration::from_millis(1)).unwrap();
        while control.state().left.is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(control.state().filter.to_string(), "info");
        assert_eq!(*applied.lock().unwrap(), ["debug", "info"]);
    }

    #[tokio::test]
    async fn the_end_of_a_change_is_not_that_of_the_next() {
        let (control, applied) = control();
        control.set("debug".parse().unwrap(), Duration::from_secs(3_600)).unwrap();
        let first = control.changed().clone().unwrap().until;
        control.set("trace".parse().unwrap(), Duration::from_secs(7_200)).unwrap();
        control.end(|changed| changed.until == first);
        let state = control.state();
        assert_eq!(state.filter.to_string(), "trace");
        assert!(state.left.is_some_and(|left| left > Duration::from_secs(3_600)), "{state:?}");
        assert_eq!(*applied.lock().unwrap(), ["debug", "trace"]);
    }

    #[tokio::test]
    async fn a_reset_is_at_once_and_of_an_unchanged_log_nothing() {
        let (control, applied) = control();
        control.reset();
        control.set("debug".parse().unwrap(), Duration::from_secs(3_600)).unwrap();
        control.reset();
        assert_eq!(control.state().left, None);
        assert_eq!(*applied.lock().unwrap(), ["debug", "info"]);
    }
}
