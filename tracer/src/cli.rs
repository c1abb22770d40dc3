//! The command line. Scripts depend on it: options are added, not renamed.

use std::{
    ffi::OsString, net::IpAddr, num::NonZeroUsize, path::PathBuf, sync::LazyLock, time::Duration,
};

use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
    value_parser,
};
use jiff::SignedDuration;
use tracer_ebpf::record;
use upload_protocol::{timeline::HeldBackBy, version::of_source};

use crate::sink::{Choice, Format};

/// The largest power of two that the option's number has room for.
const MAX_RING_BYTES: i64 = 1 << 31;

/// A recording can be replayed by a tracer that knows the layout of its records.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = of_source(env!("CARGO_PKG_VERSION"));
    format!("{version}\nrecord layout {}", record::VERSION)
});

/// Show what TCP did for an upload: how its connection was opened, used and closed
///
/// Without a filter, trace the upload server that answers at the default control socket, if it
/// runs as you or as root. If none answers, trace every connection.
#[derive(Debug, Parser)]
#[command(
    verbatim_doc_comment,
    version,
    long_version = LONG_VERSION.as_str(),
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  tracer                                      Trace the uploads to the bundled upload server
  tracer --port 443 --duration 60             Trace every HTTPS connection for a minute
  tracer -- curl -T big.iso https://host/     Trace the connections of this command
  tracer --pid 4242 -o ndjson | jq .          Trace one process, as NDJSON
  tracer --port 443 --slower-than 2s          Show only uploads that took longer than 2 seconds
  tracer --comm rsync --port 22               Trace rsync's connections to or from port 22
  tracer --cgroup system.slice/ssh.service    Trace a systemd unit or a container
  tracer doctor                               Check what works on this machine
  tracer record upload.trace --port 5000      Record now,
  tracer replay upload.trace                  and show it later
  tracer read upload.pcapng                   Show a capture of tcpdump or Wireshark
  tracer --port 443 --report uploads.html     Write a page to look at later, or to pass on
  tracer --all --metrics 127.0.0.1:9464       Count for Prometheus
  tracer --top                                Watch connections while they are under way"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub trace: TraceArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Log more on stderr; `-vv` also logs the eBPF programs
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

impl Cli {
    /// The command line of this process.
    ///
    /// # Errors
    /// When it is not understood, and for `--help` and `--version`.
    pub fn of_process() -> Result<Self, clap::Error> {
        let command = Self::command();
        #[cfg(not(live))]
        let command = crate::without_live::cli::shown(command);
        Self::from_arg_matches(&command.try_get_matches()?)?.checked()
    }

    /// Refuses what cannot be done together.
    fn checked(self) -> Result<Self, clap::Error> {
        let trace = match &self.command {
            Some(Command::Record(record)) => &record.trace,
            _ => &self.trace,
        };
        if trace.top && !trace.run.is_empty() {
            let why = "the output of a command would tear the screen of --top: run the command in another terminal, \
                       and choose it here by --comm or --pid";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        Ok(self)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace live, and also record the kernel's events in a file
    Record(Box<RecordArgs>),
    /// Check that this machine can trace, and verify it with a loopback connection
    ///
    /// List what is unavailable, what will be unknown without it, and how to fix it.
    Doctor,
    /// Read a capture (pcap, pcapng), and show what TCP did in it
    ///
    /// Connections are numbered as tshark's tcp.stream numbers them. What only a kernel knows, such as
    /// the owners of sockets, is unknown.
    #[command(
        verbatim_doc_comment,
        after_help = "Examples:
  tracer read upload.pcapng                             Show the timelines
  tracer read a.pcap.gz --explain --port 443            Explain each step of HTTPS connections
  tracer read a.pcap --address 192.0.2.7 --segments     Show every segment of one host
  tracer read a.pcap -o ndjson | jq .                   Print data
  tracer read a.pcap --report a.html                    Write a page to look at, or to pass on
  tracer read client.pcapng server.pcapng               Show both ends of the same connections
  ssh router tcpdump -U -w - tcp | tracer read -        Read while it is captured"
    )]
    Read(Box<ReadArgs>),
    /// Show a recording as it was shown live
    Replay {
        /// Recording to show
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Args, Debug)]
pub struct RecordArgs {
    /// File to record into
    pub file: PathBuf,
    #[command(flatten)]
    pub trace: TraceArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
pub struct ReadArgs {
    /// Capture to read: pcap or pcapng, possibly in gzip or zstd; `-` for stdin
    ///
    /// Several are read together: pieces of one capture in the order of their times, and two
    /// captures of the same connections, one at each end, as one.
    #[arg(required = true, value_name = "FILE", verbatim_doc_comment)]
    pub files: Vec<PathBuf>,

