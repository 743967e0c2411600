//! Stops a run that takes too long or too much disk, that nobody can see any more, or in which too much money hangs.
//!
//! What a fault may take away is asked before it fires (`guards.quorum_margin`, [`crate::faults`]).

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{Cluster, Node};
use crate::limits;
use crate::proto::admin::GetStatusResponse;
use crate::scenario::{Guards, MoneyAtRisk};

/// Returns the reason when a guard trips; never otherwise.
pub(super) async fn trip(guards: &Guards, folder: &Path, cluster: &Cluster) -> String {
    tokio::select! {
        reason = watch_surroundings(guards, folder) => reason,
        reason = watch_nodes(guards, cluster) => reason,
    }
}

async fn watch_surroundings(guards: &Guards, folder: &Path) -> String {
    let deadline = Instant::now() + guards.wall_time.get();
    loop {
        tokio::time::sleep_until(deadline.min(Instant::now() + limits::GUARD_INTERVAL)).await;
        if Instant::now() >= deadline {
            return format!("guards.wall_time: the run took longer than {}", guards.wall_time);
        }
        let bytes = bytes_below(folder);
        if bytes > guards.disk.bytes() {
            return format!("guards.disk: the run's folder has {} MiB, {} allowed", bytes >> 20, guards.disk);
        }
    }
}

async fn watch_nodes(guards: &Guards, cluster: &Cluster) -> String {
    let mut silence = guards.no_contact.map(|allowed| Silence { allowed: allowed.get(), last: None });
    let mut money = guards.money_at_risk.map(|allowed| Money { allowed, above_since: None });
    if silence.is_none() && money.is_none() {
        std::future::pending::<()>().await;
    }
    loop {
        tokio::time::sleep(limits::GUARD_LOOK_INTERVAL).await;
        let are_told_to_end = cluster.nodes().iter().all(Node::is_told_to_end);
        let statuses = cluster.statuses().await;
        let now = Instant::now();
        let silent = silence.as_mut().and_then(|silence| silence.look(!statuses.is_empty(), are_told_to_end, now));
        let hangs = money.as_mut().and_then(|money| money.look(at_risk_idr(&statuses), now));
        if let Some(reason) = silent.or(hangs) {
            return reason;
        }
    }
}

/// `guards.no_contact`
struct Silence {
    allowed: Duration,
    /// When somebody answered, or nobody could. `None`: the nodes are not up yet.
    last: Option<Instant>,
}

impl Silence {
    /// `are_told_to_end`: all of them, by a fault or at the end of the run.
    fn look(&mut self, somebody_answers: bool, are_told_to_end: bool, now: Instant) -> Option<String> {
        let is_silent = self.last.is_some() && !somebody_answers && !are_told_to_end;
        if !is_silent {
            self.last = if somebody_answers { Some(now) } else { self.last.map(|_| now) };
            return None;
        }
        let silent = now.duration_since(self.last?);
        let allowed = humantime::format_duration(self.allowed);
        (silent > self.allowed).then(|| format!("guards.no_contact: no node has answered for more than {allowed}"))
    }
}

/// `guards.money_at_risk`
struct Money {
    allowed: MoneyAtRisk,
    above_since: Option<Instant>,
}

impl Money {
    /// `at_risk_idr`: `None` if no node says so. It is then not known to be less.
    fn look(&mut self, at_risk_idr: Option<u64>, now: Instant) -> Option<String> {
        let (at_risk, above, lasts) = (at_risk_idr?, self.allowed.above_idr, self.allowed.lasts);
        if at_risk <= above {
            self.above_since = None;
            return None;
        }
        let since = *self.above_since.get_or_insert(now);
        (now.duration_since(since) >= lasts.get()).then(|| {
            format!(
                "guards.money_at_risk: {at_risk} IDR were received and neither issued for nor paid back, more than {above} IDR for {lasts}"
            )
        })
    }
}

/// As the node says that has applied most. Not its `refund_due_idr`: money that is in no sum at all hangs too.
pub(crate) fn at_risk_idr(statuses: &[(u16, GetStatusResponse)]) -> Option<u64> {
    let newest = statuses.iter().map(|(_, status)| status).max_by_key(|status| status.applied_index)?;
    let totals = newest.totals?;
    let settled_idr = totals.issued_value_idr.saturating_add(totals.held_idr).saturating_add(totals.refunded_idr);
    // More settled than received is for the judge to find (V6).
    Some(totals.received_idr.saturating_sub(settled_idr).try_into().unwrap_or(0))
}

