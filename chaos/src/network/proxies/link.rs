//! One directed link: takes the connections of one node and carries their bytes to another, as far as the matrix lets them pass.

use std::net::SocketAddr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::network::Direction;
use crate::network::passage::{Hit, Matrix, Passage};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks on their way: with them and the buffers of the sockets, what a sender may send into a cut.
const CHUNKS_ON_THE_WAY: usize = 64;

/// What carries bytes in one direction knows this.
#[derive(Clone)]
pub(super) struct Way {
    matrix: Matrix,
    direction: Direction,
}

impl Way {
    pub(super) fn new(matrix: Matrix, direction: Direction) -> Self {
        Self { matrix, direction }
    }

    /// Drawn per chunk, from a generator that begins the same for each direction.
    fn random(&self) -> ChaCha8Rng {
        let (from, to) = self.direction;
        ChaCha8Rng::seed_from_u64(u64::from(from) << 16 | u64::from(to))
    }

    /// When what is sent now arrives, if nothing holds it.
    fn due(&self, random: &mut ChaCha8Rng) -> Instant {
        match self.matrix.of(self.direction) {
            Passage::Free | Passage::Cut => Instant::now(),
            Passage::Impaired(by) => {
                self.matrix.note(self.direction, Hit::Late);
                Instant::now() + by.delay + by.jitter.mul_f64(random.random())
            }
        }
    }

    async fn until_open(&self) {
        if self.matrix.of(self.direction) == Passage::Cut {
            self.matrix.note(self.direction, Hit::Cut);
            self.matrix.until_open(&[self.direction]).await;
        }
    }
}

/// Until it is dropped.
pub(super) async fn serve(listener: TcpListener, target: SocketAddr, forward: Way, backward: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // One that ended before it was accepted is nobody's.
                if let Ok((dialled, _)) = accepted {
                    connections.spawn(carry(dialled, target, forward.clone(), backward.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(dialled: TcpStream, target: SocketAddr, forward: Way, backward: Way) {
    // A connection is made by packets of both directions.
    forward.matrix.until_open(&[forward.direction, backward.direction]).await;
    let Ok(accepted) = TcpStream::connect(target).await else {
        // Its other end is told by the close.
        return;
    };
    // Delays are the matrix's.
    let (_, _) = (dialled.set_nodelay(true), accepted.set_nodelay(true));
    let (dialled_read, dialled_write) = dialled.into_split();
    let (accepted_read, accepted_write) = accepted.into_split();
    tokio::join!(pump(dialled_read, accepted_write, forward), pump(accepted_read, dialled_write, backward));
}

/// Carries until the sender's end, and closes the receiver's behind it.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way) {
    let (sent, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_ON_THE_WAY);
    let read = async {
        let (mut buffer, mut random) = (vec![0; CHUNK_BYTES], way.random());
        while let Ok(length) = from.read(&mut buffer).await
            && length > 0
        {
            if sent.send((way.due(&mut random), buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
        drop(sent);
    };
    let write = async {
        while let Some((due, chunk)) = arriving.recv().await {
            tokio::time::sleep_until(due).await;
            way.until_open().await;
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        way.until_open().await;
        let _closed = to.shutdown().await;
        // Whoever still sends must not wait for room.
        arriving.close();
    };
    tokio::join!(read, write);
}
