//! How the tool reaches a node: by a socket that is made where the node is.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tower_service::Service;

use super::Namespace;
use crate::limits;

/// Connects to addresses of the loopback there; of the machine's own, without a namespace.
#[derive(Debug, Clone, Default)]
pub struct Door(Option<Namespace>);

impl Door {
    #[must_use]
    pub fn to(namespace: Option<&Namespace>) -> Self {
        Self(namespace.cloned())
    }

    /// # Errors
    /// Nobody listens there, or not within [`limits::CONNECT_DEADLINE`].
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match &self.0 {
            Some(namespace) => namespace.within(TcpSocket::new_v4)??,
            None => TcpSocket::new_v4()?,
        };
        let stream = tokio::time::timeout(limits::CONNECT_DEADLINE, socket.connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Service<Uri> for Door {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let door = self.clone();
        Box::pin(async move {
            let address = uri.authority().and_then(|authority| authority.as_str().parse().ok());
            let no_address = || io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} has no address"));
            door.connect(address.ok_or_else(no_address)?).await.map(TokioIo::new)
        })
    }
}
