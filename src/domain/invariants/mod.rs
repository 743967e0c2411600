//! Predicates over a whole ledger.
