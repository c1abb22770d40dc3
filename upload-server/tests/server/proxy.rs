//! A proxy between client and server that cuts connections.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Runs until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Cuts the first connection after as many of the client's bytes as the first number, and so on.
    /// Connections without a number are not cut.
    pub(crate) async fn start(server: SocketAddr, cuts: impl Into<Vec<u64>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut cuts: Vec<_> = cuts.into();
        cuts.reverse();
        let cuts = Arc::new(Mutex::new(cuts));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let cut = cuts.lock().unwrap().pop().unwrap_or(u64::MAX);
                connections.spawn(carry(client, server, cut));
            }
        });
        Self {
            address,
            _task: task,
        }
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, cut: u64) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut from_client = from_client.take(cut);
    // Whichever ends first ends both.
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => (),
        _ = copy(&mut from_server, &mut to_client) => (),
    }
}
