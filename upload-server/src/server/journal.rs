//! What happens to uploads, and all that learn of it: the upload log, the page's listeners and the
//! metrics.

use std::sync::Arc;

use super::{addresses::Addresses, metrics::Metrics, publisher::Publisher, upload_log::UploadLog};
use crate::record::Upload;

pub(crate) struct Journal {
    pub(crate) uploads: UploadLog,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) addresses: Addresses,
    pub(crate) metrics: Metrics,
}

impl Journal {
    pub(crate) fn new(uploads: UploadLog, addresses: Addresses) -> Self {
        Self {
            uploads,
            publisher: Arc::new(Publisher::new()),
            addresses,
            metrics: Metrics::new(),
        }
    }

    /// Publishes the record of an upload that has ended, well or badly.
    pub(crate) fn upload_ended(&self, upload: &Upload) {
        self.uploads.queue(upload);
        self.upload_kept(upload);
    }

    /// The same for a record that is in the history as it is.
    pub(crate) fn upload_kept(&self, upload: &Upload) {
        self.metrics.upload(upload);
        self.uploads.publish_upload(upload);
        // Listeners ask for the upload as soon as they know of it.
        self.publisher.upload(upload);
    }
}
