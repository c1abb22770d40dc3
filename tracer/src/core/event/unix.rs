//! Where a server passes a request on to a Unix socket.

use tracer_ebpf::record;

/// A thread sent on a Unix socket after it had read from a TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixRelay {
    /// The Unix socket's cookie.
    pub socket: u64,
    /// How many bytes it sent first.
    pub bytes: u64,
    /// Where the peer is bound; an abstract name begins with `@`, as `ss` prints it.
    pub path: String,
    /// The process that made the peer listen; no task if the record names none.
    pub listener: Option<record::Task>,
}

impl From<&record::UnixRelay> for UnixRelay {
    fn from(record: &record::UnixRelay) -> Self {
        let task = record::Task {
            pid: record.pid,
            uid: record.uid,
            comm: record.comm,
            cgroup: 0,
        };
        Self {
            socket: record.socket,
            bytes: record.bytes,
            path: path(record),
            listener: (task.pid != 0 || task.comm[0] != 0).then_some(task),
        }
    }
}

/// A path ends with a NUL that the kernel counts, or at the end of the room for it (unix(7)).
fn path(record: &record::UnixRelay) -> String {
    let length = usize::try_from(record.name_length).unwrap_or(usize::MAX);
    let name = record.name.get(..length).unwrap_or(&record.name);
    match name {
        [0, name @ ..] => format!("@{}", String::from_utf8_lossy(name)),
        path => {
            let end = path.iter().position(|byte| *byte == 0);
            let path = path.get(..end.unwrap_or(path.len())).unwrap_or_default();
            String::from_utf8_lossy(path).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::record;
    use zerocopy::FromZeros as _;

    use super::path;

    #[test]
    fn names() {
        let check = |name: &[u8], length: usize, expected: &str| {
            let mut record = record::UnixRelay::new_zeroed();
            record.name[..name.len()].copy_from_slice(name);
            record.name_length = u32::try_from(length).unwrap();
            assert_eq!(path(&record), expected);
        };
        check(b"/run/app.sock", 14, "/run/app.sock");
        check(b"/run/app.sock", 4, "/run");
        check(b"\0app", 4, "@app");
        check(b"", 0, "");
        check(b"", 1, "@");
        check(b"a\xff", 3, "a\u{fffd}");
        check(&[b'a'; 108], 108, &"a".repeat(108));
        check(&[b'a'; 108], 4_000_000, &"a".repeat(108));
    }
}
