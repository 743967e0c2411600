//! Which build this is. A build with planted bugs says so where nobody can miss it.

/// Of the source this was built from; set by who builds a package, as git is not there for everybody who builds.
pub const REVISION: &str = match option_env!("STAMPEDE_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

/// Features that change what the binary does; none in a release.
pub fn features() -> Vec<&'static str> {
    let all = [
        (cfg!(feature = "drill-controls"), "DRILL-CONTROLS"),
        (cfg!(feature = "planted-bug-1"), "PLANTED-BUG-1"),
        (cfg!(feature = "planted-bug-2"), "PLANTED-BUG-2"),
        (cfg!(feature = "planted-bug-3"), "PLANTED-BUG-3"),
        (cfg!(feature = "planted-bug-4"), "PLANTED-BUG-4"),
        (cfg!(feature = "planted-bug-5"), "PLANTED-BUG-5"),
        (cfg!(feature = "planted-bug-6"), "PLANTED-BUG-6"),
        (cfg!(feature = "planted-bug-7"), "PLANTED-BUG-7"),
        (cfg!(feature = "planted-bug-8"), "PLANTED-BUG-8"),
        (cfg!(feature = "planted-bug-9"), "PLANTED-BUG-9"),
        (cfg!(feature = "planted-bug-10"), "PLANTED-BUG-10"),
        (cfg!(feature = "planted-bug-11"), "PLANTED-BUG-11"),
        (cfg!(feature = "planted-bug-12"), "PLANTED-BUG-12"),
        (cfg!(feature = "planted-bug-13"), "PLANTED-BUG-13"),
        (cfg!(feature = "planted-bug-14"), "PLANTED-BUG-14"),
        (cfg!(feature = "planted-bug-15"), "PLANTED-BUG-15"),
        (cfg!(feature = "planted-bug-16"), "PLANTED-BUG-16"),
    ];
    all.into_iter().filter_map(|(is_on, name)| is_on.then_some(name)).collect()
}
