//! Fires the planned faults, and says in the history what each one met.
//!
//! One after the other: each is undone before the next one fires, so that no schedule takes the majority away for longer than it
//! says. Only the faults of one condition may overlap (`schedule`); each of them hurts by other means than the others
//! ([`crate::scenario::Means`]), so that what undoes one leaves the others on.
//!
//! A target is found when its fault fires (`target`), and when a condition becomes true, those of all its faults. A fault that finds
//! no target, or whose condition never becomes true, is planned in the history and never injected; the judge counts what landed (V20).

mod clocks;
mod commands;
mod condition;
mod crashes;
mod cuts;
mod damage;
mod disks;
mod limited;
mod lost_disks;
mod margin;
pub mod plan;
mod schedule;
mod target;

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cluster::{Cluster, Node, NotThere};
use crate::history::{FaultEvent, FaultStage, NodeRole, Record, Recorder};
use crate::limits;
use crate::network::{Direction, Hit, Passage};
use crate::scenario::{FaultKind, Guards, Hurt};
use plan::{Plan, PlannedFault};
use schedule::Schedule;
use target::Target;

/// Between two looks for an effect.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// What came of the faults beside what is in the history.
#[derive(Debug, Default)]
pub struct Injected {
    /// What a node did not do as it should.
    pub problems: Vec<String>,
    /// Why a guard did not let one fire; nothing fired after it.
    pub refused: Option<String>,
}

/// Returns when the last fault is undone, or a guard refused one. Calls `landed` for each that hurt.
///
/// # Errors
/// [`NotThere`]: a node does not come up again. Another: the tool could not do its part, a process outlives SIGKILL, or the history
/// can no longer be written.
pub async fn inject(
    cluster: &Cluster,
    recorder: &Recorder,
    plan: &Plan,
    guards: &Guards,
    phase_start: Instant,
    landed: impl Fn(FaultKind),
) -> anyhow::Result<Injected> {
    let mut injected = Injected::default();
    let mut schedule = Schedule::new(plan, phase_start);
    while let Some(aimed) = schedule.next(cluster).await {
        for one in &aimed {
            Strike { cluster, recorder, fault: one.fault }.announce(&one.targets)?;
        }
        injected.refused = margin::refusal(cluster, guards, &aimed).await;
        if injected.refused.is_some() {
            return Ok(injected);
        }
        let strikes = aimed.iter().filter(|one| !one.targets.is_empty()).map(|one| async {
            let mut problems = Vec::new();
            sleep(one.fires_after).await;
            if (Strike { cluster, recorder, fault: one.fault }).carry_out(&one.targets, &mut problems).await? {
                landed(one.fault.kind);
            }
            anyhow::Ok(problems)
        });
        injected.problems.extend(try_join_all(strikes).await?.concat());
        schedule.undone(Instant::now());
    }
    for fault in schedule.missed() {
        Strike { cluster, recorder, fault }.announce(&[])?;
    }
    Ok(injected)
}

/// One fault on its way.
struct Strike<'a> {
    cluster: &'a Cluster,
    recorder: &'a Recorder,
    fault: &'a PlannedFault,
}

