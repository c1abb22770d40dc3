//! tshark's dissection of packets as XML (PDML), which tells several messages in one frame apart.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result};
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// A field of a packet, or a layer of it.
#[derive(Debug, Default)]
pub(super) struct Field {
    /// Which layer of the packet it is in.
    pub(super) layer: usize,
    pub(super) name: String,
    pub(super) show: String,
    pub(super) showname: String,
    /// In hexadecimal.
    pub(super) value: String,
    pub(super) size: u64,
}

/// Passes on the fields of each packet that has one of these protocols, with its frame's number.
pub(super) fn packets(
    file: &Path,
    protocols: &[&str],
    mut to: impl FnMut(u64, &[Field]),
) -> Result<()> {
    let filter = format!("({}) && !icmp && !icmpv6", protocols.join(" || "));
    let mut command = super::tshark();
    command.args(["-o", "tcp.reassemble_out_of_order:TRUE"]);
    command.args([
        "-Y",
        &filter,
        "-T",
        "pdml",
        "-J",
        &protocols.join(" "),
        "-r",
    ]);
    let mut child = command
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("tshark cannot be started")?;
    let output = child.stdout.take().context("tshark has no output")?;
    let read = read(Lossy::new(BufReader::new(output)), &mut to);
    child.wait()?;
    read.with_context(|| format!("tshark's XML of {}", file.display()))
}

/// Lines of UTF-8: tshark copies some bytes of a packet as they are.
struct Lossy<R> {
    lines: R,
    line: Vec<u8>,
    /// How much of the line was consumed.
    consumed: usize,
}

impl<R> Lossy<R> {
    const fn new(lines: R) -> Self {
        Self {
            lines,
            line: Vec::new(),
            consumed: 0,
        }
    }
}

impl<R: BufRead> Read for Lossy<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Lossy<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.consumed >= self.line.len() {
            self.line.clear();
            self.consumed = 0;
            self.lines.read_until(b'\n', &mut self.line)?;
            if str::from_utf8(&self.line).is_err() {
                self.line = String::from_utf8_lossy(&self.line).into_owned().into();
            }
        }
        Ok(&self.line[self.consumed..])
    }

    fn consume(&mut self, count: usize) {
        self.consumed += count;
    }
}

fn read(xml: impl BufRead, to: &mut impl FnMut(u64, &[Field])) -> Result<()> {
    let mut reader = Reader::from_reader(xml);
    let mut buffer = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    let mut layers = 0;
    // Those that have not ended: one may be within another.
    let mut open = Vec::new();
    loop {
        match reader.read_event_into(&mut buffer)? {
            Event::Eof => return Ok(()),
            Event::Start(element) => match element.name().as_ref() {
                "packet" => {
                    fields.clear();
                    open.clear();
                    layers = 0;
                }
                "proto" => {
                    layers += 1;
                    open.push(layers);
                    fields.push(field(layers, &element));
                }
                "field" => fields.push(field(innermost(&open), &element)),
                _ => {}
            },
            Event::Empty(element) => match element.name().as_ref() {
                "proto" => {
                    layers += 1;
                    fields.push(field(layers, &element));
                }
                "field" => fields.push(field(innermost(&open), &element)),
                _ => {}
            },
            Event::End(element) => match element.name().as_ref() {
                "proto" => {
                    open.pop();
                }
                "packet" => {
                    // A protocol's own fields together, whatever is within it.
                    fields.sort_by_key(|field| field.layer);
                    let number = fields.iter().find(|field| field.name == "num");
                    if let Some(frame) = number.and_then(|field| field.show.parse().ok()) {
                        to(frame, &fields);
                    }
                }
                _ => {}
            },
            _ => {}
        }
        buffer.clear();
    }
}

fn innermost(open: &[usize]) -> usize {
    open.last().copied().unwrap_or_default()
}

fn field(layer: usize, element: &BytesStart<'_>) -> Field {
    let mut field = Field {
        layer,
        ..Field::default()
    };
    for attribute in element.attributes().with_checks(false).flatten() {
        let value = quick_xml::escape::unescape(&attribute.value);
        let value = value.map_or_else(|_| attribute.value.to_string(), Into::into);
        match attribute.key.as_ref() {
            "name" => field.name = value,
            "show" => field.show = value,
            "showname" => field.showname = value,
            "value" => field.value = value,
            "size" => field.size = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::{Lossy, read};

    #[test]
    fn bytes_that_are_no_text() {
        let xml =
            b"<pdml><packet>\n<proto name=\"geninfo\"><field name=\"num\" show=\"7\"/></proto>\n\
            <proto name=\"a\xff\"/>\n</packet></pdml>";
        let mut names = Vec::new();
        read(Lossy::new(&xml[..]), &mut |_, fields| {
            names.extend(fields.iter().map(|field| field.name.clone()));
        })
        .unwrap();
        assert_eq!(names, ["geninfo", "num", "a\u{fffd}"]);
    }

    #[test]
    fn packets() {
        let xml = br#"<pdml><packet><proto name="geninfo"><field name="num" show="7" size="3"/></proto>
            <proto name="http"><field name="x" show="a &amp; b" value="6120"><field name="y" size="12"/></field></proto>
            </packet><packet><proto name="geninfo"><field name="num" show="9"/></proto><proto name="a"><field name="b"/>
            <field name="c"><proto name="d"><field name="e"/></proto></field><field name="f"/></proto></packet></pdml>"#;
        let mut found = Vec::new();
        read(&xml[..], &mut |frame, fields| {
            let fields = fields.iter();
            let fields =
                fields.map(|one| format!("{}{}={}/{}", one.name, one.layer, one.show, one.size));
            found.push((frame, fields.collect::<Vec<_>>().join(" ")));
        })
        .unwrap();
        assert_eq!(
            found,
            [
                (
                    7,
                    "geninfo1=/0 num1=7/3 http2=/0 x2=a & b/0 y2=/12".to_owned()
                ),
                (
                    9,
                    "geninfo1=/0 num1=9/0 a2=/0 b2=/0 c2=/0 f2=/0 d3=/0 e3=/0".to_owned()
                ),
            ]
        );
    }
}
