//! TCP to the collector, with or without TLS.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use rustix::net::sockopt::socket_cookie;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream, lookup_host},
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};
use upload_protocol::Cookie;

use crate::sink::otlp::endpoint::Endpoint;

/// The cookies of the sockets that the tracer itself connected with: their connections are not exported, or each
/// export would be one more.
#[derive(Debug, Default)]
pub(in super::super) struct OwnSockets(VecDeque<Cookie>);

/// A connection's timeline comes soon after its end.
const MAX_OWN: usize = 64;

impl OwnSockets {
    pub(in super::super) fn has(&self, cookie: Option<Cookie>) -> bool {
        cookie.is_some_and(|cookie| self.0.contains(&cookie))
    }

    fn add(&mut self, socket: &TcpSocket) {
        let Ok(cookie) = socket_cookie(socket) else {
            return;
        };
        if self.0.len() == MAX_OWN {
            self.0.pop_front();
        }
        self.0.push_back(Cookie(cookie));
    }
}

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to the first of the host's addresses that answers.
    pub(super) async fn connect(
        endpoint: &Endpoint,
        tls: Option<&TlsConnector>,
        own: &mut OwnSockets,
    ) -> io::Result<Self> {
        let host = endpoint.host.as_str();
        let mut failed = None;
        for address in lookup_host((host, endpoint.port)).await? {
            let stream = match connect(address, own).await {
                Ok(stream) => stream,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            stream.set_nodelay(true)?;
            let Some(tls) = tls else {
                return Ok(Self::Plain(stream));
            };
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let stream = tls.connect(name, stream).await?;
            return Ok(Self::Tls(Box::new(stream)));
        }
        let no_address = || io::Error::other(format!("{host} has no address"));
        Err(failed.unwrap_or_else(no_address))
    }
}

async fn connect(address: SocketAddr, own: &mut OwnSockets) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    own.add(&socket);
    socket.connect(address).await
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
