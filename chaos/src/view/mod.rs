//! The run on the whole of a terminal, for the person who sits at it: who leads, who lags, who is cut off from whom, how quick it
//! is, and a light for each invariant that can be watched meanwhile.
//!
//! `watcher` looks at the run a few times a second and makes a [`model`] of it, `draw` puts that on a frame, `screen` is the
//! terminal. Nothing here is evidence: what the view asks of the nodes is not in the history, and a red light of `lights` is a hint.
//! Without a terminal there is the line a second of [`crate::progress`], which takes over too when the view ends early.

mod draw;
mod lights;
pub mod model;
mod screen;
mod watcher;

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::progress::Live;
use screen::Screen;
use watcher::Watcher;

pub use screen::is_there;
pub use watcher::Watched;

/// Between two looks at the run.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Shows the run until this is dropped, if it is to be shown so.
pub async fn show(run: &Watched<'_>) -> Infallible {
    if run.progress.live() == Live::Screen {
        match Screen::take() {
            Ok(screen) => {
                run.progress.is_on_screen(true);
                watch(run, screen).await;
                run.progress.is_on_screen(false);
            }
            Err(error) => run.progress.say(&format!("no full-screen view: {error}")),
        }
    }
    pending().await
}

/// Returns when the terminal is not the view's any more.
async fn watch(run: &Watched<'_>, screen: Screen) {
    let mut watcher = Watcher::new(run);
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let model = watcher.look().await;
        if screen.show(model).is_err() {
            return;
        }
    }
}
