//! One node as the drill sees it: where it is called, whether its process is there, what it can be ordered to do.
//!
//! How its process is started, killed and paused is for [`Control`]: as a child of the tool (`local`), or by commands that its
//! operator wrote down (`commands`). Orders that ask whether it runs say `false` when it does not, as one that ended by itself in
//! that moment; an error is always the tool's own failure.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use tonic::{Code, Status};

use super::commands::Commands;
use super::life::{Exit, Life, UnexpectedExit};
use super::local::{self, Local};
use super::{AdminClient, DrillClient, admin_client, ask_status, drill_client};
use crate::client::{NodeAddress, channel};
use crate::disk::Disk;
use crate::history::Recorder;
use crate::limits;
use crate::proto::admin::{GetStatusResponse, TriggerSnapshotRequest};
use crate::proto::drill::{ArmCrashPointRequest, SetClockRequest};
use crate::proto::v1::VerifySerialRequest;
use crate::proto::v1::issuance_service_client::IssuanceServiceClient;
use crate::resources::{Group, descriptors};
use crate::scenario::CrashPoint;

/// The environment's name for a crash point of the system.
const CRASH_POINT: &str = "STAMPEDE_CRASH_POINT";

/// What a node's clock shows, beside the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    pub ahead_ms: i64,
    /// Parts per million of what passes.
    pub gain_ppm: i64,
}

impl Clock {
    pub const RIGHT: Self = Self { ahead_ms: 0, gain_ppm: 0 };
}

/// A node that should be there is not. This is what the system did; other failures of a fault or of a heal are the tool's own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotThere(pub String);

/// By whose hand its process starts, ends and stands still.
pub(super) enum Control {
    Local(Local),
    Commands(Commands),
}

pub struct Node {
    address: NodeAddress,
    drill: DrillClient,
    control: Control,
    life: Life,
}

impl Node {
    pub(super) fn new(address: NodeAddress, control: Control, recorder: Recorder) -> Self {
        let admin = admin_client(&address.admin, &address.door);
        let drill = drill_client(&address.admin, &address.door);
        let life = Life::new(address.node, admin, recorder);
        Self { address, drill, control, life }
    }

    #[must_use]
    pub fn id(&self) -> u16 {
        self.address.node
    }

    /// Its data directory.
    ///
    /// # Errors
    /// It is no process of the tool's own.
    pub fn data(&self) -> anyhow::Result<&Path> {
        Ok(&self.local()?.files.data)
    }

    /// Where it serves its metrics. `None`: it is no process of the tool's own.
    #[must_use]
    pub fn metrics(&self) -> Option<&str> {
        self.local().ok().map(|local| local.files.metrics.as_str())
    }

    pub(super) fn local(&self) -> anyhow::Result<&Local> {
        match &self.control {
            Control::Local(local) => Ok(local),
            Control::Commands(_) => bail!("node {} was not started by this tool", self.id()),
        }
    }

