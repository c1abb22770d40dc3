//! The end of a connection whose client may still be sending (RFC 9112, 9.6). Simple clients send a whole
//! body before they read the response that refuses it. A socket closed with bytes unread is reset, and
//! the reset can overtake the response, or break the client's sending off (hyper#2384). So the rest is
//! read and dropped, within limits.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How long a client may go on sending.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(30);

/// The same where others wait for the connection to end.
pub(crate) const SHORT_TIME: Duration = Duration::from_secs(1);

/// How long it may pause.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How many bytes are dropped. A client on the same machine sends as many in some seconds.
const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// How much is read at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// Sends what is left, closes the sending side, and waits until the client closes its own.
pub(super) async fn close<S>(stream: &mut S, last_response: Option<String>, time: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closing = async {
        if let Some(response) = last_response {
            stream.write_all(response.as_bytes()).await?;
        }
        stream.shutdown().await?;
        drop_the_rest(stream).await
    };
    // However this ends, nothing is left to do.
    let _ = timeout(time, closing).await;
}

async fn drop_the_rest<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut dropped = 0;
    while dropped < MAX_BYTES {
        match timeout(MAX_PAUSE, stream.read(&mut buffer)).await? {
            Ok(0) => break,
            read => dropped += read? as u64,
        }
    }
    Ok(())
}
