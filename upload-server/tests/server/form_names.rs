//! Names in forms of clients that cannot be run here, byte by byte (emulated), and names that no file
//! can have: each file of a form is stored as its sender meant it, or the form is refused.

use std::fs;

use crate::{client::Client, test_server::TestServer};

const CONTENT: &str = "the file";

/// A form of one file with this field Content-Disposition.
pub(crate) async fn post(client: &mut Client, disposition: &[u8]) -> crate::client::Response {
    let body = [
        b"--b\r\n",
        disposition,
        b"\r\nContent-Type: application/octet-stream\r\n\r\n",
        CONTENT.as_bytes(),
        b"\r\n--b--\r\n",
    ]
    .concat();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), &body].concat()).await;
    client.response().await
}

#[tokio::test]
async fn are_stored_as_they_were_meant() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let cases: [(&str, &[u8], &str); 25] = [
        // HttpClient of .NET writes both, PowerShell's -Form the first alone.
        (
            ".NET",
            b"Content-Disposition: form-data; name=file; \
              filename=\"=?utf-8?B?bmHDr3ZlLnR4dA==?=\"; filename*=utf-8''na%C3%AFve.txt",
            "na\u{ef}ve.txt",
        ),
        (
            "PowerShell",
            b"Content-Disposition: form-data; name=file; filename=\"=?utf-8?B?bmHDr3ZlLnR4dA==?=\"",
            "na\u{ef}ve.txt",
        ),
        (".NET, ASCII", b"Content-Disposition: form-data; name=file; filename=cat.png", "cat.png"),
        (
            "Spring",
            b"Content-Disposition: form-data; name=\"file\"; filename=\"=?UTF-8?Q?na=C3=AFve_file.txt?=\"",
            "na\u{ef}ve file.txt",
        ),
        (
            "OkHttp",
            "Content-Disposition: form-data; name=\"file\"; filename=\"say %22hi%22 ☃.txt\"".as_bytes(),
            "say \"hi\" ☃.txt",
        ),
        (
            "Apache HttpClient, extended",
            b"Content-Disposition: form-data; name=\"file\"; filename=\"na?ve.txt\"; \
              filename*=\"UTF-8''na%C3%AFve.txt\"",
            "na\u{ef}ve.txt",
        ),
        (
            "filename* first",
            b"Content-Disposition: form-data; filename*=UTF-8''na%C3%AFve.txt; filename=\"na_ve.txt\"; name=f",
            "na\u{ef}ve.txt",
        ),
        (
            "ISO-8859-1",
            b"Content-Disposition: form-data; name=f; filename*=iso-8859-1'en'na%EFve.txt",
            "na\u{ef}ve.txt",
        ),
        (
            "EmailMessage of Python",
            b"Content-Disposition: form-data; name=\"file\";\r\n filename*0*=utf-8''na%C3;\r\n\tfilename*1*=%AFve;\r\n \
              filename*2=.txt",
            "na\u{ef}ve.txt",
        ),
        (
            "several words",
            b"Content-Disposition: form-data; name=f; filename=\"=?utf-8?Q?na=C3?=\r\n =?utf-8?Q?=AFve.txt?=\"",
            "na\u{ef}ve.txt",
        ),
        ("lower case", b"content-disposition: form-data; name=\"f\"; filename=\"cat.png\"", "cat.png"),
        ("other case", b"CONTENT-DISPOSITION: Form-Data; NAME=\"f\"; FileName=\"cat.png\"", "cat.png"),
        ("white space", b"Content-Disposition :form-data;name = \"f\" ; filename = \"cat.png\" ; ", "cat.png"),
        ("no type", b"Content-Disposition: name=\"f\"; filename=\"cat.png\"", "cat.png"),
        ("attachment", b"Content-Disposition: attachment; filename=\"cat.png\"", "cat.png"),
        ("unquoted", b"Content-Disposition: form-data; name=f; filename=two words.txt", "two words.txt"),
        (
            "Internet Explorer",
            b"Content-Disposition: form-data; name=\"f\"; filename=\"C:\\new\\cat.png\"",
            "cat.png",
        ),
        (
            "Internet Explorer, a share",
            b"Content-Disposition: form-data; name=\"f\"; filename=\"\\\\host\\share\\cat.png\"",
            "cat.png",
        ),
        (
            "old curl",
            b"Content-Disposition: form-data; name=\"f\"; filename=\"a\\\\b \\\"c\\\".txt\"",
            "a\\b \"c\".txt",
        ),
        (
            "no escapes at all",
            b"Content-Disposition: form-data; name=\"f\"; filename=\"say \"hi\".txt\"",
            "say \"hi\".txt",
        ),
        (
            "a decoy in a name",
            b"Content-Disposition: form-data; name=\"x; filename=\\\"decoy\\\"\"; filename=\"cat.png\"",
            "cat.png",
        ),
        (
            "a decoy with its own quotes",
            b"Content-Disposition: form-data; name=\"; filename=decoy; \"; filename=\"cat.png\"",
            "cat.png",
        ),
        (
            "a browser's literal percent",
            b"Content-Disposition: form-data; name=\"f\"; filename=\"%41%25%2F.txt\"",
            "%41%25%2F.txt",
        ),
        (
            "a bad filename* beside a good name",
            b"Content-Disposition: form-data; name=\"f\"; filename=\"cat.png\"; filename*=cat.png",
            "cat.png",
        ),
        (
            "the same field twice",
            b"Content-Disposition: form-data; filename=\"cat.png\"\r\n\
              Content-Disposition: form-data; filename=\"cat.png\"",
            "cat.png",
        ),
    ];
    for (case, disposition, expected) in cases {
        let response = post(&mut client, disposition).await;
        assert_eq!(response.status, 201, "{case}: {}", response.text());
        assert_eq!(server.names(), [expected], "{case}");
        let stored = fs::read_to_string(server.path(expected)).unwrap();
        assert_eq!(stored, CONTENT, "{case}");
        fs::remove_file(server.path(expected)).unwrap();
    }
}

