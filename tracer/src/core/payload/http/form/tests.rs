//! Forms as clients write them, cut at every byte, and forms that lie.

use super::{Form, FormFile, MAX_FILES, MAX_HEAD, boundary};

fn read(boundary: &str, body: &[u8], cut: usize) -> Form {
    let mut form = Form::new(boundary.as_bytes());
    let (first, second) = body.split_at(cut);
    form.take(first);
    form.take(second);
    form.end();
    form
}

fn files(form: &Form) -> Vec<(String, u64, bool)> {
    let files = form.files();
    files
        .map(|file| (file.name, file.bytes, file.is_whole))
        .collect()
}

/// The files of a body, whichever place it is cut at, and byte by byte.
fn check(body: &str, expected: &[(&str, u64, bool)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, bytes, is_whole)| ((*name).to_owned(), *bytes, *is_whole))
        .collect();
    for cut in 0..=body.len() {
        let form = read("b", body.as_bytes(), cut);
        assert_eq!(files(&form), expected, "cut at {cut} of {body:?}");
    }
    let mut form = Form::new(b"b");
    for byte in body.as_bytes() {
        form.take(&[*byte]);
    }
    assert_eq!(form.passed, body.len() as u64);
    form.end();
    assert_eq!(files(&form), expected, "byte by byte: {body:?}");
}

const FILE: &str = "Content-Disposition: form-data; name=\"f\"; filename=";

#[test]
fn forms() {
    check("", &[]);
    check(
        &format!("--b\r\n{FILE}\"cat.png\"\r\nContent-Type: image/png\r\n\r\n12345\r\n--b--\r\n"),
        &[("cat.png", 5, true)],
    );
    check(
        &format!(
            "preamble\r\n--b \t\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nvalue\r\n--b\r\n\
             {FILE}\"a\"\r\n\r\n\r\n--b\r\n{FILE}\"b\"\r\n\r\n\r\n-\r\n--bb\r\n\r\n--b--epilogue\r\n--b\r\n"
        ),
        &[("a", 0, true), ("b", 11, true)],
    );
    // An empty part without the line end of its own.
    check(&format!("--b\r\n{FILE}a\r\n\r\n--b--"), &[("a", 0, true)]);
    // No file was chosen, and a part without a head.
    check(
        &format!("--b\r\n{FILE}\"\"\r\n\r\n\r\n--b\r\n\r\nx\r\n--b--"),
        &[],
    );
    check(
        &format!("--b\r\n{FILE}\"cut\"\r\n\r\n\r\n\r\r\n--"),
        &[("cut", 7, false)],
    );
    check(&format!("--b\r\n{FILE}\"no end of its head\"\r\n"), &[]);
}

#[test]
fn names() {
    let check = |field: &str, expected: &str| {
        let body = format!("--b\r\ncontent-disposition:form-data;{field}\r\n\r\nx\r\n--b--\r\n");
        let found = files(&read("b", body.as_bytes(), 0));
        assert_eq!(found, [(expected.to_owned(), 1, true)], "{field}");
    };
    check("filename=cat.png;x=y", "cat.png");
    check("name=\"filename=no\"; FileName = \"a;b\"", "a;b");
    check(r#" filename="a%22b\"c\d""#, r#"a"b"c\d"#);
    check(r#" filename="/home/me/a b""#, "a b");
    check(r#" filename="C:\me\a""#, "a");
    check(" filename=\"na\u{ef}ve\"", "na\u{ef}ve");
    check(
        " filename=\"x\"; filename*=UTF-8''na%C3%AFve%0A",
        "na\u{ef}ve\\u{a}",
    );
    check(" filename=\"\u{1b}[31m\"", "\\u{1b}[31m");
}

#[test]
fn boundaries() {
    let check = |content_type: &str, expected: Option<&str>| {
        let found = boundary(content_type.as_bytes());
        assert_eq!(
            found.as_deref(),
            expected.map(str::as_bytes),
            "{content_type}"
        );
    };
    check("multipart/form-data; boundary=----x", Some("----x"));
    check(
        "Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"",
        Some("a b"),
    );
    check("multipart/form-data", None);
    check("multipart/mixed; boundary=x", None);
    check("multipart/form-data; boundary=", None);
    check(
        &format!("multipart/form-data; boundary={}", "x".repeat(71)),
        None,
    );
    check("text/plain", None);
}

/// What is behind a hole is not read: a delimiter may have lain in it.
#[test]
fn a_hole_ends_what_is_known() {
    let mut form = Form::new(b"b");
    form.take(format!("--b\r\n{FILE}\"a\"\r\n\r\n123").as_bytes());
    form.skip(10);
    form.take(format!("\r\n--b\r\n{FILE}\"c\"\r\n\r\nx\r\n--b--").as_bytes());
    form.end();
    assert_eq!(files(&form), [("a".to_owned(), 3, false)]);
}

#[test]
fn what_is_kept_is_bounded() {
    let part = format!("--b\r\n{FILE}\"{}\"\r\n\r\nx\r\n", "n".repeat(60));
    let form = read("b", part.repeat(MAX_FILES + 500).as_bytes(), 0);
    assert_eq!(form.files().count(), MAX_FILES);
    assert_eq!(form.left_out(), 500);
    let part = format!("--b\r\n{FILE}\"{}\"\r\n\r\nx\r\n", "n".repeat(9000));
    let form = read("b", part.repeat(10).as_bytes(), 0);
    assert_eq!((form.files().count(), form.left_out()), (7, 3));
    let endless = format!("--b\r\n{FILE}\"{}", "n".repeat(3 * MAX_HEAD));
    let form = read("b", endless.as_bytes(), 5000);
    assert_eq!(form.files().collect::<Vec<FormFile>>(), []);
    assert_eq!(form.left_out(), 1);
}
