//! Client code generated from `../proto`: the only thing that the drill knows of the system it judges.
#![allow(clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications, missing_docs)]

pub mod stampede {
    pub mod v1 {
        tonic::include_proto!("stampede.v1");
    }
    pub mod admin {
        pub mod v1 {
            tonic::include_proto!("stampede.admin.v1");
        }
    }
    pub mod drill {
        pub mod v1 {
            tonic::include_proto!("stampede.drill.v1");
        }
    }
}

pub use stampede::admin::v1 as admin;
pub use stampede::drill::v1 as drill;
pub use stampede::v1;
