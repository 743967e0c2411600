//! Ctrl-C, from the moment that a drill begins: it ends a run, a judgement, and what lies between them. So do SIGTERM, by which a job
//! is cancelled, and SIGHUP, when the terminal goes.
//!
//! Once a process catches a signal it does so for ever, so one thread listens for as long as the process lives, and every
//! part of a drill asks here.

use std::io;
use std::thread;

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// # Errors
    /// A signal cannot be caught, or the thread cannot be started.
    pub fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let (mut interrupts, mut terminations, mut hang_ups) = {
            let _within = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
        };
        let (tell, told) = watch::channel(false);
        thread::Builder::new().name("interrupt".into()).spawn(move || {
            runtime.block_on(async {
                loop {
                    // Each listens for as long as the runtime is there.
                    tokio::select! {
                        _ = interrupts.recv() => {}
                        _ = terminations.recv() => {}
                        _ = hang_ups.recv() => {}
                    }
                    tell.send_replace(true);
                }
            });
        })?;
        Ok(Self(told))
    }

    /// Nobody interrupts.
    #[must_use]
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Returns when Ctrl-C was pressed or the like, now or before.
    pub async fn wait(&self) {
        if self.0.clone().wait_for(|is_told| *is_told).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Does `work` on a thread of its own: `None` if Ctrl-C came before its end, and the work is then abandoned.
    ///
    /// # Errors
    /// The work panicked, or no thread could be started for it.
    pub fn unless<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<Option<T>> {
        let runtime = Builder::new_current_thread().build().context("starting a runtime")?;
        let done = runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.wait() => Ok(None),
                done = tokio::task::spawn_blocking(work) => done.map(Some).context("it panicked"),
            }
        });
        runtime.shutdown_background();
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_is_an_error_and_not_the_end_of_the_tool() {
        let worked = Interrupt::never().unless(|| {
            if true {
                panic!("on purpose")
            }
        });
        assert!(format!("{:#}", worked.unwrap_err()).contains("panicked"));
        assert_eq!(Interrupt::never().unless(|| 5).unwrap(), Some(5));
    }

    #[test]
    fn an_interrupt_abandons_the_work() {
        let (tell, told) = watch::channel(false);
        let (started, has_started) = std::sync::mpsc::channel();
        let (end, may_end) = std::sync::mpsc::channel::<()>();
        let teller = thread::spawn(move || {
            has_started.recv().unwrap();
            tell.send_replace(true);
            tell
        });
        let done = Interrupt(told).unless(move || {
            started.send(()).unwrap();
            // Only the interrupt ends the wait for it.
            let _ended = may_end.recv();
        });
        assert_eq!(done.unwrap(), None);
        drop((teller.join().unwrap(), end));
    }
}
