//! A timeline as it is shown: it knows which of the connection's requests carried the upload that is shown, if it is
//! one upload's.

use std::{ops::Deref, sync::Arc};

use upload_protocol::timeline::{Exchange, Timeline, UploadHop};

/// A timeline, and which of its requests are of the upload that is shown.
#[derive(Debug, Default)]
pub struct Shown {
    timeline: Arc<Timeline>,
    /// By their sequence on the connection.
    own: Vec<u32>,
}

impl Shown {
    /// `is_own`: whether a request carried the upload, or a part of it.
    #[must_use]
    pub fn new(timeline: impl Into<Arc<Timeline>>, is_own: impl Fn(&Exchange) -> bool) -> Self {
        let timeline = timeline.into();
        let own = timeline.exchanges().iter().filter(|found| is_own(found));
        Self {
            own: own.map(|exchange| exchange.sequence).collect(),
            timeline,
        }
    }

    /// Whether the request carried the upload that is shown, or a part of it.
    pub(super) fn is_own(&self, exchange: &Exchange) -> bool {
        self.own.contains(&exchange.sequence)
    }

    /// The requests that carried the upload.
    pub(super) fn own(&self) -> impl Iterator<Item = &Exchange> {
        let exchanges = self.exchanges().iter();
        exchanges.filter(|exchange| self.is_own(exchange))
    }

    /// The same; all requests where none is known to have carried it.
    pub(super) fn own_or_all(&self) -> impl Iterator<Item = &Exchange> {
        let exchanges = self.exchanges().iter();
        exchanges.filter(|exchange| self.own.is_empty() || self.is_own(exchange))
    }

    /// The connections that carried this upload, where there are several.
    pub(super) fn hops_of(&self, upload: &str) -> Option<&[UploadHop]> {
        hops_of(self, upload)
    }
}

/// The connections that carried an upload of this timeline, where there are several.
pub(super) fn hops_of<'a>(timeline: &'a Timeline, upload: &str) -> Option<&'a [UploadHop]> {
    let mut uploads = timeline.uploads.iter();
    let own = uploads.find(|one| one.id == upload)?;
    (!own.hops.is_empty()).then_some(own.hops.as_slice())
}

impl Deref for Shown {
    type Target = Timeline;

    fn deref(&self) -> &Timeline {
        &self.timeline
    }
}