    /// Show connections from or to this port
    ///
    /// Repeatable, as is the filter below. Filters of the same kind are ORed, different kinds are
    /// ANDed.
    #[arg(long, value_name = "N", verbatim_doc_comment, value_parser = value_parser!(u16).range(1..))]
    pub port: Vec<u16>,

    /// Show connections from or to this IP address
    #[arg(long, value_name = "ADDRESS")]
    pub address: Vec<IpAddr>,

    /// Show every segment, as in a packet list
    #[arg(long)]
    pub segments: bool,

    /// Write every segment that is shown into a file for Wireshark
    #[arg(long, value_name = "FILE")]
    pub pcapng: Option<PathBuf>,

    /// Track at most N connections at once
    ///
    /// Beyond that, drop the ones that were idle for longest, and count them (`lost`).
    #[arg(long, value_name = "N", default_value_t = 1 << 16, value_parser = value_parser!(u32).range(1..))]
    pub max_connections: u32,

    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
pub struct TraceArgs {
    /// Trace uploads to the server with this control socket
    #[arg(long, value_name = "SOCKET")]
    pub server: Option<PathBuf>,
    /// Trace the connections of this process
    ///
    /// Repeatable, as are the four filters below. Filters of the same kind are ORed, different
    /// kinds are ANDed.
    #[arg(long, value_name = "N", verbatim_doc_comment, value_parser = value_parser!(u32).range(1..))]
    pub pid: Vec<u32>,
    /// Trace processes with this name, as `ps -o comm` shows it
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub comm: Vec<String>,
    /// Trace processes in this cgroup (v2) or below it
    ///
    /// A systemd unit and a container have a cgroup of their own.
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
    /// Trace connections from or to this port
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    pub port: Vec<u16>,
    /// Trace the socket with this cookie
    ///
    /// Decimal, or hexadecimal as `ss -e` prints it (sk:10a7) or after 0x.
    #[arg(long, value_name = "N", value_parser = cookie)]
    pub cookie: Vec<u64>,
    /// Trace every connection
    #[arg(long, conflicts_with_all = ["pid", "comm", "cgroup", "port", "cookie", "server", "run"])]
    pub all: bool,
    /// Do not follow an upload to the connections in front of its own
    ///
    /// Where ports or a server are chosen and nothing else, a process that connects to
    /// them is followed: what it accepts is traced as well, and shown as hops of uploads.
    /// A busy process that also does other things is then traced for nothing.
    #[arg(long, verbatim_doc_comment)]
    pub no_follow: bool,
    /// Watch connections on the terminal while they are under way
    ///
    /// Sort and filter them, and open one; `?` lists the keys. A command after `--` is
    /// refused, since its own output would tear the screen.
    #[arg(long, verbatim_doc_comment, conflicts_with_all = ["format", "segments"])]
    pub top: bool,
    /// Show every segment, as in a packet list
    #[arg(long)]
    pub segments: bool,
    /// Write every segment into a file for Wireshark
    #[arg(long, value_name = "FILE")]
    pub pcapng: Option<PathBuf>,
    /// Answer `GET /metrics` at HOST:PORT, for Prometheus
    ///
    /// Take an address of this machine alone, such as 127.0.0.1:9464: everybody who reaches the
    /// port may read them.
    #[arg(long, verbatim_doc_comment, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// Exit after this many seconds
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Exit after N upload timelines
    #[arg(long, value_name = "N")]
    pub count: Option<NonZeroUsize>,
    /// Size of the kernel's ring buffer; a power of two
    ///
    /// Other sizes are rounded up. With more than 256 KiB, from Linux 6.12 on, there are
    /// two: one of 256 KiB, which stays in the processor's caches, and one of this size for
    /// what that has no room for.
    #[arg(long, verbatim_doc_comment, value_name = "BYTES", default_value_t = 4 << 20, value_parser = value_parser!(u32).range(1..=MAX_RING_BYTES))]
    pub ring_size: u32,
    /// Track at most N connections at once
    ///
    /// Beyond that, drop the ones that were idle for longest, and count them (`lost`).
    #[arg(long, value_name = "N", default_value_t = 1 << 16, value_parser = value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Count every record in the kernel (a few ns each)
    ///
    /// The summary reports the total as `emitted`; it equals received plus lost.
    #[arg(long)]
    pub audit: bool,
    /// Run this command, and trace it and the processes it starts
    ///
    /// It runs as the user who called sudo. The tracer exits with its exit status.
    #[arg(last = true, value_name = "COMMAND")]
    pub run: Vec<OsString>,
}

impl TraceArgs {
    /// Whether a filter selects processes.
    #[must_use]
    pub const fn names_processes(&self) -> bool {
        !(self.pid.is_empty() && self.comm.is_empty() && self.cgroup.is_empty())
    }

