use std::future::poll_fn;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::{unconstrained, yield_now},
};

use super::*;

/// A connection on which `sent` bytes are there.
async fn connection(sent: usize) -> (ReadAhead, ReadAheadStream<DuplexStream>, DuplexStream) {
    let (mut client, server) = duplex(sent);
    client.write_all(&vec![0; sent]).await.unwrap();
    let ahead = ReadAhead::new(budget().share());
    let mut stream = ahead.of(server);
    stream.buffer.resize(ENOUGH / 4, 0);
    (ahead, stream, client)
}

/// Reads as much as may be read while the readers of bodies do nothing.
async fn read(stream: &mut ReadAheadStream<DuplexStream>) -> usize {
    let mut buffer = vec![0; ENOUGH / 4];
    let mut all = 0;
    let mut pending = 0;
    while pending < 2 {
        let read = poll_fn(|cx| {
            let mut into = ReadBuf::new(&mut buffer);
            let polled = Pin::new(&mut *stream).poll_read(cx, &mut into);
            Poll::Ready(polled.map(|_| into.filled().len()))
        });
        match unconstrained(read).await {
            Poll::Ready(read) => (all, pending) = (all + read, 0),
            Poll::Pending => pending += 1,
        }
    }
    all
}

#[tokio::test]
async fn reads_on_for_a_reader_that_waits_or_took() {
    let (ahead, mut stream, _client) = connection(32 * 1024 * 1024).await;
    let most = ahead.0.lock().share.amount;
    let mut body = ahead.body();
    assert_eq!(read(&mut stream).await, ENOUGH);
    assert_eq!(read(&mut stream).await, 0);
    body.took(ENOUGH / 4 - HEADER - FRAME);
    assert_eq!(read(&mut stream).await, ENOUGH / 4);

    // Whatever the other bodies hold, one that waits may get its bytes, up to a limit.
    let mut other = ahead.body();
    other.waiting();
    assert_eq!(read(&mut stream).await, most - ENOUGH);
    other.took(ENOUGH - HEADER - FRAME);
    assert_eq!(read(&mut stream).await, 0);

    // Without a body, nothing is kept for one.
    drop(body);
    drop(other);
    assert_eq!(ahead.0.lock().unread, 0);
    assert!(read(&mut stream).await > ENOUGH);
}

/// A client may pad its frames: more is read than any reader takes.
#[tokio::test]
async fn what_belongs_to_no_body_holds_none_back() {
    let (ahead, mut stream, _client) = connection(32 * 1024 * 1024).await;
    let mut body = ahead.body();
    body.waiting();
    // Never more than enough without a turn of the readers.
    let mut cx = Context::from_waker(Waker::noop());
    let mut buffer = vec![0; ENOUGH / 4];
    let mut at_once = 0;
    loop {
        let mut into = ReadBuf::new(&mut buffer);
        if Pin::new(&mut stream)
            .poll_read(&mut cx, &mut into)
            .is_pending()
        {
            break;
        }
        at_once += into.filled().len();
    }
    assert_eq!(at_once, ENOUGH);
    assert!(read(&mut stream).await > 30 * 1024 * 1024);
    body.took(1);
    assert_eq!(read(&mut stream).await, 0);
}

/// h2 keeps each frame by itself, whatever it holds.
#[tokio::test]
async fn frames_of_one_byte_count_for_more() {
    let (mut client, server) = duplex(1024 * 1024);
    client.write_all(&[0; 24]).await.unwrap();
    for _ in 0..50_000 {
        client
            .write_all(&[0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'])
            .await
            .unwrap();
    }
    let ahead = ReadAhead::new(budget().share());
    let mut stream = ahead.of(server);
    let mut body = ahead.body();
    let mut into = vec![0; ENOUGH];
    let mut frames = 0;
    while let Poll::Ready(read) = poll_once(&mut stream, &mut into) {
        frames += read / 10;
    }
    assert!((100..150).contains(&frames), "{frames}");
    for _ in 0..100 {
        body.took(1);
    }
    assert!(poll_once(&mut stream, &mut into).is_ready());
}

fn poll_once(stream: &mut ReadAheadStream<DuplexStream>, into: &mut [u8]) -> Poll<usize> {
    let mut into = ReadBuf::new(into);
    let mut cx = Context::from_waker(Waker::noop());
    let polled = Pin::new(stream).poll_read(&mut cx, &mut into);
    polled.map(|_| into.filled().len())
}

#[tokio::test]
async fn a_paused_connection_is_woken() {
    for wake in [BodyShare::waiting, |body: &mut BodyShare| body.took(ENOUGH)] {
        let (ahead, mut stream, _client) = connection(2 * ENOUGH).await;
        let mut body = ahead.body();
        assert_eq!(read(&mut stream).await, ENOUGH);
        let reading = tokio::spawn(async move { stream.read(&mut [0; 10]).await });
        yield_now().await;
        assert!(!reading.is_finished());
        wake(&mut body);
        assert_eq!(reading.await.unwrap().unwrap(), 10);
    }
}
