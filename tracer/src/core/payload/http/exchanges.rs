//! The exchanges of a conversation: the first are kept for the timeline, each is handed out once it is
//! over.

use std::collections::VecDeque;

use super::{HttpExchange, HttpRequest};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exchanges {
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
        }
    }
}

impl Exchanges {
    pub(super) fn kept(&self) -> &[HttpExchange] {
        &self.kept
    }

    pub(super) const fn begun(&self) -> usize {
        self.begun
    }

    pub(super) const fn left_out(&self) -> usize {
        self.begun.saturating_sub(self.limit)
    }

    /// Whether fewer are kept because of their long targets.
    pub(super) const fn has_long_targets(&self) -> bool {
        self.limit < MAX_KEPT
    }

    pub(super) fn open(&mut self, exchange: HttpExchange) {
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
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut HttpExchange> {
        match number.checked_sub(self.limit) {
            None => self.kept.get_mut(number),
            Some(place) => self.rest.get_mut(place.checked_sub(self.dropped())?),
        }
    }

    /// Whether an exchange is over that was not handed out yet.
    pub(super) fn has_finished(&self) -> bool {
        self.get(self.finished).is_some_and(|exchange| {
            let is_last = self.finished + 1 == self.begun;
            is_over(exchange, is_last)
        })
    }

    /// Hands out the exchanges that are over, in order; `all`: the others, too.
    pub(super) fn take_finished(&mut self, all: bool) -> Vec<Finished> {
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

/// Whether nothing more is expected of an exchange: it was answered, and its body has arrived. In the
/// last one the rest of the body may follow the answer.
fn is_over(exchange: &HttpExchange, is_last: bool) -> bool {
    let awaits_body = |request: &HttpRequest| {
        request.content_length.is_some_and(|length| length > 0) && !request.body_arrived
    };
    match (&exchange.request, &exchange.response) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(request), Some(_)) => !is_last || !awaits_body(request),
    }
}