    /// Whether any filter, or a command, selects connections.
    #[must_use]
    pub const fn filters(&self) -> bool {
        self.names_processes()
            || !(self.port.is_empty() && self.cookie.is_empty() && self.run.is_empty())
    }
}

#[derive(Args, Debug)]
pub struct OutputArgs {
    /// Format on stdout
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
    /// Explain each step of a timeline
    ///
    /// In text, also print how the step is known, and the tshark display filter that shows
    /// the same segment.
    #[arg(long, verbatim_doc_comment)]
    pub explain: bool,
    /// Add to each timeline how its windows, bytes in flight and RTT went
    ///
    /// Of connections that carried 64 KiB or more. Of NDJSON alone: a page draws them anyway.
    #[arg(long)]
    pub samples: bool,
    /// Write a page with every connection that is shown, for a browser
    ///
    /// One file that needs neither network nor script. It is written when the run ends.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write all requests as HAR, for a browser's network panel
    #[arg(long, value_name = "FILE")]
    pub har: Option<PathBuf>,
    /// Write every connection as trace events, for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    pub perfetto: Option<PathBuf>,
    /// Send spans and metrics to this OpenTelemetry collector
    ///
    /// Such as http://localhost:4317. That port is gRPC, any other HTTP. The variables of
    /// OpenTelemetry's exporters (OTEL_EXPORTER_OTLP_HEADERS and others) apply.
    #[arg(long, value_name = "URL", verbatim_doc_comment)]
    pub otlp: Option<String>,
    /// Show only uploads that took longer, such as 2s or 500ms
    ///
    /// Of NDJSON, only timelines, losses and the summary are printed then.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub slower_than: Option<Duration>,
    /// Show only uploads that this cause held back; repeatable
    ///
    /// The cause is the verdict of the diagnosis, such as path or client_application.
    #[arg(long, value_name = "CAUSE", value_parser = causes(), hide_possible_values = true)]
    pub held_back_by: Vec<HeldBackBy>,
}

impl OutputArgs {
    /// Whether files are written that are whole only when the run ends.
    #[must_use]
    pub const fn has_documents(&self) -> bool {
        self.report.is_some() || self.har.is_some() || self.perfetto.is_some()
    }

    /// Whether an output shows samples of sockets, or of segments.
    #[must_use]
    pub const fn draws_samples(&self) -> bool {
        self.report.is_some() || self.prints_samples()
    }

    /// Whether lines have samples.
    #[must_use]
    pub const fn prints_samples(&self) -> bool {
        self.samples && self.format.is_data()
    }

    /// Which uploads to show.
    #[must_use]
    pub fn choice(&self) -> Choice {
        Choice {
            slower_than: self.slower_than,
            held_back_by: self.held_back_by.clone(),
        }
    }
}

fn causes() -> impl TypedValueParser<Value = HeldBackBy> {
    let causes = HeldBackBy::ALL
        .iter()
        .filter(|cause| cause.side().is_some());
    let names = PossibleValuesParser::new(causes.map(|cause| cause.name()));
    names.try_map(|name| HeldBackBy::named(&name).ok_or("no such cause"))
}

/// A time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let time: SignedDuration = text
        .parse()
        .map_err(|_| "not a time such as 2s, 500ms or 1m 30s".to_owned())?;
    Duration::try_from(time).map_err(|_| "a time is not negative".to_owned())
}

/// A cookie in decimal, or in hexadecimal as `ss -e` prints it. Bare digits are decimal, as ever; with
/// a letter among them they can only be hexadecimal.
fn cookie(text: &str) -> Result<u64, String> {
    let prefixes = ["sk:", "0x", "0X"];
    let marked = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let (digits, radix) = match marked {
        Some(digits) => (digits, 16),
        None if has_letter => (text, 16),
        None => (text, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(
            "a cookie is decimal (4263), or hexadecimal as `ss -e` prints it (sk:10a7)".to_owned(),
        );
    }
    match u64::from_str_radix(digits, radix) {
        Ok(0) => Err("no socket has the cookie 0".to_owned()),
        Ok(cookie) => Ok(cookie),
        Err(_) => Err("a cookie has 64 bits".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
