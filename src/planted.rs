//! The deliberate defects that show that drills and simulation find defects (chaos/README.md, "Who judges the judge").
//!
//! One build, feature `planted-bugs`, has all of them; [`VARIABLE`] in its environment picks the one that a process has. In any
//! other build [`is`] is false for the compiler too, and nothing of them is left.

/// Of the environment: a bug's number, [`FIRST`] to [`LAST`]. Without it the build is sound.
pub const VARIABLE: &str = "STAMPEDE_PLANTED_BUG";
pub const FIRST: u8 = 1;
pub const LAST: u8 = 16;

/// Whether this process has the bug of that number.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn is(number: u8) -> bool {
    chosen() == Some(number)
}

/// Whether this process has the bug of that number.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn is(_number: u8) -> bool {
    false
}

/// The bug that this process has. It is read once, so that it is the same as long as the process lives.
///
/// # Panics
/// The variable is no bug's number: a build that were sound by mistake would be taken for a bug that nobody finds.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn chosen() -> Option<u8> {
    static CHOSEN: std::sync::OnceLock<Option<u8>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let text = std::env::var_os(VARIABLE)?;
        let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| (FIRST..=LAST).contains(number));
        Some(number.unwrap_or_else(|| panic!("{VARIABLE} must be a number from {FIRST} to {LAST}, not {}", text.display())))
    })
}

/// The bug that this process has.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn chosen() -> Option<u8> {
    None
}
