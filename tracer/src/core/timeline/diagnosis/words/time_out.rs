//! The words of a time-out that ended an upload: what was seen of it.

use upload_protocol::{
    End,
    timeline::{TimedOut, WaitedFor},
    units,
};

pub(super) fn sentence(timed_out: &TimedOut) -> String {
    let who = match timed_out.end {
        End::Client => "client",
        End::Server => "server",
    };
    let (did, kind) = match timed_out.status {
        Some(status) => (format!("answered {status}"), ""),
        None => ("closed the connection".to_owned(), ": a time-out"),
    };
    let silence = timed_out.silence_ns.map(units::duration);
    let after = silence
        .as_ref()
        .map_or_else(String::new, |silence| format!(" after {silence}"));
    match (timed_out.waited_for, timed_out.end) {
        (WaitedFor::Request, _) if silence.is_none() => {
            format!("The {who} {did} before the request was whole{kind}.")
        }
        (WaitedFor::Request, _) => {
            format!("The {who} {did}{after} without a byte of the request{kind}.")
        }
        // It waited for whatever makes the response.
        (WaitedFor::Response, End::Server) => {
            let since = silence.map_or_else(String::new, |silence| {
                format!(", {silence} after the last byte of the request")
            });
            format!("The {who} {did}{since}{kind}.")
        }
        (WaitedFor::Response, End::Client) => {
            format!("The {who} {did}{after} without a byte of the response{kind}.")
        }
        (WaitedFor::NextRequest, _) => format!(
            "The {who} {did}{after} without a request, when this one was on its way: a time-out of keep-alive."
        ),
    }
}

pub(super) const fn advice(timed_out: &TimedOut) -> &'static str {
    match (timed_out.waited_for, timed_out.end) {
        (WaitedFor::Request, _) => {
            "Let the client send without such pauses, or raise the server's time-out for requests."
        }
        (WaitedFor::Response, End::Server) => {
            "Let the server answer sooner, or raise its time-out, or that of its proxy, for responses."
        }
        (WaitedFor::Response, End::Client) => {
            "Let the server answer sooner, or raise the client's time-out for responses."
        }
        (WaitedFor::NextRequest, _) => {
            "Let the client close idle connections sooner than the server, or send the request again."
        }
    }
}
