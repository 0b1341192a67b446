//! A listener that bounds the number of open connections and closes idle ones.

use super::role::Role;
use super::settings::ListenerSettings;
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

/// A TCP listener. Connections beyond the limit wait in the kernel's queue. The limit bounds memory
/// and file descriptors.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    permits: Arc<Semaphore>,
    idle: Duration,
}

impl Listener {
    /// Binds the address for callers of these `roles`. A connection may be silent for as long as
    /// the most patient of them needs.
    pub(crate) async fn bind(address: &ListenerSettings, roles: &[Role]) -> io::Result<Self> {
        let idle = roles.iter().map(|role| role.idle()).max();
        Ok(Self {
            tcp: TcpListener::bind(address.at).await?,
            permits: Arc::new(Semaphore::new(address.max_connections)),
            idle: idle.unwrap_or_default(),
        })
    }

    /// How long a connection may be silent.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection<TcpStream>, SocketAddr) {
        // The semaphore is never closed. Without a permit the connection is served too.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        // axum's `accept` survives the errors of the system call.
        let (stream, peer) = axum::serve::Listener::accept(&mut self.tcp).await;
        // A proxy waits for each table, and a table is one small write.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        (Connection::new(stream, self.idle, permit), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address()
    }
}

/// A connection that gives its place back when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    fn new(stream: S, idle: Duration, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            stream,
            idle,
            silence: Box::pin(sleep(idle)),
            _permit: permit,
        }
    }

    /// Returns `moved` and restarts the clock if bytes moved. Else fails with `TimedOut` once the
    /// silence was too long.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            let until = Instant::now() + self.idle;
            self.silence.as_mut().reset(until);
            return moved;
        }
        ready!(self.silence.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.bounded(cx, moved)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
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
        let address = ListenerSettings {
            tls: None,
            allow: None,
            at: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_connections: 1,
        };
        // The limit is that of the role that needs the longest silence.
        let roles = [Role::People, Role::Proxies];
        let mut listener = Listener::bind(&address, &roles).await.unwrap();
        let idle = Role::Proxies.idle();
        let mut client = TcpStream::connect(listener.address().unwrap())
            .await
            .unwrap();
        let (mut connection, _) = listener.accept().await;
        tokio::time::pause();
        let mut byte = [0];
        sleep(idle - Duration::from_secs(1)).await;
        connection.write_all(b"x").await.unwrap();
        client.read_exact(&mut byte).await.unwrap();
        let began = Instant::now();
        let error = connection.read(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            began.elapsed() >= idle && began.elapsed() < idle + Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(listener.permits.available_permits(), 0);
        drop(connection);
        assert_eq!(listener.permits.available_permits(), 1);
    }
}
