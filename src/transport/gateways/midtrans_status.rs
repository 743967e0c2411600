//! Midtrans' GET Status (docs.midtrans.com, "GET Status API Requests"): what a charge is now, asked of Midtrans itself before its money is
//! recorded. A notice's signature covers neither its status nor when it was sent; this answer has both.
//!
//! In plain HTTP, to a proxy on this machine that speaks TLS to `api.midtrans.com`: a node has no TLS of its own yet.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::midtrans::{Charge, Now};
use super::{Secret, midtrans};
use crate::limits::{MIDTRANS_STATUS_WITHIN, WEBHOOK_BODY_BYTES_MAX};

/// All but what stands for itself in a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Where it is asked.
pub(super) struct MidtransStatus {
    /// `host:port`.
    address: String,
}

impl MidtransStatus {
    pub(super) fn new(address: String) -> Self {
        Self { address }
    }

    /// With the first server key that Midtrans takes: while one replaces the other, it may know only one.
    ///
    /// # Errors
    /// Nobody knows: ask later.
    pub(super) async fn ask(&self, charge: &Charge, server_keys: &[Secret], deadline: Instant) -> Result<Now, String> {
        let deadline = deadline.min(Instant::now() + MIDTRANS_STATUS_WITHIN);
        let unknown = |why: &dyn std::fmt::Display| format!("GET Status of Midtrans at {}: {why}", self.address);
        for server_key in server_keys {
            match timeout_at(deadline, self.get(charge, server_key)).await {
                Ok(Ok((StatusCode::UNAUTHORIZED, _))) => {}
                // Its own code of a charge that it does not know is in the body, whichever of these is in the head.
                Ok(Ok((StatusCode::OK | StatusCode::NOT_FOUND, body))) => {
                    return midtrans::now(charge, &body).map_err(|why| unknown(&why));
                }
                Ok(Ok((status, _))) => return Err(unknown(&status)),
                Ok(Err(error)) => return Err(unknown(&error)),
                Err(_) => return Err(unknown(&format_args!("no answer within {MIDTRANS_STATUS_WITHIN:?}"))),
            }
        }
        Err(unknown(&"no server key is taken"))
    }

    async fn get(&self, charge: &Charge, server_key: &Secret) -> Result<(StatusCode, Bytes), AnyError> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let credentials = BASE64_STANDARD.encode(format!("{}:", server_key.as_str()));
        let mut credentials = HeaderValue::from_str(&format!("Basic {credentials}"))?;
        credentials.set_sensitive(true);
        let request = Request::get(format!("/v2/{}/status", utf8_percent_encode(&charge.order_id, ESCAPED)))
            .header(HOST, &self.address)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, credentials)
            .body(Empty::<Bytes>::new())?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok((head.status, Limited::new(body, WEBHOOK_BODY_BYTES_MAX).collect().await?.to_bytes()))
    }
}
