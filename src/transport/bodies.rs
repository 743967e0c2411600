//! How much a call's body may bring, and how long it may take to come. What has not come whole lies in memory until it has: a
//! caller who keeps the last byte back keeps the rest here.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Body as HttpBody;
use tonic::codegen::Bytes;

use crate::transport::errors::{Failure, Reason};

/// gRPC's prefix of a message: compressed or not, and its length.
const PREFIX_BYTES: usize = 5;

/// `G` is kept as long as the body.
pub(super) struct Bounded<G> {
    inner: Body,
    bounds: Option<Bounds>,
    _guard: G,
}

struct Bounds {
    bytes_max: usize,
    bytes: usize,
    within: Duration,
    /// From when something was waited for.
    late: Option<Pin<Box<Sleep>>>,
}

impl Bounded<()> {
    /// One message of `bytes_max`, whole `within` this time.
    pub(super) fn of_call(inner: Body, bytes_max: usize, within: Duration) -> Self {
        Self { inner, bounds: Some(Bounds { bytes_max, bytes: 0, within, late: None }), _guard: () }
    }
}

impl<G: Send + Unpin + 'static> Bounded<G> {
    /// Each of its messages is bounded where it is read.
    pub(super) fn of_stream(inner: Body, guard: G) -> Self {
        Self { inner, bounds: None, _guard: guard }
    }

    pub(super) fn boxed(self) -> Body {
        Body::new(self)
    }
}

impl Bounds {
    fn came(&mut self, bytes: usize) -> Result<(), Status> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max + PREFIX_BYTES {
            let limit = format_args!("must have at most {} bytes", self.bytes_max);
            return Err(Failure::invalid("request", limit).status());
        }
        Ok(())
    }

    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let within = self.within;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(within)));
        late.as_mut()
            .poll(context)
            .map(|()| Failure::new(Reason::NotInTime, format!("the request did not come whole within {within:?}")).status())
    }
}

impl<G: Send + Unpin> HttpBody for Bounded<G> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let Some(bounds) = &mut self.bounds else { return polled };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                Poll::Ready(Some(bounds.came(bytes).map(|()| frame)))
            }
            Poll::Pending => bounds.poll_late(context).map(|status| Some(Err(status))),
            ended => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use tonic::Code;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sent(pieces: &'static [&'static [u8]]) -> impl stream::Stream<Item = Result<Frame<Bytes>, Status>> {
        stream::iter(pieces).map(|piece| Ok(Frame::data(Bytes::from_static(piece))))
    }

    #[tokio::test]
    async fn a_body_ends_where_its_limit_is_passed() {
        let whole = Bounded::of_call(Body::new(StreamBody::new(sent(&[b"pre", b"fixabc"]))), 4, LONG);
        assert_eq!(whole.collect().await.unwrap().to_bytes().len(), PREFIX_BYTES + 4);
        let too_long = Bounded::of_call(Body::new(StreamBody::new(sent(&[b"pre", b"fixabcd"]))), 4, LONG);
        assert_eq!(too_long.collect().await.unwrap_err().code(), Code::InvalidArgument);
    }

    #[tokio::test]
    async fn a_body_of_which_the_rest_does_not_come_is_not_waited_for() {
        let begun = sent(&[b"pre"]).chain(stream::pending());
        let late = Bounded::of_call(Body::new(StreamBody::new(begun)), 4, Duration::from_millis(10));
        assert_eq!(late.collect().await.unwrap_err().code(), Code::DeadlineExceeded);
    }
}
