//! Hash maps of the judge: quick, and the same in every process, so that a run judged twice reads the same.
//!
//! No defence against chosen keys: the keys are the tool's own.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

pub type Map<K, V> = HashMap<K, V, FxBuildHasher>;
/// By key, and in the order in which they came, without gaps. Nothing is ever removed.
pub type Table<K, V> = IndexMap<K, V, FxBuildHasher>;
pub type Set<K> = HashSet<K, FxBuildHasher>;
