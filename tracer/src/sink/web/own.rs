//! What an upload's page gets of a connection: the upload's own exchanges alone, without the queries of
//! their targets. A connection may be a proxy's, which carries the uploads of several people; a query may
//! hold a token. An upload's hops are its own way: with the ends of each connection, as the page has the ends of the
//! server's.

use std::{collections::HashMap, sync::Arc};

use upload_protocol::timeline::{Exchange, Timeline};

/// A timeline that is split by upload.
pub(super) struct Split<'a> {
    whole: &'a Timeline,
    /// The timeline without uploads and exchanges.
    rest: Timeline,
    /// The places of the uploads in the timeline.
    uploads: HashMap<&'a str, usize>,
    /// The places of their exchanges.
    exchanges: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Split<'a> {
    pub(super) fn new(whole: &'a Timeline) -> Self {
        let mut rest = whole.clone();
        rest.uploads.clear();
        rest.samples.clear();
        if let Some(phase) = rest.maintenance_mut() {
            phase.exchanges_left_out += phase.exchanges.len();
            phase.exchanges.clear();
        }
        let uploads = whole.uploads.iter().enumerate();
        let mut exchanges: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, exchange) in whole.exchanges().iter().enumerate() {
            for id in exchange.upload.iter().chain(&exchange.uploads) {
                let places = exchanges.entry(id).or_default();
                // A form's exchange names the first of its files twice.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        Self {
            whole,
            rest,
            uploads: uploads
                .map(|(place, upload)| (upload.id.as_str(), place))
                .collect(),
            exchanges,
        }
    }

    /// The timeline for one upload. `heads`: when the heads of the requests that carried its parts were
    /// complete, CLOCK_MONOTONIC.
    pub(super) fn of(&self, upload: &str, heads: &[u64]) -> Timeline {
        let mut own = self.rest.clone();
        if let Some(place) = self.uploads.get(upload) {
            own.uploads.extend(self.whole.uploads.get(*place).cloned());
        }
        let all = self.whole.exchanges();
        let named = self.exchanges.get(upload).map_or(&[][..], Vec::as_slice);
        let mut places = named.to_vec();
        if !heads.is_empty() {
            let is_part = |exchange: &Exchange| {
                let mut heads = heads.iter();
                heads.any(|head_ns| self.arrived_in(*head_ns, exchange))
            };
            let parts = all.iter().enumerate();
            places.extend(
                parts
                    .filter(|(_, one)| is_part(one))
                    .map(|(place, _)| place),
            );
            places.sort_unstable();
            places.dedup();
        }
        let exchanges = places.iter().filter_map(|place| all.get(*place));
        let stretches: Vec<(u64, u64)> = exchanges.filter_map(Exchange::window).collect();
        let samples = self.whole.samples.iter();
        let samples = samples.filter_map(|all| all.within(&stretches));
        own.samples.extend(samples.map(Arc::new));
        if let Some(phase) = own.maintenance_mut() {
            phase.exchanges_left_out = phase.exchanges_left_out.saturating_sub(places.len());
            let exchanges = places.into_iter().filter_map(|place| all.get(place));
            phase.exchanges.extend(exchanges.map(without_query));
        }
        own
    }

    /// Whether a request's head arrived while this exchange was under way, and no other upload's.
    fn arrived_in(&self, head_ns: u64, exchange: &Exchange) -> bool {
        let Some((start, end)) = exchange.window() else {
            return false;
        };
        let start = exchange.request.span.start_ns.unwrap_or(start);
        // The next request may come before the response's end.
        let end = exchange.response.span.start_ns.unwrap_or(end);
        let at = head_ns.checked_sub(self.whole.at.mono_ns);
        exchange.upload.is_none() && at.is_some_and(|at| (start..=end).contains(&at))
    }
}

fn without_query(exchange: &Exchange) -> Exchange {
    let mut own = exchange.clone();
    if let Some(end) = own.request.target.find('?') {
        own.request.target.truncate(end);
    }
    own
}

#[cfg(test)]
mod tests;
