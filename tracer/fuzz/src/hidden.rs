//! Names of all kinds in a recorded conversation: of processes, targets, uploads, cgroups. Whatever they are, no
//! output has a character that acts on a terminal, or that is not seen as itself.

use std::sync::LazyLock;

use tracer::internals::{
    core::{
        input::{CgroupName, Feed, Input},
        output::Output,
        scope::Scope,
    },
    sink::{Interfaces, Ndjson, Pcapng, Render, Styles, Text},
    source::recording::Recording,
};
use upload_protocol::{plain::is_hidden, upload::FeedLine};

use crate::recording::{inputs, rendered, replay};

static RECORDED: LazyLock<Vec<Input<'static>>> = LazyLock::new(|| {
    let seed = include_bytes!("../seeds/recording/uploads-1");
    inputs(Recording::open(&seed[..]).expect("the seed is a recording"))
});

/// The names are these bytes.
pub fn check(bytes: &[u8]) {
    let name = String::from_utf8_lossy(bytes);
    let inputs: Vec<Input<'static>> = RECORDED
        .iter()
        .cloned()
        .map(|input| renamed(input, bytes, &name))
        .collect();
    let scope = Scope {
        segments: true,
        ..Scope::default()
    };
    check_outputs(
        &replay(
            &inputs,
            Scope {
                every_segment: true,
                ..scope
            },
        ),
        scope,
    );
}

fn renamed(input: Input<'static>, bytes: &[u8], name: &str) -> Input<'static> {
    match input {
        Input::Kernel(record) => {
            let mut record = record.into_owned();
            for known in [&b"curl\0"[..], b"upload-server\0"] {
                overwrite(&mut record, known, &padded(bytes));
            }
            overwrite(&mut record, b"PUT /", &[b"PUT /", bytes].concat());
            Input::Kernel(record.into())
        }
        Input::Feed(Feed::Line(mut line)) => {
            if let FeedLine::Upload(upload) = &mut *line {
                upload.name = Some(name.to_owned());
                upload.target = name.to_owned();
                upload.method = name.to_owned();
                upload.error = Some(name.to_owned());
            }
            Input::Feed(Feed::Line(line))
        }
        Input::Cgroup(cgroup) => Input::Cgroup(CgroupName {
            path: name.to_owned(),
            ..cgroup
        }),
        other => other,
    }
}

/// As the kernel has the name of a process: at most 15 bytes, and zeros.
fn padded(name: &[u8]) -> Vec<u8> {
    let mut comm = name[..name.len().min(15)].to_vec();
    comm.resize(16, 0);
    comm
}

/// Writes over the record from where this text begins.
fn overwrite(record: &mut [u8], text: &[u8], with: &[u8]) {
    let found = record.windows(text.len()).position(|window| window == text);
    if let Some(at) = found {
        for (byte, new) in record[at..].iter_mut().zip(with) {
            *byte = *new;
        }
    }
}

/// Every output in every form.
pub fn check_outputs(outputs: &[Output], scope: Scope) {
    for explain in [false, true] {
        let text = |styles| rendered(&mut Text::new(styles, scope, explain), outputs);
        check_plain("text", &text(Styles::default()));
        check_plain("coloured text", &without_styles(&text(Styles::COLOURED)));
        check_plain(
            "NDJSON",
            &rendered(&mut Ndjson::new(true, explain), outputs),
        );
    }
    let (mut pcapng, header) = Pcapng::new(Interfaces::Ends).expect("the header has a form");
    for output in outputs {
        let mut bytes = header.clone();
        pcapng
            .render(output, &mut bytes)
            .expect("each output has a form");
        for comment in comments(&bytes) {
            check_plain("pcapng", comment.as_bytes());
        }
    }
}

fn check_plain(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("each output is UTF-8");
    let hidden = |character: char| is_hidden(character) && !matches!(character, '\n' | '\t');
    if let Some(at) = text.find(hidden) {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        panic!("{what}: {:?}", text[line..].lines().next());
    }
}

fn without_styles(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(text.to_vec()).expect("text is UTF-8");
    let styles = ["0", "1", "2", "31", "32", "33", "36"];
    let plain = styles.iter().fold(text, |text, style| {
        text.replace(&format!("\u{1b}[{style}m"), "")
    });
    plain.into_bytes()
}

fn comments(capture: &[u8]) -> Vec<String> {
    use pcap_file::pcapng::{
        Block, PcapNgReader, blocks::enhanced_packet::EnhancedPacketOption::Comment,
    };
    let mut reader = PcapNgReader::new(capture).expect("the capture has a header");
    let mut comments = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.expect("each block has a form") {
            comments.extend(packet.options.iter().filter_map(|option| match option {
                Comment(comment) => Some(comment.to_string()),
                _ => None,
            }));
        }
    }
    comments
}

#[cfg(test)]
mod tests {
    #[test]
    fn hidden_characters() {
        let names =
            "\u{1b}[2J \u{9b}2J \u{7f} \u{202e} \u{2066} \u{200b} \u{feff} \u{2028} \u{61c}";
        for name in names.split(' ').chain([names]) {
            super::check(name.as_bytes());
        }
        super::check(b"\x9b\xff\x1b");
    }
}
