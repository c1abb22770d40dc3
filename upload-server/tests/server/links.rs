//! Links and other special files in the directory: not written through, not read, not removed.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, symlink},
    process::Command,
};

use upload_server::server::OnDuplicate;

use crate::test_server::TestServer;

const POLICIES: [OnDuplicate; 3] = [
    OnDuplicate::Error,
    OnDuplicate::Rename,
    OnDuplicate::Overwrite,
];

/// A server whose directory has a file, a link to what lies outside, a link to nothing, a link to a
/// directory and a FIFO.
async fn serve(on_duplicate: OnDuplicate) -> TestServer {
    let server = TestServer::start_with(|config| {
        config.on_duplicate = on_duplicate;
        config.access.offer.delete = true;
    })
    .await;
    fs::write(server.path("../outside"), "secret").unwrap();
    symlink("../outside", server.path("link")).unwrap();
    symlink("../missing", server.path("dangling")).unwrap();
    symlink("..", server.path("directory")).unwrap();
    let made = Command::new("mkfifo").arg(server.path("fifo")).status();
    assert!(made.unwrap().success());
    server
}

fn is_untouched(server: &TestServer) {
    for link in ["link", "dangling", "directory"] {
        assert!(server.path(link).is_symlink(), "{link}");
    }
    assert!(
        fs::metadata(server.path("fifo"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
    let outside = fs::read_to_string(server.path("../outside")).unwrap();
    assert_eq!(outside, "secret");
    assert!(!server.path("../missing").exists());
}

#[tokio::test]
async fn is_not_written_through() {
    for on_duplicate in POLICIES {
        let server = serve(on_duplicate).await;
        for name in ["link", "dangling", "directory", "fifo"] {
            let mut client = server.connect().await;
            let expected = match on_duplicate {
                OnDuplicate::Rename => 201,
                _ => 409,
            };
            let response = client.put(name, b"mine").await;
            assert_eq!(response.status, expected, "{name} {on_duplicate:?}");
        }
        is_untouched(&server);
    }
}

#[tokio::test]
async fn is_not_read_nor_removed() {
    let server = serve(OnDuplicate::default()).await;
    for name in ["link", "dangling", "directory", "fifo"] {
        for method in ["GET", "DELETE"] {
            let mut client = server.connect().await;
            let head = format!("{method} /files/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.send(head).await;
            assert_eq!(client.response().await.status, 404, "{method} {name}");
        }
    }
    is_untouched(&server);
}
