//! `stamp apply|get|verify`: put a stamp on a document; what became of a stamp, and is this code one of ours?

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Global;
use super::connection::Call;
use super::exit::{Code, Failure};
use super::order::{describe_receipt, short_name};
use super::output::{self, Record};
use crate::proto::v1::issuance_service_client::IssuanceServiceClient as Client;
use crate::proto::v1::{SerialStatus, StampDocumentRequest, VerifySerialRequest, VerifySerialResponse};

#[derive(Debug, Subcommand)]
pub(super) enum StampCommand {
    /// Put the order's next unused stamp on a document; the same document again gets the same stamp
    #[command(group = ArgGroup::new("document").required(true).args(["file", "sha256"]))]
    Apply {
        order_id: Uuid,
        #[command(flatten)]
        document: Document,
    },
    /// Show a stamp by its code: its series and number, its order, and when it was issued, stamped or voided. Exit code 7 if it was
    /// never issued
    Get {
        /// 22 characters, as printed
        code: String,
    },
    /// Tell forged, unknown, issued, stamped and voided codes apart; exit code 12 unless it is issued or stamped. With a document
    /// also whether the stamp is on it; exit code 12 if it is not
    Verify {
        /// 22 characters, as printed
        code: String,
        #[command(flatten)]
        document: Document,
    },
}

/// The document never leaves this machine: its digest does.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub(super) struct Document {
    /// The document, whose SHA-256 is made here
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// SHA-256 of the document: 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = parse_sha256)]
    sha256: Option<Sha256Digest>,
}

type Sha256Digest = [u8; 32];

fn parse_sha256(text: &str) -> Result<Sha256Digest, String> {
    let mut digest = Sha256Digest::default();
    hex::decode_to_slice(text, &mut digest).map_err(|error| format!("must have 64 hexadecimal digits: {error}"))?;
    Ok(digest)
}

impl Document {
    /// None if no document is named.
    fn digest(&self) -> Result<Option<Sha256Digest>, Failure> {
        match (&self.file, self.sha256) {
            (_, Some(digest)) => Ok(Some(digest)),
            (Some(path), None) => digest_of(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn digest_of(path: &Path) -> Result<Sha256Digest, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(Code::Failed, format!("cannot read {}: {error}", path.display()), "name a file that can be read")
    };
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    std::io::copy(&mut file, &mut hasher).map_err(unreadable)?;
    Ok(hasher.finalize().into())
}

pub(super) async fn run(global: &Global, command: StampCommand) -> Result<(), Failure> {
    match command {
        StampCommand::Apply { order_id, document } => {
            let digest = document.digest()?.expect("the group is required");
            apply(global, order_id, digest).await
        }
        StampCommand::Get { code } => get(global, code).await,
        StampCommand::Verify { code, document } => verify(global, code, document.digest()?).await,
    }
}

async fn apply(global: &Global, order_id: Uuid, document: Sha256Digest) -> Result<(), Failure> {
    let again = format!("stampede stamp apply {order_id} --sha256 {}", hex::encode(document));
    // The same command is also how to ask: it has no second effect.
    let call = Call::write("stamping the document", again.clone(), again);
    let message = StampDocumentRequest { order_id: order_id.to_string(), document_sha256: document.to_vec() };
    let stamped = global
        .servers()
        .call(&call, async |to| Client::new(to.channel()).stamp_document(to.request(message.clone())).await)
        .await?;
    let mut record = vec![
        ("order_id", json!(order_id.to_string())),
        ("document_sha256", json!(hex::encode(document))),
        ("series", json!(stamped.series_code)),
        ("number", json!(stamped.number)),
        ("code", json!(stamped.code)),
    ];
    record.extend(describe_receipt(stamped.receipt));
    output::print_record(global.output, record);
    Ok(())
}

async fn get(global: &Global, code: String) -> Result<(), Failure> {
    let answer = ask(global, &code, None).await?;
    let status = answer.status();
    let missing = match status {
        SerialStatus::Issued | SerialStatus::Stamped | SerialStatus::Voided => None,
        SerialStatus::Unknown => Some("the code is genuine, but its stamp is not issued"),
        SerialStatus::Forged | SerialStatus::Unspecified => Some(NEVER_GIVEN_OUT),
    };
    if let Some(message) = missing {
        return Err(Failure::new(Code::NotFound, message, "read the code again, character by character"));
    }
    let mut record = vec![("code", json!(code)), ("series", json!(answer.series_code)), ("number", json!(answer.number))];
    record.extend(describe(answer));
    output::print_record(global.output, record);
    Ok(())
}

const NEVER_GIVEN_OUT: &str = "the code was never given out by this system";

async fn ask(global: &Global, code: &str, document: Option<Sha256Digest>) -> Result<VerifySerialResponse, Failure> {
    let document_sha256 = document.map_or_else(Vec::new, |digest| digest.to_vec());
    let message = VerifySerialRequest { code: code.to_owned(), document_sha256, ..VerifySerialRequest::default() };
    let call = Call::read("asking for the code");
    global.servers().call(&call, async |to| Client::new(to.channel()).verify_serial(to.request(message.clone())).await).await
}

fn describe(answer: VerifySerialResponse) -> Record {
    let told = |at_ms: i64| (at_ms > 0).then_some(at_ms);
    vec![
        ("status", short_name(answer.status().as_str_name(), "SERIAL_STATUS_")),
        ("order_id", json!(Some(answer.order_id).filter(|id| !id.is_empty()))),
        ("issued_at_ms", json!(told(answer.issued_at_ms))),
        ("stamped_at_ms", json!(told(answer.stamped_at_ms))),
        ("voided_at_ms", json!(told(answer.voided_at_ms))),
    ]
}

async fn verify(global: &Global, code: String, document: Option<Sha256Digest>) -> Result<(), Failure> {
    let answer = ask(global, &code, document).await?;
    let (status, document_matches) = (answer.status(), answer.document_matches);
    let mut record = vec![("code", json!(code))];
    record.extend(describe(answer));
    if document.is_some() {
        record.push(("document_matches", json!(document_matches)));
    }
    output::print_record(global.output, record);
    let message = match (status, document.is_some()) {
        (SerialStatus::Issued, false) | (SerialStatus::Stamped, false) => return Ok(()),
        (SerialStatus::Stamped, true) if document_matches => return Ok(()),
        (SerialStatus::Stamped, true) => "the stamp is on another document",
        (SerialStatus::Issued, true) => "the stamp is issued, and on no document yet",
        (SerialStatus::Voided, _) => "the stamp was voided: it is good for no document",
        (SerialStatus::Unknown, _) => "the code is genuine, but its stamp is not issued",
        _ => NEVER_GIVEN_OUT,
    };
    Err(Failure::new(Code::VerificationFailed, message, "compare it with the document, character by character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_64_hexadecimal_digits() {
        let text = "00ff".repeat(16);
        let digest = parse_sha256(&text).unwrap();
        assert_eq!((digest[0], digest[1], hex::encode(digest)), (0, 255, text.clone()));
        assert_eq!(parse_sha256(&text.to_uppercase()), Ok(digest));
        for bad in [&text[1..], "", &"é".repeat(32), &"zz".repeat(32)] {
            assert!(parse_sha256(bad).is_err(), "{bad}");
        }
    }
}
