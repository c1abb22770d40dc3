//! Explains where an upload goes on without TCP.

use super::hops::named;
use crate::{
    timeline::{Certainty, HopEvidence, PassedTo, PassedToKind, Process, Timeline, UploadSummary},
    units::bytes,
};

/// That the server passed an upload on to a Unix socket: the end of what TCP shows.
#[must_use]
pub fn passed_to(timeline: &Timeline, upload: &UploadSummary) -> Option<String> {
    let to = upload.passed_to.as_deref()?;
    let server = with_pid(&timeline.server.owner).unwrap_or_else(|| "the server".to_owned());
    let listener = to.process.as_ref().and_then(with_pid);
    let listener = listener.map_or_else(String::new, |listener| format!(" ({listener})"));
    let inferred = match to.certainty {
        Certainty::Observed => "",
        _ => " (inferred)",
    };
    Some(format!(
        "{server} passed it on to {}{listener}: {}, which TCP does not show{inferred}",
        to.path,
        kind(to)
    ))
}

/// What that means, and how it is known.
#[must_use]
pub fn explain_passed_to(timeline: &Timeline, upload: &UploadSummary) -> Vec<String> {
    let Some(to) = upload.passed_to.as_deref() else {
        return Vec::new();
    };
    let server = named(&timeline.server.owner, "The server");
    let listener = to.process.as_ref().map(|process| named(process, ""));
    let listener = listener.filter(|name| !name.is_empty());
    let listens = listener.map_or_else(String::new, |name| {
        format!(
            " {name} made it a listening socket; the process that took the upload may be another one, such as its child."
        )
    });
    let certainty = match to.certainty {
        Certainty::Observed => "That was observed.",
        _ => "That it was this upload is inferred.",
    };
    vec![
        format!(
            "{server} passed the upload on to {}, {}: there, the kernel hands bytes from one process to the other, without segments, windows and losses, and what TCP can show ends here.{listens} The time that the upload took there is within the wait for the response.",
            to.path,
            kind(to)
        ),
        format!("{} {certainty}", how(to)),
    ]
}

fn how(to: &PassedTo) -> String {
    let is_counted = to.evidence.contains(&HopEvidence::Bytes);
    match to.bytes.filter(|_| is_counted) {
        Some(sent) => format!(
            "A thread read from this connection, and sent {} there before it answered, which is enough for the upload.",
            bytes(sent)
        ),
        None => "A thread read from this connection, and then sent there; how much is not known, since it has not answered.".to_owned(),
    }
}

const fn kind(to: &PassedTo) -> &'static str {
    match to.kind {
        PassedToKind::Unix => "a Unix socket",
    }
}

fn with_pid(process: &Process) -> Option<String> {
    let comm = process.comm.as_deref()?;
    Some(match process.pid {
        Some(pid) => format!("{comm}[{pid}]"),
        None => comm.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{explain_passed_to, passed_to};
    use crate::timeline::{Certainty, HopEvidence, PassedTo, Process, Timeline, UploadSummary};

    fn process(comm: &str, pid: u32) -> Process {
        Process {
            pid: Some(pid),
            comm: Some(comm.into()),
            ..Process::default()
        }
    }

    #[test]
    fn what_is_known_of_a_unix_socket() {
        let mut timeline = Timeline::default();
        let mut to = PassedTo {
            path: "/run/app.sock".to_owned(),
            certainty: Certainty::Inferred,
            evidence: vec![HopEvidence::Request],
            ..PassedTo::default()
        };
        let upload = |to: &PassedTo| UploadSummary {
            passed_to: Some(Box::new(to.clone())),
            ..UploadSummary::default()
        };
        assert_eq!(
            passed_to(&timeline, &upload(&to)).unwrap(),
            "the server passed it on to /run/app.sock: a Unix socket, which TCP does not show (inferred)"
        );
        assert!(explain_passed_to(&timeline, &upload(&to))[1].contains("has not answered"));
        timeline.server.owner = process("nginx", 811);
        to.process = Some(process("gunicorn", 900));
        to.bytes = Some(1_200_000);
        to.evidence.push(HopEvidence::Bytes);
        to.certainty = Certainty::Observed;
        assert_eq!(
            passed_to(&timeline, &upload(&to)).unwrap(),
            "nginx[811] passed it on to /run/app.sock (gunicorn[900]): a Unix socket, which TCP does not show"
        );
        let [what, how] = explain_passed_to(&timeline, &upload(&to))
            .try_into()
            .unwrap();
        assert!(
            what.contains("gunicorn made it a listening socket"),
            "{what}"
        );
        assert!(
            how.ends_with("That was observed.") && how.contains("1.2 MB"),
            "{how}"
        );
        assert_eq!(passed_to(&timeline, &UploadSummary::default()), None);
    }
}
