//! A record of the ring buffer.

use tracer::internals::core::event::{Event, EventKind};

/// A record decodes to what it holds, or is refused.
pub fn check(bytes: &[u8]) {
    let Ok(event) = Event::decode(bytes) else {
        return;
    };
    if let EventKind::Segment(segment) = &event.what {
        assert!(segment.packet.len() <= bytes.len(), "bytes from nowhere");
        crate::segment::check_segment(segment);
    }
}
