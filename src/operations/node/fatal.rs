//! Why a node stopped by itself, as an exit code: an operator (or a supervisor) must treat a full disk and a damaged one
//! differently.

use crate::consensus::StartError;
use crate::operations::exit::{Code, Failure};
use crate::storage::StorageError;

const DISK: &str = "look at the disk and the kernel's log; the node may be started again when the disk is well";
const DAMAGED: &str = "do not start it again on this data: replace the node by a new member with a new id";
const NOT_ITS_OWN: &str = "give it its own data directory, or the node id and version that the directory belongs to";
const UNEXPECTED: &str = "its log says more; start it again, and report this";

#[must_use]
pub fn of_storage(error: &StorageError) -> Failure {
    let (code, next) = match error {
        StorageError::Io { .. } => (Code::StorageIo, DISK),
        StorageError::Corrupt { .. } => (Code::StorageCorrupt, DAMAGED),
        StorageError::Unusable(_) => (Code::StorageUnusable, NOT_ITS_OWN),
    };
    Failure::new(code, error.to_string(), next)
}

#[must_use]
pub fn of_start(error: &StartError) -> Failure {
    match error {
        StartError::Storage(error) => of_storage(error),
        StartError::Settings(problem) => {
            Failure::new(Code::Configuration, problem.clone(), "`stampede config validate` names the keys")
        }
        StartError::Consensus(problem) => Failure::new(Code::ConsensusStopped, problem.clone(), UNEXPECTED),
    }
}

/// Consensus gives its reason as text; a storage error that was seen before it is the better one.
#[must_use]
pub fn of_consensus(reason: &str, seen: Option<&StorageError>) -> Failure {
    seen.map_or_else(|| Failure::new(Code::ConsensusStopped, reason, UNEXPECTED), of_storage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_code_of_its_own() {
        let io = StorageError::Io { operation: "sync the log", cause: "no space".to_owned() };
        let corrupt = StorageError::Corrupt { what: "NODE".to_owned(), cause: "bytes".to_owned() };
        let table = [
            (of_storage(&io), Code::StorageIo),
            (of_storage(&corrupt), Code::StorageCorrupt),
            (of_storage(&StorageError::Unusable("newer".to_owned())), Code::StorageUnusable),
            (of_start(&StartError::Storage(io.clone())), Code::StorageIo),
            (of_start(&StartError::Settings("heartbeat".to_owned())), Code::Configuration),
            (of_consensus("panicked", None), Code::ConsensusStopped),
            (of_consensus("storage", Some(&io)), Code::StorageIo),
        ];
        for (failure, code) in table {
            assert_eq!(failure.code, code, "{failure}");
        }
    }
}
