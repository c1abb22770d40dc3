use super::*;

const FORM: &str = "preamble\r\n--b \t\r\nA: 1\r\nB:\r\n 2\r\n\t3\r\n\r\none\r\n--bo\r\n--b\r\n\r\n\
    no header\r\n--b\r\nEmpty: x\r\n\r\n--b\r\nEmpty: y\r\n\r\n\r\n--b--\r\nepilogue";

#[test]
fn reads_the_parts_however_they_are_cut() {
    let form = FORM.replace("\r\n--bo", "\r\n--o");
    let parts = "A=1 B=2 3 [one\r\n--o] [no header] Empty=x [] Empty=y [] end";
    for size in 1..=form.len() {
        assert_eq!(read(&form, size), parts, "in pieces of {size}");
    }
}

#[test]
fn refuses_what_may_be_cut() {
    check(FORM, "A=1 B=2 3 [one LongBoundary");
    check("--b\r\n\r\nx\r\n--b", "[x Unfinished");
    check("--b\r\n\r\nx\r\n--b-", "[x Unfinished");
    check("--b\r\n\r\nx\r\n--b--", "[x] end");
    check("--b\r\n\r\nx\r\n--b--\r", "[x] end");
    check("--b\r\n\r\nx\r\n--b-- \r\n", "[x] end");
    check("--b\r\n\r\nx\r\n--b--x", "[x LongBoundary");
    check("--b\r\n\r\nx\r\n--b-x", "[x LongBoundary");
    check("--b\r\n\r\nx\r\n--b\r\n", "[x] Unfinished");
    check(
        "--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\ny\r\n--b--",
        "[x] AfterEnd",
    );
    check("--b\r\n\r\nx", "[x Unfinished");
    check("--b\r\n\r\n", "[ Unfinished");
    check("--b\r\nA: 1", "Unfinished");
    check("--b\nA: 1\n\nx\n--b--\n", "LineEnd");
    check("--b\r\nA: 1\nB: 2\r\n\r\nx\r\n--b--", "LineEnd");
    check("--b\r\nA\r\n\r\nx\r\n--b--", "Field");
    check("--b\r\n A: 1\r\n\r\nx\r\n--b--", "Field");
    check("--b\r\nA: \0\r\n\r\nx\r\n--b--", "Field");
    check("x--b\r\n\r\nx\r\n--b--", "end");
    check("", "NoBoundary");
    check("--c\r\n\r\nx\r\n--c--", "NoBoundary");
    check(&format!("--b\r\nA: {}", "x".repeat(MAX_HEAD)), "LongHead");
    check(
        &format!("--b\r\n{}\r\n", "A:\r\n".repeat(MAX_FIELDS + 1)),
        "ManyFields",
    );
    check(
        &format!("--b{}", " ".repeat(MAX_PADDING + 1)),
        "LongBoundary",
    );
    check(&"x".repeat(MAX_OVERHEAD + 1), "Overhead");
    check(
        &format!("--b--\r\n{}", "x".repeat(MAX_OVERHEAD)),
        "Overhead",
    );

    fn check(form: &str, expected: &str) {
        let sizes = if form.len() < 1_000 {
            1..=9
        } else {
            70_000..=70_000
        };
        for size in sizes {
            assert_eq!(read(form, size), expected, "{form:?} in pieces of {size}");
        }
    }
}

#[test]
fn keeps_every_field_of_a_header() {
    let fields = fields(b"A: 1\r\nb : 2\r\na: \xff").unwrap();
    let values = fields.get_all("a").iter().map(HeaderValue::as_bytes);
    assert_eq!(values.collect::<Vec<_>>(), [&b"1"[..], b"\xff"]);
    assert_eq!(fields["b"], "2");
}

/// The events of a form that arrives in pieces of this size, as text: a part's content is in
/// brackets.
fn read(form: &str, size: usize) -> String {
    let mut multipart = Multipart::new(b"b");
    let mut pieces = form.as_bytes().chunks(size);
    let mut events = String::new();
    let mut within = false;
    loop {
        match multipart.next() {
            Ok(Event::NeedsBytes) => match pieces.next() {
                Some(piece) => multipart.push(Bytes::copy_from_slice(piece)),
                None => multipart.end(),
            },
            Ok(Event::Part(fields)) => {
                for (name, value) in &fields {
                    let (first, rest) = name.as_str().split_at(1);
                    let value = value.to_str().unwrap();
                    events += &format!("{}{rest}={value} ", first.to_uppercase());
                }
                events += "[";
                within = true;
            }
            Ok(Event::Content(content)) => events += str::from_utf8(&content).unwrap(),
            Ok(Event::PartEnd) => {
                events += "] ";
                within = false;
            }
            Ok(Event::End) => return events + "end",
            Err(error) => {
                let space = if within { " " } else { "" };
                return format!("{events}{space}{error:?}");
            }
        }
    }
}
