//! What a timeline must not say of records that are in the order of time.

use tracer::internals::core::output::Output;
use upload_protocol::timeline::{Exchange, KnownBy, Span, consistency::of_phases};

/// Nothing ends before it begins, and each step lies within its phase. Arbitrary records may have payload
/// before a handshake or after a FIN.
pub(crate) fn check(output: &Output) {
    let (Output::Timeline(timeline) | Output::Progress(timeline) | Output::Snapshot(timeline)) =
        output
    else {
        return;
    };
    let found = of_phases(timeline);
    assert!(found.is_empty(), "{found:?}");
    timeline.exchanges().iter().for_each(exchange);
}

/// The server's clock readings are its own.
fn exchange(exchange: &Exchange) {
    if exchange.known_by == KnownBy::Segments {
        let spans = [
            ("request", exchange.request.span),
            ("body", exchange.body.span),
            ("wait", exchange.wait),
            ("response", exchange.response.span),
        ];
        for (name, span) in spans {
            in_order(name, span);
        }
    }
}

fn in_order(name: &str, span: Span) {
    if let (Some(start), Some(end)) = (span.start_ns, span.end_ns) {
        assert!(
            start <= end,
            "{name} ends at {end}, before it begins at {start}"
        );
    }
}
