//! The verdict in the forms that people and machines read: one page, and JUnit.

mod faults;
mod findings;
pub mod junit;
mod lanes;
mod over_time;
pub mod page;
mod plot;
mod proof;
mod summary;
mod words;
