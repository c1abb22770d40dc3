//! What uploads hold on the disk before their bytes are there: little for what is announced, and nothing that keeps
//! another client out.

use std::{fs, net::SocketAddr, os::unix::fs::MetadataExt};

use tokio::net::TcpSocket;

use crate::{
    client::{Client, content, expecting_put_head},
    disk::{names, serve, serve_on},
    much_work::form,
    process::{Running, tempdir},
    tus::{address_of, bytes, head, patch},
};

const MIB: usize = 1024 * 1024;

/// A client on another address of this machine.
pub(crate) async fn other_client(server: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    Client::over(socket.connect(server).await.unwrap())
}

/// Begins an upload. The status with which the server answers before the body, and the detail of a refusal.
async fn begin(client: &mut Client, name: &str, length: usize) -> (u16, String) {
    client.send(expecting_put_head(name, length)).await;
    let response = client.response().await;
    let detail = String::from_utf8(response.body).unwrap();
    (response.status, detail)
}

/// On a disk that is none in memory, where space is reserved.
#[tokio::test]
async fn space_is_reserved_as_bytes_arrive() {
    const LENGTH: usize = 4096 * MIB;
    const SENT: usize = 16 * MIB;
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Running::start_with(&["--min-free", "0"], root.path()).await;
    let mut client = Client::connect(server.address).await;
    assert_eq!(begin(&mut client, "large", LENGTH).await.0, 100);
    let file = names(&server, root.path()).pop().unwrap();
    let file = fs::File::open(file).unwrap();
    let reserved =
        |file: &fs::File| usize::try_from(file.metadata().unwrap().blocks()).unwrap() * 512;
    assert_eq!(reserved(&file), 0);

    client.send(content(SENT)).await;
    let mut other = Client::connect(server.address).await;
    while file.metadata().unwrap().len() < (SENT - MIB) as u64 {
        assert_eq!(other.put("other", b"").await.status, 201);
    }
    let in_memory = rustix::fs::fstatfs(&file).unwrap().f_type == 0x0102_1994;
    let held = reserved(&file);
    assert!(in_memory || held > SENT + 8 * MIB, "{held}");
    assert!(held <= 2 * SENT + MIB, "{held}");
}

/// A client that announces the rest of the disk keeps no other out; its own next upload is refused at once.
#[tokio::test]
async fn what_is_announced_counts_against_its_client() {
    const LENGTH: usize = 3_000_000;
    let root = tempdir();
    let server = serve(root.path()).await;
    let mut first = Client::connect(server.address).await;
    assert_eq!(begin(&mut first, "first", LENGTH).await.0, 100);

    let mut second = Client::connect(server.address).await;
    let (status, detail) = begin(&mut second, "second", LENGTH).await;
    assert_eq!(status, 507);
    let expected = "the upload needs 3.0 MB, other uploads of this client need 3.0 MB more, 4.";
    assert!(detail.contains(expected), "{detail}");
    let mut other = other_client(server.address).await;
    assert_eq!(begin(&mut other, "other", LENGTH).await.0, 100);
    drop(other);

    // What has arrived is no longer to come.
    first.send(content(LENGTH)).await;
    assert_eq!(first.response().await.status, 201);
    assert_eq!(first.put("small", &content(MIB)).await.status, 201);
}

/// Of a resumable upload, what follows in later requests counts while one is in flight.
#[tokio::test]
async fn what_resumable_uploads_announce_counts_alike() {
    const LENGTH: usize = 3_000_000;
    let root = tempdir();
    let server = serve(root.path()).await;
    let create = format!("Upload-Length: {LENGTH}\r\nContent-Length: 0\r\n");
    let mut client = Client::connect(server.address).await;
    client.send(head("POST", "/tus/", &create)).await;
    let target = address_of(&client.response().await);

    // Announced alone, it keeps its own client out no more than others: it may never come.
    let fields = format!("Upload-Offset: 0\r\n{}Expect: 100-continue\r\n", bytes(MIB));
    client.send(head("PATCH", &target, &fields)).await;
    assert_eq!(client.response().await.status, 100);
    let mut second = Client::connect(server.address).await;
    second.send(head("POST", "/tus/", &create)).await;
    let refused = second.response().await;
    assert_eq!(refused.status, 507);
    let problem = refused.problem();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("other uploads of this client"), "{detail}");

    client.send(content(MIB)).await;
    assert_eq!(client.response().await.status, 204);
    assert_eq!(second.put("small", &content(MIB)).await.status, 201);
    let rest = &content(LENGTH)[MIB..];
    assert_eq!(
        patch(server.address, &target, MIB, rest, "").await.status,
        204
    );
}

/// A form of many small files is cut off there as well, and what has begun goes on.
#[tokio::test]
async fn inodes_stay_free() {
    let root = tempdir();
    let limits = ["--min-free", "0", "--min-free-inodes", "20"];
    let server = serve_on(("size=4m,nr_inodes=60", "files"), root.path(), &limits).await;
    let create = "Upload-Length: 4\r\nContent-Length: 0\r\n";
    let mut client = Client::connect(server.address).await;
    client.send(head("POST", "/tus/", create)).await;
    let target = address_of(&client.response().await);

    client.send(form(100, "/")).await;
    let refused = client.response().await;
    assert_eq!(refused.status, 507);
    let problem = refused.problem();
    let detail = problem["detail"].as_str().unwrap();
    let expected = "19 inodes are free, and the server leaves at least 20 free (--min-free-inodes)";
    assert!(detail.contains(expected), "{detail}");
    let disk = format!("/proc/{}/root{}/files", server.pid(), root.path().display());
    assert_eq!(rustix::fs::statvfs(disk).unwrap().f_favail, 19);

    for (method, target) in [("PUT", "/file"), ("POST", "/tus/")] {
        let mut client = Client::connect(server.address).await;
        client.send(head(method, target, create)).await;
        assert_eq!(client.response().await.status, 507);
    }
    assert_eq!(
        patch(server.address, &target, 0, b"rest", "").await.status,
        204
    );
}
