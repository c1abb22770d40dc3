//! Why the end of a body is not there, where a capture shows the stream whole.

use upload_protocol::{
    End, Flags,
    timeline::{Exchange, MissingEnd},
};

use crate::core::{
    connection::{Connection, Unfinished},
    payload::{Content, HttpExchange},
};

/// Marks the body and the response whose ends are not there.
pub(super) fn mark(exchange: &mut Exchange, http: &HttpExchange, connection: &Connection) {
    let reason = |content: Option<&Content>, sender| {
        let closing = Closing::of(connection, sender);
        content.and_then(|content| missing_end(content, closing))
    };
    let request = http.request.as_ref();
    let request = request.and_then(|request| request.content.as_deref());
    exchange.body.missing_end = reason(request, End::Client);
    let response = http.response.as_ref();
    let response = response.and_then(|response| response.content.as_deref());
    exchange.response.missing_end = reason(response, End::Server);
}

/// How the sender's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Fin,
    Rst,
    /// The capture has no end of it.
    Unseen,
    /// The connection is told before its end.
    Unknown,
}

impl Closing {
    fn of(connection: &Connection, sender: End) -> Self {
        let mut steps = connection.dialogue.steps.iter();
        if steps
            .clone()
            .any(|step| step.from == sender && step.flags.has(Flags::FIN))
        {
            Self::Fin
        } else if steps.any(|step| step.flags.has(Flags::RST)) {
            Self::Rst
        } else if connection.unfinished == Some(Unfinished::Evicted) {
            Self::Unknown
        } else {
            Self::Unseen
        }
    }
}

fn missing_end(content: &Content, closing: Closing) -> Option<MissingEnd> {
    if content.has_hole {
        return Some(MissingEnd::Hole);
    }
    if content.is_over {
        return None;
    }
    if content.is_aborted {
        return Some(MissingEnd::StreamReset);
    }
    match closing {
        Closing::Fin => (!content.until_close).then_some(MissingEnd::Closed),
        Closing::Rst => Some(MissingEnd::Reset),
        Closing::Unseen => Some(MissingEnd::CaptureEnded),
        Closing::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use upload_protocol::timeline::MissingEnd;

    use super::{Closing, missing_end};
    use crate::core::payload::Content;

    #[test]
    fn ends() {
        use Closing::{Fin, Rst, Unknown, Unseen};
        let open = Content::default();
        let over = Content {
            is_over: true,
            ..Content::default()
        };
        let until_close = Content {
            until_close: true,
            ..Content::default()
        };
        let aborted = Content {
            is_aborted: true,
            ..Content::default()
        };
        let hole = Content {
            has_hole: true,
            ..over.clone()
        };
        for (content, closing, expected) in [
            (&over, Rst, None),
            (&hole, Fin, Some(MissingEnd::Hole)),
            (&open, Fin, Some(MissingEnd::Closed)),
            (&open, Rst, Some(MissingEnd::Reset)),
            (&open, Unseen, Some(MissingEnd::CaptureEnded)),
            (&open, Unknown, None),
            (&until_close, Fin, None),
            (&until_close, Rst, Some(MissingEnd::Reset)),
            (&aborted, Fin, Some(MissingEnd::StreamReset)),
        ] {
            assert_eq!(
                missing_end(content, closing),
                expected,
                "{content:?} {closing:?}"
            );
        }
    }
}
