//! Opens the history. Uploads are taken without it, too.

use std::io::{self, Write};

use upload_server::server::History;

use crate::options::Options;

/// The history that the command line asks for, or a sentence that says why there is none.
pub(crate) fn open(options: &Options) -> Option<History> {
    let keep = options.storage.history;
    if keep == 0 {
        return None;
    }
    match History::open(&options.state, keep, options.storage.fsync) {
        Ok(history) => Some(history),
        Err(error) => {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(
                io::stderr(),
                "upload-server: no history is kept in {}, {error}: choose another directory with \
                 --state, or --history 0",
                options.state.display()
            );
            None
        }
    }
}
