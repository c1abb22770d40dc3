//! How the payload of a connection went: samples that the kernel took of its sockets, and what each of its segments
//! showed, where every one was seen. Of many, a bounded number is kept.

mod segments;
mod thinned;

use tracer_ebpf::record::Sample;
use upload_protocol::End;

use self::thinned::{Point, Spacing};
pub use self::{
    segments::SegmentCourse,
    thinned::{Room, Thinned},
};
use crate::core::dialogue::Flowing;

/// The samples of one connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    client: OfEnd,
    server: OfEnd,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct OfEnd {
    /// Its socket's.
    socket: Option<Thinned<Sample>>,
    /// Of the payload that it sends.
    segments: Option<SegmentCourse>,
}

impl Point for Sample {
    fn in_flight(&self) -> u32 {
        self.in_flight
    }
}

impl Samples {
    /// Takes a sample of an end's socket. One whose counters do not grow is none of the kernel's, and left out.
    pub(crate) fn record(&mut self, end: End, sample: &Sample, room: &mut Room) {
        let socket = self
            .of_mut(end)
            .socket
            .get_or_insert_with(|| Thinned::new(Spacing::Growing));
        let grows = |last: &Sample| {
            last.header.mono_ns <= sample.header.mono_ns
                && last.bytes_acked <= sample.bytes_acked
                && last.bytes_received <= sample.bytes_received
        };
        if socket.points().next_back().is_none_or(grows) {
            socket.push(*sample, room);
        }
    }

    /// Takes the next segment of the connection.
    pub(crate) fn record_segment(&mut self, segment: &Flowing, room: &mut Room) {
        let from = segment.from;
        self.segments_mut(from).sends(segment, room);
        self.segments_mut(from.other()).acknowledged(segment, room);
    }

    /// Those of an end's socket.
    #[must_use]
    pub const fn of_socket(&self, end: End) -> Option<&Thinned<Sample>> {
        self.of(end).socket.as_ref()
    }

    /// Those of the segments with an end's payload.
    #[must_use]
    pub const fn of_segments(&self, from: End) -> Option<&SegmentCourse> {
        self.of(from).segments.as_ref()
    }

    /// How many there was no room for.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        let ends = [&self.client, &self.server].into_iter();
        ends.map(|of| {
            let socket = of.socket.as_ref().map_or(0, Thinned::left_out);
            let segments = of.segments.as_ref();
            socket + segments.map_or(0, |course| course.points().left_out())
        })
        .sum()
    }

    /// The memory of its points.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let ends = [&self.client, &self.server].into_iter();
        ends.map(|of| {
            let socket = of.socket.as_ref().map_or(0, Thinned::bytes);
            let segments = of.segments.as_ref();
            socket + segments.map_or(0, |course| course.points().bytes())
        })
        .sum()
    }

    fn segments_mut(&mut self, from: End) -> &mut SegmentCourse {
        let of = self.of_mut(from);
        of.segments.get_or_insert_with(SegmentCourse::new)
    }

    const fn of(&self, end: End) -> &OfEnd {
        match end {
            End::Client => &self.client,
            End::Server => &self.server,
        }
    }

    const fn of_mut(&mut self, end: End) -> &mut OfEnd {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }
}
