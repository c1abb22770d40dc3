//! Draws timelines of connections: as HTML that needs no script, as HAR, and as trace events. The upload server
//! shows an upload's connections so, the tracer any.
//!
//! Pure: it reads no clock and opens nothing. Text within is escaped; what is hidden in it, such as marks that turn
//! its direction, is for the caller to escape ([`upload_protocol::plain`]), who has the whole of it.

mod axis;
mod causes;
mod chart;
pub mod connection;
mod evidence;
pub mod har;
mod held_back;
pub mod integrity;
pub mod perfetto;
mod phase_details;
mod plots;
pub mod report;
mod ribbon;
mod sentences;
mod sequence;
mod shown;
mod tables;
mod way;

pub use self::{
    chart::{chart, paints},
    report::Gaps,
    shown::Shown,
    way::way,
};

/// The style sheet of all that is HTML here.
pub const STYLE: &str = include_str!("timeline.css");
