//! A client that costs little: the same for every server.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::bench::stop::Stop;

/// A server that does not answer within this time has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Uploads `count` files of `bytes` each over `connections` connections, on each one after the
/// other.
pub(super) fn small_files(
    server: SocketAddr,
    count: usize,
    bytes: usize,
    connections: usize,
    stop: &Stop,
) -> Result<()> {
    in_threads(connections, |connection| {
        let mut stream = connect(server)?;
        for file in (connection..count).step_by(connections) {
            stop.check()?;
            let mut request = head(server, &format!("small-{file}"), bytes as u64);
            request.resize(request.len() + bytes, b'x');
            stream.write_all(&request)?;
            read_answer(&mut stream)?;
        }
        Ok(())
    })
}

/// Uploads `count` files of `bytes` each at once, each over a connection of its own.
pub(in crate::bench) fn at_once(
    server: SocketAddr,
    count: usize,
    bytes: u64,
    stop: &Stop,
) -> Result<()> {
    let chunk = vec![b'x'; 256 << 10];
    in_threads(count, |file| {
        let mut stream = connect(server)?;
        stream.write_all(&head(server, &format!("crowd-{file}"), bytes))?;
        let mut left = bytes;
        while left > 0 {
            stop.check()?;
            let length = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            stream.write_all(&chunk[..length])?;
            left -= length as u64;
        }
        read_answer(&mut stream)
    })
}

/// The value of `Content-Length`.
pub(super) fn length(headers: &[httparse::Header<'_>]) -> Option<u64> {
    let header = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    str::from_utf8(header.value).ok()?.trim().parse().ok()
}

fn in_threads(count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a client's thread ended badly")))
        })
    })
}

fn connect(server: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn head(server: SocketAddr, name: &str, bytes: u64) -> Vec<u8> {
    format!("PUT /{name} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {bytes}\r\n\r\n").into()
}

/// Reads one answer to its end.
fn read_answer(stream: &mut TcpStream) -> Result<()> {
    let mut answer = [0; 16 << 10];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut answer[filled..]).context("no answer")?;
        if read == 0 {
            bail!("the server closed the connection instead of answering");
        }
        filled += read;
        if is_whole(&answer[..filled])? {
            return Ok(());
        }
    }
}

/// Whether the whole answer has arrived, with its body. An answer that is no success is an error.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(answer)? else {
        return Ok(false);
    };
    match response.code {
        Some(204) => return Ok(true),
        Some(200..=299) => {}
        code => bail!(
            "the server answered {} to an upload",
            code.unwrap_or_default()
        ),
    }
    let length = length(response.headers).context("an answer without Content-Length")?;
    Ok((answer.len() - head) as u64 >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nabc";
        assert!(is_whole(answer).unwrap());
        assert!(!is_whole(&answer[..answer.len() - 1]).unwrap());
        assert!(!is_whole(&answer[..20]).unwrap());
    }

    #[test]
    fn a_refusal_is_an_error() {
        let answer = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n";
        assert!(is_whole(answer).is_err());
    }
}
