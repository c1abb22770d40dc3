//! The name in the address of a PUT, as clients write it.

use std::fs;

use tokio::process::Command;

use crate::{programs::run, test_server::TestServer};

/// curl completes the address from the name of the file, wget takes it as it is.
#[tokio::test]
async fn by_curl_and_wget() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "a+b.txt",
        "two words.txt",
        "50%41.txt",
        "naïve #?.txt",
        "say \"hi\".txt",
    ];
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail-with-body"]);
    for (number, name) in names.iter().enumerate() {
        fs::write(folder.path().join(name), name).unwrap();
        curl.arg("-T").arg(folder.path().join(name));
        // Two slashes: that of an address which ends with one, and the one before the name.
        let slashes = if number == 0 { "//" } else { "/" };
        curl.arg(format!("http://{}{slashes}", server.address));
    }
    run(&mut curl).await;
    let mut wget = Command::new("wget");
    wget.args(["-q", "-O", "-", "--method=PUT"])
        .arg(format!(
            "--body-file={}",
            folder.path().join(names[0]).display()
        ))
        .arg(format!("http://{}/wget 1+1.txt", server.address));
    run(&mut wget).await;
    let mut expected = names.to_vec();
    expected.push("wget 1+1.txt");
    expected.sort_unstable();
    assert_eq!(server.names(), expected);
    for name in names {
        assert_eq!(fs::read_to_string(server.path(name)).unwrap(), name);
    }
}

#[tokio::test]
async fn that_no_file_can_have() {
    check("dir/file", "it has a '/', and this server has no folders").await;
    check("file/", "it has a '/'").await;
    check("%2e%2e", "it begins with a '.'").await;
    check("caf%E9", "it is not UTF-8").await;
    check("a%0Ab", "it has a control character or a line break").await;
    check("%E2%80%AEgpj.exe", "it has U+202E").await;
    check("%E2%80%8B", "it has no visible letter").await;

    async fn check(name: &str, expected: &str) {
        let server = TestServer::start().await;
        let response = server.connect().await.put(name, b"x").await;
        assert_eq!(response.status, 400, "{name}");
        let problem = response.problem();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{name}: {detail}");
        assert_eq!(server.names(), [""; 0], "{name}");
    }
}
