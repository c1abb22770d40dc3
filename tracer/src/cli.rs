//! The command line. Scripts depend on it: options are added, not renamed.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

/// Tells what TCP did for an upload: connection initiation, maintenance and termination, as the
/// kernel saw them.
///
/// Without a filter it traces the upload server that answers at the default control socket, or
/// else every connection.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  tracer                                      the bundled upload server's uploads
  tracer --port 443 --duration 60             every HTTPS connection, for a minute
  tracer -- curl -T big.iso https://host/     whatever this command connects to
  tracer --pid 4242 -o ndjson | jq .          one process, as NDJSON
  tracer --comm rsync --port 22               rsync's connections to or from port 22
  tracer --cgroup system.slice/ssh.service    a systemd unit, or a container
  tracer doctor                               what works here, and what does not
  tracer record upload.trace --port 5000      to look at later:
  tracer replay upload.trace"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub trace: TraceArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// More of what the tracer does, on stderr; twice: of what the eBPF programs do, too
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// What to do instead of showing live traffic.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record what the kernel says into a file, while showing it
    Record(Box<RecordArgs>),
    /// Tell whether this machine has what tracing takes, what is lost where it has not, and what to
    /// do; and trace a connection on loopback to compare
    Doctor,
    /// Show a recording as it was shown live
    Replay {
        /// The file to read
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// What to record, and where to.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// The file to write
    pub file: PathBuf,
    #[command(flatten)]
    pub trace: TraceArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which connections, and for how long.
#[derive(Args, Debug)]
pub struct TraceArgs {
    /// Control socket of the upload server whose uploads to trace
    #[arg(long, value_name = "SOCKET")]
    pub server: Option<PathBuf>,
    /// Connections of this process; may be repeated. Of filters of one kind any may hold, of
    /// different kinds all must
    #[arg(long, value_name = "N")]
    pub pid: Vec<u32>,
    /// Connections of processes with this name (what `ps -o comm` shows, 15 bytes at most); may be
    /// repeated
    #[arg(long, value_name = "NAME")]
    pub comm: Vec<String>,
    /// Connections of processes in this cgroup (v2) or beneath it: a systemd unit, a container; may
    /// be repeated
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
    /// Connections from or to this port; may be repeated
    #[arg(long, value_name = "N")]
    pub port: Vec<u16>,
    /// The socket with this cookie (`ss -e` prints it as sk:, in hexadecimal); may be repeated
    #[arg(long, value_name = "N")]
    pub cookie: Vec<u64>,
    /// Every connection
    #[arg(long, conflicts_with_all = ["pid", "comm", "cgroup", "port", "cookie", "server", "run"])]
    pub all: bool,
    /// Every segment, as a packet list shows them
    #[arg(long)]
    pub segments: bool,
    /// Every segment into a file for Wireshark
    #[arg(long, value_name = "FILE")]
    pub pcapng: Option<PathBuf>,
    /// End after so many seconds
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// End when the timelines of so many uploads were told
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// Bytes of the kernel's ring buffer, rounded up to a power of two
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub ring_size: u32,
    /// Connections kept at once; of more, those are dropped that were idle for the longest time, and
    /// counted (`lost`)
    #[arg(long, value_name = "N", default_value_t = 1 << 16, value_parser = value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Count each record in the kernel when it is made, some nanoseconds each: the summary says
    /// `emitted`, which is what arrived and what was lost
    #[arg(long)]
    pub audit: bool,
    /// Runs this command, and traces its connections and those of every process it starts. It runs
    /// as the user who called sudo; the exit status is its own
    #[arg(last = true, value_name = "COMMAND")]
    pub run: Vec<OsString>,
}

impl TraceArgs {
    /// Whether something was said about which processes.
    #[must_use]
    pub const fn names_processes(&self) -> bool {
        !(self.pid.is_empty() && self.comm.is_empty() && self.cgroup.is_empty())
    }

    /// Whether something was said about which connections.
    #[must_use]
    pub const fn filters(&self) -> bool {
        self.names_processes()
            || !(self.port.is_empty() && self.cookie.is_empty() && self.run.is_empty())
    }
}

/// How to show it.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// The form of the output on stdout
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
    /// With each step of a timeline, what it means; in text also how it is known, and the tshark
    /// display filter that shows the same segment
    #[arg(long)]
    pub explain: bool,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Timelines for a person
    Text,
    /// One JSON object a line
    Ndjson,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
