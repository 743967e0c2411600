//! `stampede.drill.v1.DrillService`: what a drill does to this process from within. Not in a release (`src/lib.rs`).

use tonic::{Request, Response, Status};

use crate::clock;
use crate::proto::drill::drill_service_server::{DrillService, DrillServiceServer};
use crate::proto::drill::{ArmCrashPointRequest, ArmCrashPointResponse, SetClockRequest, SetClockResponse};
use crate::storage::crash_point;

pub(super) fn service() -> DrillServiceServer<Drill> {
    DrillServiceServer::new(Drill)
}

pub(super) struct Drill;

#[tonic::async_trait]
impl DrillService for Drill {
    async fn set_clock(&self, request: Request<SetClockRequest>) -> Result<Response<SetClockResponse>, Status> {
        let SetClockRequest { ahead_ms, gain_ppm } = request.into_inner();
        clock::set_wrong(ahead_ms, gain_ppm);
        tracing::warn!(event = "drill_clock", ahead_ms, gain_ppm, "a drill set the clock of this process");
        Ok(Response::new(SetClockResponse { clock_ms: clock::unix_ms() }))
    }

    async fn arm_crash_point(&self, request: Request<ArmCrashPointRequest>) -> Result<Response<ArmCrashPointResponse>, Status> {
        let ArmCrashPointRequest { point } = request.into_inner();
        let known = crash_point::POINTS.iter().copied().find(|known| *known == point);
        if known.is_none() && !point.is_empty() {
            return Err(Status::invalid_argument(format!("point: {point:?} is no crash point of this build")));
        }
        tracing::warn!(event = "drill_crash_point", point, "a drill armed a crash point");
        crash_point::arm(known);
        Ok(Response::new(ArmCrashPointResponse {}))
    }
}
