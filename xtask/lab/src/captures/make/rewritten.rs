//! Captures made of captures.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

/// What a program makes of a capture, from stdin to stdout.
pub(super) fn with(program: &str, options: &[&str], from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command.args(options);
    succeed(command.stdin(File::open(from)?).stdout(File::create(to)?))
}

/// Captures in one pcapng, in the order of time, with an interface for each link type.
pub(super) fn in_one(from: &[&Path], to: &Path) -> Result<()> {
    let mut merge = Command::new("mergecap");
    succeed(merge.args(["-F", "pcapng", "-w"]).arg(to).args(from))?;
    without_machine(to)
}

/// Takes out of a pcapng's section header what names the machine where it was made.
fn without_machine(file: &Path) -> Result<()> {
    /// Type, byte order, version 1.0 and an unknown length of the section, between the block's own lengths.
    const SECTION: [u8; 28] = *b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0";
    let capture = fs::read(file)?;
    ensure!(capture.starts_with(&SECTION[..4]), "not a pcapng");
    let length = capture.get(4..8).context("no section header")?;
    let length = u32::from_le_bytes(length.try_into()?);
    let blocks = capture.get(usize::try_from(length)?..).context("cut")?;
    Ok(fs::write(file, [&SECTION, blocks].concat())?)
}

/// The capture with an 802.1Q tag in each frame, as of a port that carries several VLANs. The kernel here may lack
/// VLANs.
pub(super) fn tagged(from: &Path, to: &Path) -> Result<()> {
    const FILE_HEADER: usize = 24;
    const RECORD_HEADER: usize = 16;
    const ADDRESSES: usize = 12;
    /// The tag's type, and the VLAN 5.
    const TAG: [u8; 4] = [0x81, 0x00, 0x00, 0x05];
    let capture = fs::read(from)?;
    let (header, mut records) = capture.split_at_checked(FILE_HEADER).context("no header")?;
    ensure!(
        header.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]),
        "not a pcap of this byte order"
    );
    let mut tagged = header.to_vec();
    while let Some((record, rest)) = records.split_at_checked(RECORD_HEADER) {
        let length =
            |at: usize| -> Result<u32> { Ok(u32::from_le_bytes(record[at..at + 4].try_into()?)) };
        let (captured, original) = (length(8)?, length(12)?);
        let (frame, rest) = rest
            .split_at_checked(usize::try_from(captured)?)
            .context("cut in a frame")?;
        let (addresses, payload) = frame.split_at_checked(ADDRESSES).context("a short frame")?;
        tagged.extend_from_slice(&record[..8]);
        tagged.extend_from_slice(&(captured + 4).to_le_bytes());
        tagged.extend_from_slice(&(original + 4).to_le_bytes());
        for part in [addresses, &TAG, payload] {
            tagged.extend_from_slice(part);
        }
        records = rest;
    }
    Ok(fs::write(to, tagged)?)
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{:?}: {}", command.get_program(), reason.trim());
    }
    Ok(())
}
