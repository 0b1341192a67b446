//! A listener that holds at most so many connections open, and none for ever.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use trimtab_loadtable::limits;

/// A connection without a byte in either direction for so long is closed: a proxy whose machine is gone never says so, and its
/// connection would be held until nobody else gets one. Twice the longest poll, which is the longest honest silence.
const IDLE: Duration = Duration::from_millis(2 * limits::WAIT_MS as u64);

/// Connections beyond the limit wait in the kernel's queue; memory per connection is ours to bound, file descriptors too.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr, max_connections: usize) -> io::Result<Self> {
        let permits = Arc::new(Semaphore::new(max_connections));
        Ok(Self {
            tcp: TcpListener::bind(address).await?,
            permits,
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed; without a permit the connection is served all the same.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        // axum's own: it survives the errors of accept.
        let (stream, peer) = axum::serve::Listener::accept(&mut self.tcp).await;
        // A table is one small write that a proxy waits for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        (Connection::new(stream, permit), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address()
    }
}

/// A connection that gives its place back when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(stream: TcpStream, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            stream,
            idle: Box::pin(sleep(IDLE)),
            _permit: permit,
        }
    }

    /// Passes on what the stream says of bytes moved, or ends a silence that is too long.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
            return moved;
        }
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.bounded(cx, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded(cx, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bounded(cx, moved)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_silent_connection_is_closed_and_frees_its_place_and_a_byte_starts_the_clock_again() {
        let mut listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1)
            .await
            .unwrap();
        let mut client = TcpStream::connect(listener.address().unwrap())
            .await
            .unwrap();
        let (mut connection, _) = listener.accept().await;
        tokio::time::pause();
        let mut byte = [0];
        sleep(IDLE - Duration::from_secs(1)).await;
        connection.write_all(b"x").await.unwrap();
        client.read_exact(&mut byte).await.unwrap();
        let began = Instant::now();
        let error = connection.read(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            began.elapsed() >= IDLE && began.elapsed() < IDLE + Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(listener.permits.available_permits(), 0);
        drop(connection);
        assert_eq!(listener.permits.available_permits(), 1);
    }
}
