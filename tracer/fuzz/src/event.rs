//! A record of the ring buffer.

use tracer::core::event::{Event, What};

/// A record decodes to what it holds, or is refused.
pub fn check(bytes: &[u8]) {
    let Ok(event) = Event::decode(bytes) else {
        return;
    };
    if let What::Segment(segment, _) = &event.what {
        assert!(segment.packet.len() <= bytes.len(), "bytes from nowhere");
        crate::segment::check_segment(segment);
    }
}
