//! The exchanges of a conversation: the first are kept for the timeline, each is handed out once it is
//! over.

use std::collections::VecDeque;

use super::{HttpExchange, HttpRequest};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::core::payload) struct Exchanges {
    /// The first ones.
    kept: Vec<HttpExchange>,
    /// How many are kept at most.
    limit: usize,
    /// How long the targets of the kept ones are together.
    target_bytes: usize,
    /// Those after [`limit`](Self::limit) that were not handed out yet.
    rest: VecDeque<HttpExchange>,
    /// How many began.
    begun: usize,
    /// How many were handed out.
    finished: usize,
    /// How many of these had a request.
    requests: u32,
    /// Whether they go on at the same time.
    is_multiplexed: bool,
}

/// An exchange that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Which request on the connection, counted from 1.
    pub sequence: u32,
    pub exchange: HttpExchange,
}

const MAX_KEPT: usize = 1000;
/// Of the targets of the kept exchanges; one alone may have 64 KiB.
const MAX_TARGET_BYTES: usize = 1 << 20;

impl Default for Exchanges {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            limit: MAX_KEPT,
            target_bytes: 0,
            rest: VecDeque::new(),
            begun: 0,
            finished: 0,
            requests: 0,
            is_multiplexed: false,
        }
    }
}

impl Exchanges {
    pub(in crate::core::payload) fn kept(&self) -> &[HttpExchange] {
        &self.kept
    }

    /// The one that began last, if it is not over.
    pub(in crate::core::payload) fn latest(&self) -> Option<&HttpExchange> {
        self.rest.back().or_else(|| self.kept.last())
    }

    pub(in crate::core::payload) const fn begun(&self) -> usize {
        self.begun
    }

    pub(in crate::core::payload) const fn left_out(&self) -> usize {
        self.begun.saturating_sub(self.limit)
    }

    /// Whether fewer are kept because of their long targets.
    pub(in crate::core::payload) const fn has_long_targets(&self) -> bool {
        self.limit < MAX_KEPT
    }

    /// They go on at the same time from now on (RFC 9113, section 5).
    pub(in crate::core::payload) const fn multiplex(&mut self) {
        self.is_multiplexed = true;
    }

    /// How many of those after the first ones were not handed out.
    pub(in crate::core::payload) fn waiting(&self) -> usize {
        self.rest.len()
    }

    pub(in crate::core::payload) fn open(&mut self, exchange: HttpExchange) {
        if self.begun < self.limit {
            let request = exchange.request.as_ref();
            self.target_bytes += request.map_or(0, |request| request.target.len());
            if self.target_bytes > MAX_TARGET_BYTES {
                self.limit = self.begun;
            }
        }
        if self.begun < self.limit {
            self.kept.push(exchange);
        } else {
            self.rest.push_back(exchange);
        }
        self.begun += 1;
    }

    /// `None` if it was handed out and is not kept.
    pub(in crate::core::payload) fn get_mut(&mut self, number: usize) -> Option<&mut HttpExchange> {
        match number.checked_sub(self.limit) {
            None => self.kept.get_mut(number),
            Some(place) => self.rest.get_mut(place.checked_sub(self.dropped())?),
        }
    }

    /// Whether an exchange is over that was not handed out yet.
    pub(in crate::core::payload) fn has_finished(&self) -> bool {
        self.get(self.finished).is_some_and(|exchange| {
            let may_go_on = self.is_multiplexed || self.finished + 1 == self.begun;
            is_over(exchange, may_go_on)
        })
    }

    /// Hands out the exchanges that are over, in order; `all`: the others, too.
    pub(in crate::core::payload) fn take_finished(&mut self, all: bool) -> Vec<Finished> {
        let mut taken = Vec::new();
        while self.finished < self.begun && (all || self.has_finished()) {
            let exchange = match self.finished.checked_sub(self.limit) {
                None => self.kept.get(self.finished).cloned(),
                Some(_) => self.rest.pop_front(),
            };
            self.finished += 1;
            let Some(exchange) = exchange else { continue };
            self.requests = self
                .requests
                .saturating_add(u32::from(exchange.request.is_some()));
            taken.push(Finished {
                sequence: self.requests,
                exchange,
            });
        }
        taken
    }

    fn get(&self, number: usize) -> Option<&HttpExchange> {
        match number.checked_sub(self.limit) {
            None => self.kept.get(number),
            Some(place) => self.rest.get(place.checked_sub(self.dropped())?),
        }
    }

    /// How many of the rest were handed out.
    const fn dropped(&self) -> usize {
        self.finished.saturating_sub(self.limit)
    }
}

/// Whether nothing more is expected of an exchange: it was answered, and its body has arrived. If it may go on,
/// the rest of the body may follow the answer.
fn is_over(exchange: &HttpExchange, may_go_on: bool) -> bool {
    let awaits_body = |request: &HttpRequest| match &request.content {
        Some(content) => !content.is_over && !content.is_aborted && !content.has_hole,
        None => request.content_length.is_some_and(|length| length > 0) && !request.body_arrived,
    };
    match (&exchange.request, &exchange.response) {
        (None, _) => true,
        (Some(request), None) => {
            let content = request.content.as_deref();
            content.is_some_and(|content| content.is_aborted)
        }
        (Some(request), Some(_)) => !may_go_on || !awaits_body(request),
    }
}
