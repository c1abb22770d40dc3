//! The states are those that the kernel's own trace prints.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Command,
};

use crate::{
    lab::{Lab, has_states_from_listen_on, run},
    trace::Trace,
};

/// The kernel's trace of `sock:inet_sock_set_state`, in an instance of its own.
struct Ftrace {
    mount: PathBuf,
    instance: PathBuf,
}

impl Ftrace {
    fn start(lab: &Lab) -> Self {
        let mount = lab.dir.path().join("tracefs");
        fs::create_dir(&mount).unwrap();
        run(Command::new("mount")
            .args(["-t", "tracefs", "none"])
            .arg(&mount));
        let instance = mount
            .join("instances")
            .join(format!("tracer-test-{}", std::process::id()));
        fs::create_dir(&instance).unwrap();
        fs::write(instance.join("trace_clock"), "mono").unwrap();
        fs::write(instance.join("events/sock/inet_sock_set_state/enable"), "1").unwrap();
        Self { mount, instance }
    }

    /// `old→new` for each event of a connection with this port, the client's and the server's.
    fn states(&self, port: u16) -> (Vec<String>, Vec<String>) {
        let trace = fs::File::open(self.instance.join("trace")).unwrap();
        let (mut client, mut server) = (Vec::new(), Vec::new());
        for line in BufReader::new(trace).lines() {
            let line = line.unwrap();
            let field = |name: &str| {
                let (_, rest) = line.split_once(&format!(" {name}="))?;
                Some(rest.split_whitespace().next()?.to_owned())
            };
            let Some((old, new)) = field("oldstate").zip(field("newstate")) else {
                continue;
            };
            let change = format!("{old}→{new}").replace("TCP_", "");
            if field("dport") == Some(port.to_string()) {
                client.push(change);
            } else if field("sport") == Some(port.to_string())
                && field("dport").as_deref() != Some("0")
            {
                server.push(change);
            }
        }
        (client, server)
    }
}

impl Drop for Ftrace {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.instance);
        let _ = Command::new("umount").arg(&self.mount).status();
    }
}

fn states(trace: &Trace, end: &str) -> Vec<String> {
    trace
        .of("state")
        .iter()
        .filter(|line| line["end"] == end)
        .map(|line| {
            format!(
                "{}→{}",
                line["old"].as_str().unwrap(),
                line["new"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn both_ends_equal_the_kernels_own_trace() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let ftrace = Ftrace::start(&lab);
    let mut tracer = lab.tracer(&[]);
    let file = lab.file("file", 100_000);
    lab.upload(&file, &server.url(""));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();

    let (client, server_states) = ftrace.states(server.address.port());
    assert_eq!(states(&trace, "client"), client);
    assert_eq!(states(&trace, "server"), server_states);
    assert_eq!(
        client,
        [
            "CLOSE→SYN_SENT",
            "SYN_SENT→ESTABLISHED",
            "ESTABLISHED→FIN_WAIT1",
            "FIN_WAIT1→FIN_WAIT2",
            "FIN_WAIT2→CLOSE"
        ]
    );
    let all = [
        "LISTEN→SYN_RECV",
        "SYN_RECV→ESTABLISHED",
        "ESTABLISHED→CLOSE_WAIT",
        "CLOSE_WAIT→LAST_ACK",
        "LAST_ACK→CLOSE",
    ];
    let first = usize::from(!has_states_from_listen_on());
    assert_eq!(server_states, all[first..]);
    server.stop();
}

#[test]
fn a_refused_connection_has_its_reason() {
    let lab = Lab::new();
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--port", "5999"]);
    let output = lab.curl(&["http://127.0.0.1:5999/"]);
    assert!(!output.status.success());
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["phases"].as_array().unwrap().len(), 1);
    assert_eq!(timeline["phases"][0]["failure"], "refused");
    assert_eq!(
        crate::trace::steps(timeline, 0),
        ["client SYN", "server RST"]
    );
    assert_eq!(timeline["client"]["comm"], "curl");
}

#[test]
fn a_filter_by_process_shows_both_ends_and_nothing_else() {
    let lab = Lab::new();
    let server = lab.server(&[]);
    let mut tracer = lab.tracer_alone(&["-o", "ndjson", "--pid", &server.pid().to_string()]);
    let other = lab.curl(&["http://127.0.0.1:5999/"]);
    assert!(!other.status.success(), "nobody listens there");
    let file = lab.file("file", 1000);
    lab.upload(&file, &server.url(""));
    tracer.wait_for_timelines(1);
    let trace = tracer.stop();
    assert_eq!(trace.timelines().len(), 1);
    let timeline = trace.timelines()[0];
    assert_eq!(timeline["server"]["port"], server.address.port());
    assert_eq!(timeline["server"]["comm"], "upload-server");
    server.stop();
}
