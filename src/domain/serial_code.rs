//! The printed code of a stamp.
