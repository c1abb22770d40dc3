//! JSON as the server sends it: one object, one line.

use serde::Serialize;
use tracing::error;

/// The value as JSON, with a newline.
pub(crate) fn line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_else(|error| {
        error!(%error, "a value of ours cannot be written as JSON");
        "null".to_owned()
    });
    json + "\n"
}
