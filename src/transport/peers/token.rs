//! The text that lets one new node join: what an operator hands on, and a node is started with.

use prost::Message as _;

use crate::proto::raft::JoinToken;

/// Says what the text is, and the version of what follows.
const PREFIX: &str = "stampede1-";

/// Bytes of the secret.
pub const SECRET_BYTES: usize = 32;

#[must_use]
pub fn encode(token: &JoinToken) -> String {
    format!("{PREFIX}{}", hex::encode(token.encode_to_vec()))
}

/// # Errors
/// Says what the text lacks, and nothing of what it holds.
pub fn parse(text: &str) -> Result<JoinToken, String> {
    let digits = text.trim().strip_prefix(PREFIX).ok_or_else(|| format!("a join token begins with {PREFIX}"))?;
    let bytes = hex::decode(digits).map_err(|_| "the join token is cut short, or has a digit that is none".to_owned())?;
    let token = JoinToken::decode(bytes.as_slice()).map_err(|_| "the join token is cut short".to_owned())?;
    let is_whole = token.token_id.len() == 16 && token.secret.len() == SECRET_BYTES && !token.cluster_id.is_empty();
    if !is_whole || token.peer_addresses.is_empty() {
        return Err("the join token is not whole: copy all of what `stampede member add` printed".to_owned());
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            cluster_id: "c-1".to_owned(),
            cluster_name: "rush".to_owned(),
            token_id: vec![1; 16].into(),
            secret: vec![2; SECRET_BYTES].into(),
            peer_addresses: vec!["127.0.0.1:7701".to_owned()],
        }
    }

    #[test]
    fn a_token_is_read_back_and_what_is_no_token_is_refused_without_telling_it() {
        let text = encode(&token());
        assert_eq!(parse(&format!(" {text}\n")), Ok(token()));
        for bad in ["", "stampede2-00", "stampede1-0", "stampede1-zz", &text[..text.len() - 2], "stampede1-"] {
            let told = parse(bad).expect_err(bad);
            assert!(!told.contains("0202"), "{told}");
        }
    }
}
