//! Code generated from `proto/`. `domain` never looks at it; `tests/tidy.rs` holds it to that.
#![allow(clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]

pub mod stampede {
    pub mod v1 {
        tonic::include_proto!("stampede.v1");
    }
    pub mod admin {
        pub mod v1 {
            tonic::include_proto!("stampede.admin.v1");
        }
    }
    pub mod raft {
        pub mod v1 {
            tonic::include_proto!("stampede.raft.v1");
        }
    }
    pub mod storage {
        pub mod v1 {
            tonic::include_proto!("stampede.storage.v1");
        }
    }
    #[cfg(feature = "drill-controls")]
    pub mod drill {
        pub mod v1 {
            tonic::include_proto!("stampede.drill.v1");
        }
    }
}

pub use stampede::admin::v1 as admin;
#[cfg(feature = "drill-controls")]
pub use stampede::drill::v1 as drill;
pub use stampede::raft::v1 as raft;
pub use stampede::storage::v1 as storage;
pub use stampede::v1;

/// For gRPC reflection: the files that clients need, without those of operators, peers and the disk.
pub const CLIENT_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/client_descriptors.bin"));
/// The files that operators need.
pub const OPERATOR_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/operator_descriptors.bin"));
