//! What is for drills cannot get into a release: the compiler refuses it.

use std::path::Path;
use std::process::Command;

/// As in a release: without our own debug assertions. Of the dependencies, which have none in any profile, nothing is built anew.
const AS_IN_A_RELEASE: &str = "profile.dev.debug-assertions=false";

fn refusal_of(feature: &str) -> Option<String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let built = Command::new(env!("CARGO"))
        .args(["rustc", "--locked", "--offline", "--lib", "--features", feature, "--config", AS_IN_A_RELEASE])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    (!built.status.success()).then(|| String::from_utf8_lossy(&built.stderr).into_owned())
}

#[test]
fn a_release_with_drill_controls_or_planted_bugs_does_not_compile() {
    for feature in ["drill-controls", "planted-bugs"] {
        let told = refusal_of(feature).unwrap_or_else(|| panic!("{feature} compiled"));
        assert!(told.contains("a release cannot contain them"), "{feature}: {told}");
    }
}
