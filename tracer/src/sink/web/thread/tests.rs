//! A server that does not answer.

use std::os::unix::net::UnixListener;

use upload_protocol::timeline::{
    Certainty, Exchange, Maintenance, Phase, Request, Timeline, UploadSummary,
};

use super::{MAX_WAITING, WebThread};
use crate::{
    caller::Caller,
    control::ControlSocket,
    core::output::Output,
    ending::Ending,
    sink::{Web, WebServer},
};

/// As long as the targets of a connection may be, together.
const TARGET: usize = 1 << 20;

fn with_upload() -> Output {
    let request = Request {
        target: "a".repeat(TARGET),
        ..Request::default()
    };
    let exchange = Exchange {
        request,
        ..Exchange::default()
    };
    let maintenance = Maintenance {
        exchanges: vec![exchange],
        ..Maintenance::default()
    };
    let upload = UploadSummary {
        id: "1".to_owned(),
        certainty: Certainty::Observed,
        ..UploadSummary::default()
    };
    Output::Timeline(Box::new(Timeline {
        phases: vec![Phase::Maintenance(Box::new(maintenance))],
        uploads: vec![upload],
        ..Timeline::default()
    }))
}

#[test]
fn what_waits_is_limited_in_bytes() {
    let fit = MAX_WAITING / TARGET;
    let all = fit + 20;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let server = UnixListener::bind(&path).unwrap();
    let web = Web::new(WebServer {
        control: ControlSocket::named(&path, &Caller::default()),
        listen: Vec::new(),
        user: None,
    });
    let mut thread = WebThread::start(web.unwrap(), Ending::default()).unwrap();
    let mut outputs: Vec<Output> = (0..all).map(|_| with_upload()).collect();
    for output in outputs.drain(..) {
        thread.send(vec![output], false);
    }
    // The first one waits for its answer meanwhile.
    assert!((all - fit..=all).contains(&usize::try_from(thread.lost()).unwrap()));
    drop(server);
    assert_eq!(thread.finish(), all as u64, "each is counted once");
}
