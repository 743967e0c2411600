//! The secrets of payment gateways, from their files.

use std::path::Path;

use super::config::Gateways;
use crate::limits::GATEWAY_SECRETS_MAX;
use crate::transport::gateways::{Secret, Secrets};

/// # Errors
/// Names the key and the file; never shows what is in it.
pub fn read(gateways: &Gateways) -> Result<Secrets, String> {
    let of = |key, file: &Option<_>| file.as_deref().map_or(Ok(Vec::new()), |path| read_file(key, path));
    Ok(Secrets {
        midtrans: of("gateways.midtrans_keys_file", &gateways.midtrans_keys_file)?,
        xendit: of("gateways.xendit_tokens_file", &gateways.xendit_tokens_file)?,
    })
}

fn read_file(key: &str, path: &Path) -> Result<Vec<Secret>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{key}: cannot read {shown}: {error}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let secrets: Vec<Secret> = lines.map(Secret::new).collect();
    if secrets.is_empty() || secrets.len() > GATEWAY_SECRETS_MAX {
        let count = secrets.len();
        return Err(format!("{key}: {shown} must hold 1 to {GATEWAY_SECRETS_MAX} secrets, one a line, holds {count}"));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Gateways {
        Gateways { midtrans_keys_file: None, midtrans_status_address: String::new(), xendit_tokens_file: None }
    }

    fn read_text(text: &str) -> Result<Secrets, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        std::fs::write(&path, text).unwrap();
        read(&Gateways { midtrans_keys_file: Some(path), ..none() })
    }

    #[test]
    fn one_or_two_secrets_are_active_and_comments_are_none() {
        assert_eq!(read_text("# since May\n one \n\n").unwrap().midtrans.len(), 1);
        assert_eq!(read_text("one\ntwo").unwrap().midtrans.len(), 2);
        assert!(read(&none()).unwrap().is_empty());
    }

    #[test]
    fn a_file_with_none_or_too_many_is_refused_without_showing_it() {
        for text in ["", "# nothing", "hush\nhush2\nhush3"] {
            let error = read_text(text).unwrap_err();
            assert!(error.starts_with("gateways.midtrans_keys_file") && error.contains("1 to 2"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        let missing = Gateways { xendit_tokens_file: Some("/nowhere/tokens".into()), ..none() };
        assert!(read(&missing).unwrap_err().contains("/nowhere/tokens"));
    }
}
