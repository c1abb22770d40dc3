//! Forms by real clients: each file has the name and the bytes that its sender meant, or the client
//! is told why not.

use std::fs;

use serde_json::Value;
use tokio::process::Command;
use upload_server::server::OnDuplicate;

use crate::{
    browser::drive,
    programs::{node_package, old_python, python, run, script},
    test_server::TestServer,
};

/// What is sent, and the name under which it is stored, if it is. `@` is the client's name.
const NAMES: [(&str, Option<&str>); 10] = [
    ("@ two words.txt", Some("@ two words.txt")),
    ("@ naïve ☃ 😀.txt", Some("@ naïve ☃ 😀.txt")),
    ("@ say \"hi\".txt", Some("@ say \"hi\".txt")),
    ("@ semi;colon=it's.txt", Some("@ semi;colon=it's.txt")),
    ("@ back\\slash.txt", Some("@ back\\slash.txt")),
    ("@ 50%41.txt", Some("@ 50%41.txt")),
    ("C:\\dir\\@ cat.png", Some("@ cat.png")),
    ("dir/@ dog.png", Some("@ dog.png")),
    (
        "@ naïve, and too long for one line of a header that may be folded, so it is cut.txt",
        Some("@ naïve, and too long for one line of a header that may be folded, so it is cut.txt"),
    ),
    ("@ new\nline.txt", None),
];

/// Runs a script that uploads under [`NAMES`], and checks what came of each.
async fn check(mut client: Command, clients: &[&str], arguments: &[&str]) {
    let server = TestServer::start().await;
    let names: Vec<_> = NAMES.iter().map(|(sent, _)| sent).collect();
    client
        .arg(format!("http://{}/", server.address))
        .arg(serde_json::to_string(&names).unwrap())
        .args(arguments);
    let answers: Value = serde_json::from_str(&run(&mut client).await).unwrap();
    let mut answers = answers.as_array().unwrap().iter();
    for client in clients {
        for (sent, stored) in NAMES {
            let answer = answers.next().unwrap();
            let text = answer["text"].as_str().unwrap();
            let sent = sent.replace('@', client);
            assert_eq!(answer["sent"], sent);
            if let Some(stored) = stored {
                let stored = stored.replace('@', client);
                assert_eq!(answer["status"], 201, "{sent}: {text}");
                let receipts: Value = serde_json::from_str(text).unwrap();
                assert_eq!(receipts[0]["name"], stored);
                assert_eq!(fs::read_to_string(server.path(stored)).unwrap(), sent);
            } else if ["with_aiohttp", "with_email"].contains(client) {
                assert_eq!(
                    answer["status"],
                    Value::Null,
                    "the client itself refuses it"
                );
            } else {
                assert_eq!(answer["status"], 400, "{sent}: {text}");
                assert!(text.contains("part 1 of the form ("), "{text}");
            }
        }
    }
    assert_eq!(answers.next(), None);
}

#[tokio::test]
async fn of_python() {
    let mut client = python();
    client.arg(script("server/form_clients.py"));
    let clients = ["with_requests", "with_httpx", "with_aiohttp", "with_email"];
    check(client, &clients, &clients).await;
}

#[tokio::test]
async fn of_old_python() {
    let mut client = old_python();
    client.arg(script("server/form_clients.py"));
    check(client, &["with_requests"], &["with_requests"]).await;
}

#[tokio::test]
async fn of_node() {
    let mut client = Command::new("node");
    client.arg(script("server/form_clients.mjs"));
    let modules = node_package("axios");
    client.arg(modules.parent().unwrap());
    check(client, &["axios_form_data", "axios", "fetch"], &[]).await;
}

#[tokio::test]
async fn of_curl() {
    let server = TestServer::start().await;
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let url = format!("http://{}/", server.address);
    for (way, option) in [("plain", None), ("escaped", Some("--form-escape"))] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", &url]).args(option);
        let stored = NAMES.iter().filter(|(_, stored)| stored.is_some());
        for (number, (sent, _)) in stored.enumerate() {
            let path = server.path(format!("../{number}"));
            fs::write(&path, format!("{way} {sent}")).unwrap();
            let name = quoted(&sent.replace('@', way));
            let form = format!("file=@{};filename={name}", path.display());
            curl.arg("-F").arg(form);
        }
        let answer = run(&mut curl).await;
        let receipts: Value = serde_json::from_str(&answer).unwrap();
        for (number, (sent, stored)) in NAMES.iter().enumerate() {
            let Some(stored) = stored.map(|stored| stored.replace('@', way)) else {
                continue;
            };
            assert_eq!(receipts[number]["name"], stored);
            let content = fs::read_to_string(server.path(stored)).unwrap();
            assert_eq!(content, format!("{way} {sent}"));
        }
    }
}

#[tokio::test]
async fn of_curl_with_its_encoders() {
    let server = TestServer::start().await;
    let path = server.path("../sent");
    let content: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| (n * 7).to_le_bytes())
        .collect();
    fs::write(&path, &content).unwrap();
    check(&server, "binary", 201).await;
    check(&server, "8bit", 201).await;
    check(&server, "base64", 201).await;
    check(&server, "quoted-printable", 415).await;
    for name in ["binary", "8bit", "base64"] {
        assert!(fs::read(server.path(name)).unwrap() == content, "{name}");
    }
    assert_eq!(server.names().len(), 3);

    async fn check(server: &TestServer, encoder: &str, expected: u16) {
        let path = server.path("../sent");
        let form = format!(
            "file=@{};filename={encoder};encoder={encoder}",
            path.display()
        );
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "%{http_code}", "-F", &form])
            .arg(format!("http://{}/", server.address));
        let answer = run(&mut curl).await;
        assert!(
            answer.ends_with(&expected.to_string()),
            "{encoder}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_file_without_a_name_is_refused() {
    let server = TestServer::start().await;
    let mut client = python();
    client
        .arg(script("server/form_clients.py"))
        .arg(format!("http://{}/", server.address))
        .arg("[\"name\"]")
        .args(["without_name_urllib3", "without_name_aiohttp"]);
    let answers: Value = serde_json::from_str(&run(&mut client).await).unwrap();
    let sentences = [
        "part 1 of the form (field \\\"file\\\"): the file has bytes, and an empty filename",
        "part 2 of the form (field \\\"file\\\"): it is a file without a name: add a filename",
    ];
    for (answer, sentence) in answers.as_array().unwrap().iter().zip(sentences) {
        assert_eq!(answer["status"], 400, "{answer}");
        assert!(
            answer["text"].as_str().unwrap().contains(sentence),
            "{answer}"
        );
    }
    assert_eq!(server.names(), [""; 0]);
}

#[tokio::test]
async fn of_chromium() {
    let server = TestServer::start_with(|config| config.on_duplicate = OnDuplicate::Error).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}/", server.address);
    drive("browser/form.mjs", folder.path(), &[&url]).await;
    let sent = [
        ("50%41.txt", "50%41.txt"),
        ("a.txt", "folder/a.txt"),
        ("b.txt", "folder/sub/b.txt"),
        ("back\\slash.txt", "back\\slash.txt"),
        ("by \"script\" ☃.txt", "by script"),
        ("naïve ☃.txt", "naïve ☃.txt"),
        ("say \"hi\".txt", "say \"hi\".txt"),
        ("semi;colon=a.txt", "semi;colon=a.txt"),
    ];
    assert_eq!(server.names(), sent.map(|(name, _)| name));
    for (name, content) in sent {
        assert_eq!(fs::read_to_string(server.path(name)).unwrap(), content);
    }
}