impl Strike<'_> {
    fn note(&self, stage: FaultStage, target: Target) -> anyhow::Result<()> {
        Ok(self.recorder.record(Record::Fault(FaultEvent {
            at_ns: self.recorder.now_ns(),
            fault: self.fault.number,
            stage,
            kind: self.fault.kind.name().into(),
            node: target.node,
            role: target.role,
            term: target.term,
        }))?)
    }

    fn announce(&self, targets: &[Target]) -> anyhow::Result<()> {
        const NOBODY: Target = Target { node: 0, role: NodeRole::Unknown, term: 0 };
        let planned = if targets.is_empty() { &[NOBODY] } else { targets };
        planned.iter().try_for_each(|target| self.note(FaultStage::Planned, *target))
    }

    /// Fires it, waits for its effect, lets it last, and undoes it. Returns whether it was seen to hurt.
    async fn carry_out(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        match self.fault.kind.hurt() {
            Hurt::Ends => self.end(targets, problems).await,
            Hurt::Pauses => self.pause(targets).await,
            Hurt::CutsPower => self.cut_power(targets).await,
            Hurt::StallsDisks => self.stall_disks(targets).await,
            Hurt::FailsDisks => self.fail_disks(targets, problems).await,
            Hurt::FillsDisks => self.fill_disks(targets, problems).await,
            Hurt::LowersDisks => self.lower_disks(targets, problems).await,
            Hurt::Damages => self.damage(targets, problems).await,
            Hurt::LosesDisks => self.lose_disks(targets, problems).await,
            Hurt::Crashes => self.crash(targets, problems).await,
            Hurt::InterruptsInstalls => self.interrupt_install(targets).await,
            Hurt::EndsHandovers => self.kill_in_handover(targets).await,
            Hurt::WrongsClocks => self.wrong_clocks(targets).await,
            Hurt::LimitsCpu => self.limit_cpu(targets).await,
            Hurt::LimitsMemory => self.limit_memory(targets, problems).await,
            Hurt::LimitsDescriptors => self.limit_descriptors(targets, problems).await,
            Hurt::Cuts if self.cluster.links().is_some() => self.cut_by_commands(targets).await,
            Hurt::Cuts => self.change_network(targets, Passage::Cut, Hit::Cut).await,
            Hurt::Slows => self.change_network(targets, Passage::Impaired(self.fault.impairment()), Hit::Late).await,
            Hurt::LosesPackets => self.change_network(targets, Passage::Impaired(self.fault.impairment()), Hit::Lost).await,
            Hurt::CorruptsPackets => {
                self.change_network(targets, Passage::Impaired(self.fault.impairment()), Hit::Corrupted).await
            }
        }
    }

    async fn end(&self, targets: &[Target], problems: &mut Vec<String>) -> anyhow::Result<bool> {
        let mut hit = Vec::new();
        for target in targets {
            let node = self.cluster.node(target.node);
            let was_there = if self.fault.kind.is_orderly() { node.stop()? } else { node.kill().await? };
            // A node that ended by itself in this moment was not hit by us.
            if was_there {
                self.note(FaultStage::Injected, *target)?;
                hit.push(*target);
            }
        }
        let mut has_landed = false;
        for target in &hit {
            let Gone { by_fault, problem } = wait_gone(self.cluster.node(target.node), self.fault.kind).await?;
            if by_fault {
                self.note(FaultStage::Effective, *target)?;
            }
            has_landed |= by_fault;
            problems.extend(problem.map(|problem| format!("fault {}: {problem}", self.fault.number)));
        }
        sleep(self.fault.lasts()).await;
        for target in &hit {
            self.cluster.node(target.node).start().await?;
        }
        for target in &hit {
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    async fn pause(&self, targets: &[Target]) -> anyhow::Result<bool> {
        let mut has_landed = false;
        for target in targets {
            let node = self.cluster.node(target.node);
            if !node.pause().await? {
                continue;
            }
            self.note(FaultStage::Injected, *target)?;
            if until(limits::KILL_DEADLINE, || async { node.status().await.is_none() }).await {
                self.note(FaultStage::Effective, *target)?;
                has_landed = true;
            }
        }
        sleep(self.fault.lasts()).await;
        for target in targets {
            self.cluster.node(target.node).resume().await?;
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    /// It has landed when that is seen to have happened to what one of the links carries.
    async fn change_network(&self, targets: &[Target], passage: Passage, hit: Hit) -> anyhow::Result<bool> {
        let network = self.cluster.network().context("the scenario's faults need a network of the tool's own")?;
        let all: Vec<u16> = self.cluster.nodes().iter().map(Node::id).collect();
        let centre = targets[0].node;
        let directions: Vec<Direction> = cuts::directions(self.fault.kind, centre, &all);
        let begun = Instant::now();
        network.set(directions.iter().copied(), passage)?;
        for target in targets {
            self.note(FaultStage::Injected, *target)?;
        }
        let lasts = self.fault.lasts();
        // A back end that does not tell is noticed when it is to be healed.
        let has_hit = |direction: &Direction| network.has_hit(*direction, hit).unwrap_or_default();
        let has_landed = until(lasts, || async { directions.iter().any(has_hit) }).await;
        if has_landed {
            for target in targets {
                self.note(FaultStage::Effective, *target)?;
            }
        }
        if self.fault.kind == FaultKind::FlapFollower {
            let mut passages = [Passage::Free, passage].into_iter().cycle();
            while begun.elapsed() + limits::FLAP_INTERVAL < lasts {
                sleep(limits::FLAP_INTERVAL).await;
                network.set(directions.iter().copied(), passages.next().expect("a cycle has no end"))?;
            }
        }
        sleep_until(begun + lasts).await;
        network.set(directions, Passage::Free)?;
        for target in targets {
            self.until_there(*target).await?;
        }
        Ok(has_landed)
    }

    async fn until_there(&self, target: Target) -> anyhow::Result<()> {
        let node = self.cluster.node(target.node);
        // (One that ended meanwhile is started by whoever supervises.)
        let answers = until(limits::READY_DEADLINE, || async { node.status().await.is_some() }).await;
        let (fault, node_id) = (self.fault.number, target.node);
        ensure!(answers, NotThere(format!("after fault {fault}: node {node_id} does not answer")));
        node.wait_ready(limits::READY_DEADLINE).await?;
        self.note(FaultStage::Healed, target)
    }
}

/// Looks until it is so, or `deadline` is over: whether it is.
async fn until<F: Future<Output = bool>>(deadline: Duration, is_so: impl Fn() -> F) -> bool {
    let end = Instant::now() + deadline;
    while !is_so().await {
        if Instant::now() >= end {
            return false;
        }
        sleep(LOOK_PAUSE).await;
    }
    true
}

/// How a process that was signalled went.
struct Gone {
    /// False: it had to be helped along, so the fault did not have its effect.
    by_fault: bool,
    problem: Option<String>,
}

/// The process is gone when it returns.
async fn wait_gone(node: &Node, kind: FaultKind) -> anyhow::Result<Gone> {
    let id = node.id();
    if let Some(exit) = node.wait_down(limits::STOP_DEADLINE).await {
        let is_disorderly = kind.is_orderly() && !exit.is_success();
        let problem = is_disorderly.then(|| format!("node {id} was stopped by SIGTERM and ended with {exit}"));
        return Ok(Gone { by_fault: true, problem });
    }
    // It may have ended in this moment.
    let _ended = node.kill().await?;
    ensure!(node.wait_down(limits::KILL_DEADLINE).await.is_some(), "node {id} outlived SIGKILL");
    let waited_s = limits::STOP_DEADLINE.as_secs();
    let problem = format!("node {id} did not end within {waited_s} s of its signal and was killed");
    Ok(Gone { by_fault: false, problem: Some(problem) })
}
