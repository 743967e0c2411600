//! Which build this is. A build with planted bugs says so where nobody can miss it.

use crate::planted;

/// Of the source this was built from; set by who builds a package, as git is not there for everybody who builds.
pub const REVISION: &str = match option_env!("STAMPEDE_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

/// What makes the binary do other than a release does; nothing in a release.
pub fn features() -> Vec<String> {
    let all = [(cfg!(feature = "drill-controls"), "DRILL-CONTROLS"), (cfg!(feature = "planted-bugs"), "PLANTED-BUGS")];
    let features = all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, name)| name.to_owned());
    features.chain(planted::chosen().map(|number| format!("PLANTED-BUG-{number}"))).collect()
}
