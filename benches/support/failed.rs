//! Why a benchmark ends without its figures, each on one line.

use tonic::{Code, Status};

#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("the cluster lost its leader during the benchmark, as when the disk stands still for a second: {what}: {cause}")]
    LeaderLost { what: &'static str, cause: String },
    #[error("{what} failed during the benchmark: {cause}")]
    Call { what: &'static str, cause: String },
    #[error("{count} payments were turned away under overload, where only new orders may be")]
    PaymentsShed { count: u64 },
}

impl Failed {
    pub fn call(what: &'static str, status: &Status) -> Self {
        Self::of(what, status.code(), format!("{:?} {}", status.code(), status.message()))
    }

    /// `cause`: for people.
    pub fn of(what: &'static str, code: Code, cause: String) -> Self {
        match code {
            Code::Unavailable => Self::LeaderLost { what, cause },
            _ => Self::Call { what, cause },
        }
    }
}
