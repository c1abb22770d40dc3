//! The records of ended uploads on a connection whose response is not sent yet: its status and its times belong
//! to the record. A form may have very many files. Of each request, only the records of the latest files are
//! held; those of earlier files go on without the response, which is added to them once it is sent.

use std::collections::VecDeque;

use crate::record::Upload;

/// How many records of one request are held.
pub(super) const MAX_HELD: usize = 32;

/// Of how many requests records are held. Of HTTP/2, fewer than half of them are in flight; the others were
/// cancelled while their file was stored.
const MAX_REQUESTS: usize = 256;

/// The response to the request that carried an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: Option<u16>,
    pub(crate) response_ns: Option<u64>,
    pub(crate) sent_ns: Option<u64>,
}

/// Everything that is held for one connection.
#[derive(Default)]
pub(super) struct HeldRecords {
    requests: Vec<OfRequest>,
}

/// What is held of one request.
pub(super) struct OfRequest {
    request: u32,
    answered: Answered,
    /// hyper has the response, but perhaps not the kernel.
    is_written: bool,
    records: VecDeque<Upload>,
    /// The ids of the records that went on before.
    gone_on: Vec<u64>,
}

impl HeldRecords {
    /// Holds a record. Returns the one that goes on in its place, if there are too many.
    pub(super) fn hold(&mut self, upload: Upload) -> Option<Upload> {
        let known = self.requests.iter().position(|of| of.is(&upload));
        let number = known.unwrap_or_else(|| {
            self.requests.push(OfRequest::new(upload.request));
            self.requests.len() - 1
        });
        self.requests.get_mut(number)?.hold(upload)
    }

    /// Takes what is held of the oldest request, if there are too many. Call after [`Self::hold`].
    pub(super) fn too_old(&mut self) -> Option<OfRequest> {
        let too_many = self.requests.len() > MAX_REQUESTS;
        too_many.then(|| self.requests.remove(0).without_status())
    }

    /// The response to this request is ready.
    pub(super) fn answer(&mut self, request: u32, status: u16, response_ns: u64) {
        if let Some(of) = self.of_request(request) {
            of.answered.status = Some(status);
            of.answered.response_ns = Some(response_ns);
        }
    }

    /// hyper has the whole response to this request.
    pub(super) fn written(&mut self, request: u32) {
        if let Some(of) = self.of_request(request) {
            of.is_written = true;
        }
    }

    /// Takes what is held of a request that gets no response.
    pub(super) fn unanswered(&mut self, request: u32) -> Option<OfRequest> {
        let is_over = |of: &OfRequest| of.request == request && !of.is_written;
        let number = self.requests.iter().position(is_over)?;
        Some(self.requests.remove(number).without_status())
    }

    /// Takes what is held of the requests whose response the kernel has.
    pub(super) fn sent(&mut self, sent_ns: impl FnOnce() -> u64) -> Vec<OfRequest> {
        if !self.requests.iter().any(|of| of.is_written) {
            return Vec::new();
        }
        let sent_ns = Some(sent_ns());
        let mut sent: Vec<_> = self.requests.extract_if(.., |of| of.is_written).collect();
        for of in &mut sent {
            of.answered.sent_ns = sent_ns;
        }
        sent
    }

    /// Takes all that is left at the end of the connection, those first whose response hyper had.
    pub(super) fn left(&mut self) -> Vec<OfRequest> {
        let mut left = std::mem::take(&mut self.requests);
        left.sort_by_key(|of| !of.is_written);
        left.into_iter().map(OfRequest::without_status).collect()
    }

    fn of_request(&mut self, request: u32) -> Option<&mut OfRequest> {
        self.requests.iter_mut().find(|of| of.request == request)
    }
}

impl OfRequest {
    fn new(request: u32) -> Self {
        Self {
            request,
            answered: Answered::default(),
            is_written: false,
            records: VecDeque::new(),
            gone_on: Vec::new(),
        }
    }

    fn is(&self, upload: &Upload) -> bool {
        self.request == upload.request && !self.is_written
    }

    fn hold(&mut self, upload: Upload) -> Option<Upload> {
        self.records.push_back(upload);
        if self.records.len() <= MAX_HELD {
            return None;
        }
        let first = self.records.pop_front()?;
        self.gone_on.extend(first.id.parse::<u64>());
        Some(first)
    }

    /// A status is recorded only once its response is sent.
    fn without_status(mut self) -> Self {
        self.answered.status = None;
        self
    }

    /// The ids of the records that went on without the response.
    pub(super) fn gone_on(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gone_on)
    }

    pub(super) fn answered(&self) -> Answered {
        self.answered
    }

    /// The records, with the response.
    pub(super) fn records(self) -> impl Iterator<Item = Upload> {
        let answered = self.answered;
        self.records.into_iter().map(move |mut upload| {
            answered.add_to(&mut upload);
            upload
        })
    }
}

impl Answered {
    pub(crate) fn add_to(&self, upload: &mut Upload) {
        upload.status = self.status;
        upload.times.response_ns = self.response_ns;
        upload.times.sent_ns = self.sent_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::upload;

    fn ids(of: OfRequest) -> Vec<String> {
        of.records().map(|upload| upload.id).collect()
    }

    #[test]
    fn the_first_of_many_go_on() {
        let mut held = HeldRecords::default();
        let gone: Vec<_> = (1..=MAX_HELD as u64 + 2)
            .filter_map(|id| held.hold(upload(id)))
            .collect();
        assert_eq!(gone, [upload(1), upload(2)]);
        held.answer(1, 201, 7);
        assert!(held.sent(|| 8).is_empty());
        held.written(1);
        let [mut of] = <[_; 1]>::try_from(held.sent(|| 8)).ok().unwrap();
        assert_eq!(of.gone_on(), [1, 2]);
        let answered = Answered {
            status: Some(201),
            response_ns: Some(7),
            sent_ns: Some(8),
        };
        assert_eq!(of.answered(), answered);
        let records: Vec<_> = of.records().collect();
        assert_eq!(records.len(), MAX_HELD);
        assert!(records.iter().all(|upload| upload.status == Some(201)));
    }

    #[test]
    fn each_request_waits_for_its_own_response() {
        let mut held = HeldRecords::default();
        for (id, request) in [(1, 1), (2, 2), (3, 1)] {
            let mut upload = upload(id);
            upload.request = request;
            assert_eq!(held.hold(upload), None);
        }
        held.answer(2, 201, 7);
        held.written(2);
        let sent = held.sent(|| 8);
        assert_eq!(sent.into_iter().map(ids).collect::<Vec<_>>(), [["2"]]);
        let unanswered = held.unanswered(1).unwrap();
        assert_eq!(ids(unanswered), ["1", "3"]);
        assert!(held.left().is_empty());
    }

    #[test]
    fn cancelled_requests_do_not_add_up() {
        let mut held = HeldRecords::default();
        for request in (1..).take(MAX_REQUESTS) {
            let mut upload = upload(request.into());
            upload.request = request;
            assert_eq!(held.hold(upload), None);
            assert!(held.too_old().is_none());
        }
        let mut upload = upload(0);
        upload.request = 0;
        assert_eq!(held.hold(upload), None);
        assert_eq!(held.too_old().map(ids).unwrap(), ["1"]);
    }
}