/// On the disk of `folder`: holes in files are none, and what is mounted within is counted by the file that it is in. Files that go
/// while they are counted are not counted.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(device) = std::fs::metadata(folder).map(|metadata| metadata.dev()) else { return 0 };
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() && metadata.dev() == device => bytes_below(&entry.path()),
            // Blocks are of 512 bytes, whatever the file system's own are (stat(2)).
            Ok(metadata) if metadata.is_file() => metadata.blocks() * 512,
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::Totals;
    use crate::scenario::{Size, Span};

    #[tokio::test]
    async fn a_folder_that_grows_too_large_trips_the_guard() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("big"), vec![0; 2048]).unwrap();
        let disk = Size::try_from("1KiB".to_owned()).unwrap();
        let guards = Guards { wall_time: Span::from_millis(60_000), disk, ..Guards::default() };
        assert!(watch_surroundings(&guards, folder.path()).await.starts_with("guards.disk"));
        let guards = Guards { wall_time: Span::from_millis(5), ..Guards::default() };
        assert!(watch_surroundings(&guards, folder.path()).await.starts_with("guards.wall_time"));
    }

    /// What each look says: its second, whether somebody answers, and whether all were told to end.
    fn silence(looks: &[(u64, bool, bool)]) -> Vec<bool> {
        let (mut silence, start) = (Silence { allowed: Duration::from_secs(10), last: None }, Instant::now());
        let look = |(s, answers, told): &(u64, bool, bool)| silence.look(*answers, *told, start + Duration::from_secs(*s));
        looks.iter().map(look).map(|reason| reason.is_some()).collect()
    }

    #[test]
    fn nodes_that_answer_no_more_trip_the_guard() {
        let (answers, silent) = (|s| (s, true, false), |s| (s, false, false));
        assert_eq!(silence(&[answers(0), silent(1), silent(10), silent(11)]), [false, false, false, true]);
        assert_eq!(silence(&[answers(0), silent(9), answers(10), silent(20), silent(21)]), [false, false, false, false, true]);
    }

    #[test]
    fn nodes_that_are_not_up_yet_or_were_told_to_end_trip_no_guard() {
        let (answers, silent, told) = (|s| (s, true, false), |s| (s, false, false), |s| (s, false, true));
        assert_eq!(silence(&[silent(0), silent(30)]), [false, false]);
        assert_eq!(silence(&[answers(0), told(5), told(60)]), [false, false, false]);
        let started_again = silence(&[answers(0), told(5), told(60), silent(61), silent(70), silent(71)]);
        assert_eq!(started_again, [false, false, false, false, false, true], "from when they should have come");
    }

    /// What is at risk at each second, or that nobody says.
    fn money(looks: &[(u64, Option<u64>)]) -> Vec<bool> {
        let allowed = MoneyAtRisk { above_idr: 1_000, lasts: Span::from_millis(5_000) };
        let (mut money, start) = (Money { allowed, above_since: None }, Instant::now());
        let look = |(s, at_risk): &(u64, Option<u64>)| money.look(*at_risk, start + Duration::from_secs(*s));
        looks.iter().map(look).map(|reason| reason.is_some()).collect()
    }

    #[test]
    fn money_that_stays_at_risk_trips_the_guard_and_what_is_settled_in_time_does_not() {
        assert_eq!(money(&[(0, Some(1_001)), (4, Some(9_000)), (5, Some(1_001))]), [false, false, true]);
        assert_eq!(money(&[(0, Some(1_000)), (60, Some(1_000))]), [false, false], "so much is allowed");
        assert_eq!(money(&[(0, Some(1_001)), (4, Some(0)), (5, Some(1_001)), (9, Some(1_001))]), [false; 4]);
        assert_eq!(money(&[(0, Some(1_001)), (9, None), (10, Some(1_001))]), [false, false, true], "nobody said it was less");
        assert_eq!(money(&[(0, Some(1_001)), (9, None), (10, Some(0))]), [false; 3]);
    }

    #[test]
    fn at_risk_is_what_was_received_and_went_nowhere_as_the_newest_ledger_says() {
        let status = |applied_index, totals| (1, GetStatusResponse { applied_index, totals, ..GetStatusResponse::default() });
        let totals = |received_idr, refund_due_idr| {
            Some(Totals {
                received_idr,
                issued_value_idr: 60,
                held_idr: 5,
                refund_due_idr,
                refunded_idr: 20,
                ..Totals::default()
            })
        };
        assert_eq!(at_risk_idr(&[status(7, totals(100, 15)), status(6, totals(900, 0))]), Some(15));
        assert_eq!(at_risk_idr(&[status(7, totals(100, 0))]), Some(15), "money that is in no sum hangs too");
        assert_eq!(at_risk_idr(&[status(7, totals(80, 0))]), Some(0));
        assert_eq!((at_risk_idr(&[]), at_risk_idr(&[status(7, None)])), (None, None));
    }
}
