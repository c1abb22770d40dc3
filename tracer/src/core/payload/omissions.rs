//! What was left out of a connection's payload.

use upload_protocol::timeline::{LeftOut, Omission};

use super::{Parser, Payload};

impl Payload {
    /// Each kind of thing that was not kept, or not read to its end.
    #[must_use]
    pub fn omissions(&self) -> Vec<Omission> {
        let mut omissions = Vec::new();
        let mut add = |what, count: u64| {
            if count > 0 {
                omissions.push(Omission::counted(what, count));
            }
        };
        let requests = self.exchanges().iter();
        let contents = requests.filter_map(|http| http.request.as_ref()?.content.as_ref());
        let forms = contents.filter_map(|content| content.form.as_ref());
        add(LeftOut::Files, forms.map(|form| form.left_out()).sum());
        match &self.parser {
            Parser::Http(conversation) => {
                let requests = if conversation.has_long_targets() {
                    LeftOut::RequestsWithLongTargets
                } else {
                    LeftOut::Requests
                };
                add(requests, conversation.left_out() as u64);
                add(LeftOut::Heads, conversation.heads_cut());
                if conversation.requests_unread() {
                    omissions.push(Omission::uncounted(LeftOut::RequestsUnanswered));
                }
            }
            Parser::Tls(conversation) => {
                let tls = conversation.tls();
                add(LeftOut::TlsRecords, tls.records_left_out);
                add(LeftOut::TlsSteps, tls.steps_left_out);
                add(LeftOut::TlsAlerts, tls.alerts_left_out);
                add(LeftOut::TlsHellos, tls.hellos_cut);
            }
            Parser::Http2(conversation) => {
                let frames = conversation.frames();
                let is_lost = frames.client.more || frames.server.more;
                if let Some(streams) = conversation.streams() {
                    let requests = if streams.has_long_targets() {
                        LeftOut::RequestsWithLongTargets
                    } else {
                        LeftOut::Requests
                    };
                    add(requests, conversation.left_out() as u64);
                    add(LeftOut::Heads, streams.heads_unread());
                    if streams.requests_unread() {
                        omissions.push(Omission::uncounted(LeftOut::RequestsUnanswered));
                    }
                }
                if is_lost {
                    omissions.push(Omission::uncounted(LeftOut::Frames));
                }
            }
            Parser::Unknown | Parser::Proxy(_) | Parser::Ftp(_) | Parser::Other => {}
        }
        omissions
    }
}