#[tokio::test]
async fn without_a_meaning_are_refused() {
    let server = TestServer::start().await;
    let cases: [(&[u8], &str); 17] = [
        (b"filename=\"na\xefve.txt\"", "the filename is not UTF-8"),
        (b"filename*=UTF-8''na%EFve.txt", "filename* is malformed"),
        (b"filename*=windows-0''na%EFve.txt", "in an unknown charset"),
        (b"filename*=cat.png", "filename* is malformed"),
        (b"filename*1=cat.png", "filename* is malformed"),
        (b"filename=\"=?nonsense?Q?cat?=\"", "(RFC 2047)"),
        (b"filename=\"a\"; filename=\"b\"", "two different names"),
        (b"filename=\"\"", "an empty filename"),
        (b"filename*=UTF-8''", "an empty filename"),
        (b"name=\"g\"", "a file without a name"),
        (b"filename=\"a%0Ab\"", "a control character"),
        (b"filename=\"\xe2\x80\xaegpj.exe\"", "it has U+202E"),
        (b"filename=\"\xe2\x80\x8b\"", "no visible letter"),
        (b"filename=\"dir/\"", "an empty filename"),
        (b"filename=\"../cat.png\"", "it has a '/'"),
        (b"filename=\".hidden\"", "it begins with a '.'"),
        (b"filename=\"C:\\..\"", "it begins with a '.'"),
    ];
    for (parameters, expected) in cases {
        let disposition = [b"Content-Disposition: form-data; name=\"f\"; ", parameters].concat();
        let shown = String::from_utf8_lossy(parameters);
        let response = post(&mut server.connect().await, &disposition).await;
        assert_eq!(response.status, 400, "{shown}");
        let problem = response.problem();
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("part 1 of the form (field \"f\""),
            "{shown}: {detail}"
        );
        assert!(detail.contains(expected), "{shown}: {detail}");
        assert_eq!(server.names(), [""; 0], "{shown}");
    }
}