    /// Started by the tool, and gone with it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.control, Control::Local(_))
    }

    #[must_use]
    pub fn address(&self) -> NodeAddress {
        self.address.clone()
    }

    #[must_use]
    pub fn admin(&self) -> AdminClient {
        self.life.admin()
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    pub async fn status(&self) -> Option<GetStatusResponse> {
        ask_status(self.admin()).await
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.life.is_running()
    }

    #[must_use]
    pub fn unexpected_exits(&self) -> Vec<UnexpectedExit> {
        self.life.unexpected_exits()
    }

    /// It is down, and nobody had told it to end.
    #[must_use]
    pub fn ended_by_itself(&self) -> bool {
        self.life.ended_by_itself()
    }

    /// It runs already, by another's hand.
    ///
    /// # Errors
    /// The history can no longer be written.
    pub(super) fn was_found(&self) -> anyhow::Result<()> {
        self.life.has_begun(0)
    }

    /// Whether a process that is so old is one that somebody else started.
    pub(super) fn is_another(&self, uptime_ms: u64) -> bool {
        self.life.is_another(uptime_ms)
    }

    /// # Errors
    /// It runs already, or cannot be started.
    pub async fn start(&self) -> anyhow::Result<()> {
        ensure!(!self.is_running(), "node {} runs already", self.id());
        match &self.control {
            Control::Local(local) => local.start(&self.life, &[], &[]),
            Control::Commands(commands) => commands.start(&self.life).await,
        }
    }

    /// It will abort at `point`, which the fault wants.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn start_armed(&self, point: CrashPoint) -> anyhow::Result<()> {
        ensure!(!self.is_running(), "node {} runs already", self.id());
        self.local()?.start(&self.life, &[(CRASH_POINT, point.name())], &[])?;
        self.will_end();
        Ok(())
    }

    /// # Errors
    /// It ended, or did not answer in time.
    pub async fn wait_ready(&self, deadline: Duration) -> Result<(), NotThere> {
        let id = self.id();
        match self.life.wait_ready(deadline).await {
            Some(true) => Ok(()),
            Some(false) => {
                let told = self.local().map(|local| format!(": see {}", local.told().display())).unwrap_or_default();
                Err(NotThere(format!("node {id} ended{told}")))
            }
            None => Err(NotThere(format!("node {id} did not answer within {} s", deadline.as_secs()))),
        }
    }

    /// SIGTERM, without waiting for its effect: whether it runs.
    ///
    /// # Errors
    /// It is no process of the tool's own.
    pub fn stop(&self) -> anyhow::Result<bool> {
        self.local()?;
        Ok(local::end_by(&self.life, Signal::SIGTERM).is_ok())
    }

    /// SIGKILL, or the command for it, without waiting for its effect: whether it runs.
    ///
    /// # Errors
    /// The command failed.
    pub async fn kill(&self) -> anyhow::Result<bool> {
        match &self.control {
            Control::Local(_) => Ok(local::end_by(&self.life, Signal::SIGKILL).is_ok()),
            Control::Commands(commands) => commands.kill(&self.life).await,
        }
    }

    /// SIGSTOP, or the command for it: it is there and does nothing. Whether it runs.
    ///
    /// # Errors
    /// The command failed.
    pub async fn pause(&self) -> anyhow::Result<bool> {
        match &self.control {
            Control::Local(_) => Ok(local::send(&self.life, Signal::SIGSTOP).is_ok()),
            Control::Commands(commands) => commands.pause(&self.life).await,
        }
    }

    /// SIGCONT, or the command for it; to a process that is not paused it is nothing.
    ///
    /// # Errors
    /// The command failed.
    pub async fn resume(&self) -> anyhow::Result<()> {
        match &self.control {
            Control::Local(_) => {
                // One that ended meanwhile is told as that, and started by whoever supervises.
                let _ended = local::send(&self.life, Signal::SIGCONT);
                Ok(())
            }
            Control::Commands(commands) => commands.resume().await,
        }
    }

    /// Its own, if the scenario's faults need one.
    #[must_use]
    pub fn disk(&self) -> Option<&Disk> {
        self.local().ok()?.own.disk.as_ref()
    }

    /// Of its processes, if the scenario's faults need one.
    #[must_use]
    pub fn group(&self) -> Option<&Group> {
        self.local().ok()?.own.group.as_ref()
    }

    /// It may open so many files and connections more than it has: the limit that was set for that; `None` if it does not run.
    ///
    /// # Errors
    /// It is no process of the tool's own.
    pub fn leave_descriptors(&self, spare: u32) -> anyhow::Result<Option<u64>> {
        self.local()?;
        // One that ends in this moment has none.
        Ok(self.life.pid().and_then(|pid| descriptors::leave(pid, spare).ok()))
    }

    /// It has no descriptor left below its limit.
    #[must_use]
    pub fn is_short_of_descriptors(&self, limit: u64) -> bool {
        self.life.pid().is_some_and(|pid| descriptors::are_gone(pid, limit).unwrap_or_default())
    }

    /// It may open as many as when it was started.
    ///
    /// # Errors
    /// It is no process of the tool's own, or the system refuses.
    pub fn lift_descriptors(&self) -> anyhow::Result<()> {
        self.local()?;
        match self.life.pid().map(descriptors::lift) {
            Some(Err(error)) if self.is_running() => Err(error),
            // With a process that has ended its limit went.
            _ => Ok(()),
        }
    }

    /// It answers operators and clients whom it has not heard before.
    pub async fn answers_newcomers(&self) -> bool {
        let NodeAddress { client, admin, door, .. } = &self.address;
        let mut public = IssuanceServiceClient::new(channel(client, door));
        // No serial at all: the answer is that.
        let asked = tokio::time::timeout(limits::STATUS_DEADLINE, public.verify_serial(VerifySerialRequest::default()));
        let is_answer = |status: &Status| status.code() == Code::InvalidArgument;
        let (clients, operators) = tokio::join!(asked, ask_status(admin_client(admin, door)));
        operators.is_some() && clients.is_ok_and(|answer| answer.as_ref().err().is_none_or(is_answer))
    }

    /// What comes now will end it, without a signal.
    pub fn will_end(&self) {
        self.life.tell_to_end(true);
    }

    /// That it does not answer is as it should be.
    #[must_use]
    pub fn is_told_to_end(&self) -> bool {
        self.life.is_told_to_end()
    }

    /// What came did not end it.
    pub fn will_go_on(&self) {
        self.life.tell_to_end(false);
    }

    /// It aborts when it next comes by `point`; `None`: at none.
    ///
    /// # Errors
    /// It does not answer, or its program takes no such orders.
    pub async fn arm(&self, point: Option<CrashPoint>) -> Result<(), NotThere> {
        let mut drill = self.drill.clone();
        let armed = drill.arm_crash_point(ArmCrashPointRequest { point: point.map_or("", CrashPoint::name).to_owned() });
        match tokio::time::timeout(limits::CONTROL_DEADLINE, armed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(NotThere(format!("node {} took no crash point: {}", self.id(), status.message()))),
            Err(_) => Err(NotThere(format!("node {} did not answer to take a crash point", self.id()))),
        }
    }

    /// # Errors
    /// It has nothing to take one of, or does not answer.
    pub async fn trigger_snapshot(&self) -> anyhow::Result<()> {
        let mut admin = self.admin();
        let triggered = admin.trigger_snapshot(TriggerSnapshotRequest {});
        tokio::time::timeout(limits::ADMIN_DEADLINE, triggered)
            .await?
            .with_context(|| format!("a snapshot of node {}", self.id()))?;
        Ok(())
    }

    /// # Errors
    /// It does not answer, or its program takes no such orders.
    pub async fn set_clock(&self, clock: Clock) -> Result<(), NotThere> {
        let (id, Clock { ahead_ms, gain_ppm }) = (self.id(), clock);
        let mut drill = self.drill.clone();
        let set = drill.set_clock(SetClockRequest { ahead_ms, gain_ppm });
        match tokio::time::timeout(limits::CONTROL_DEADLINE, set).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(NotThere(format!("node {id} did not set its clock: {}", status.message()))),
            Err(_) => Err(NotThere(format!("node {id} did not answer to set its clock"))),
        }
    }

    /// The end of what its processes printed to their standard error.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn last_words(&self) -> anyhow::Result<String> {
        const LAST_BYTES: u64 = 4 << 10;
        let path = self.local()?.told();
        let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let from = file.metadata()?.len().saturating_sub(LAST_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut words = Vec::new();
        file.read_to_end(&mut words)?;
        Ok(String::from_utf8_lossy(&words).into_owned())
    }

    /// How the process ended; `None` if it did not within `deadline`.
    pub async fn wait_down(&self, deadline: Duration) -> Option<Exit> {
        self.life.wait_down(deadline).await
    }
}
