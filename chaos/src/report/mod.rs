//! The verdict in the forms that people and machines read: one page, and JUnit.

pub mod chart;
pub mod junit;
pub mod page;
