//! The secret behind the printed codes, from its file.

use std::path::Path;

use crate::domain::serial_code::SerialKey;

/// Bytes of the key; two hexadecimal digits each in the file.
const KEY_BYTES: usize = 32;
/// A file with this word is for development: the node warns when it uses one.
const DEVELOPMENT_MARK: &str = "DEVELOPMENT";

#[derive(Debug, Clone)]
pub struct KeyFile {
    pub key: SerialKey,
    /// It says of itself that it is no secret.
    pub is_for_development: bool,
}

/// # Errors
/// The file cannot be read, or is no key; the message never shows what is in it.
pub fn read(path: &Path) -> Result<KeyFile, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("serials.key_file: cannot read {shown}: {error}"))?;
    let digits: String = text.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    let key = parse(&digits).ok_or_else(|| {
        format!("serials.key_file: {shown} must hold {} hexadecimal digits, besides lines with #", KEY_BYTES * 2)
    })?;
    Ok(KeyFile { key: SerialKey::from_bytes(key), is_for_development: text.contains(DEVELOPMENT_MARK) })
}

fn parse(digits: &str) -> Option<[u8; KEY_BYTES]> {
    if digits.len() != KEY_BYTES * 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (byte, at) in key.iter_mut().zip((0..digits.len()).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<KeyFile, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn a_key_is_64_digits_and_comments_beside_it_are_not_read() {
        let bare = read_text(&"07".repeat(32)).unwrap();
        let marked = read_text(&format!("# DEVELOPMENT only\n{}\n", "07".repeat(32))).unwrap();
        assert_eq!(bare.key.key_check(), marked.key.key_check());
        assert!(marked.is_for_development && !bare.is_for_development);
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        for text in ["", "0707", &"zz".repeat(32), &"07".repeat(33), "é"] {
            let error = read_text(text).unwrap_err();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }
}
