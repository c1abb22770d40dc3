//! A form with one file, whose name is written in each way that clients have.

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::file::File;
use crate::random::Random;

/// The end of the form: the file is whole before it.
pub(super) const END: &[u8] = b"\r\n--b--\r\n";

/// The request.
pub(super) fn form(file: &File<'_>, random: &mut Random) -> Vec<u8> {
    let begin = format!("--b\r\n{}\r\n\r\n", disposition(&file.name, random));
    let body = [begin.as_bytes(), file.content, END].concat();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// The field that names the file.
fn disposition(name: &str, random: &mut Random) -> String {
    let quoted = name.replace('"', "\\\"");
    let html = name.replace('"', "%22");
    let extended = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let word = BASE64_STANDARD.encode(name);
    let start = "Content-Disposition: form-data; name=\"f\"";
    match random.below(8) {
        // curl, requests, Chromium.
        0 => format!("{start}; filename=\"{quoted}\""),
        1 => format!("{start}; filename=\"{html}\""),
        // requests of 2018, and RFC 6266 in both orders.
        2 => format!("{start}; filename*=utf-8''{extended}"),
        3 => format!("{start}; filename=\"decoy\"; filename*=UTF-8''{extended}"),
        4 => format!("{start}; filename*=UTF-8''{extended}; filename=\"decoy\""),
        // .NET.
        5 => format!("{start}; filename=\"=?utf-8?B?{word}?=\""),
        // Other letter case, and no space.
        6 => format!("content-disposition: Form-Data;name=f;FileName=\"{html}\""),
        // A field's name that looks like a parameter.
        _ => format!(
            "Content-Disposition: form-data; name=\"f; filename=decoy\"; filename=\"{quoted}\""
        ),
    }
}
