//! The fields of a request of HTTP/2. One that was sent before is a single byte (RFC 7541), and takes a hundred
//! bytes in memory. hyper limits their number in HTTP/1.1 alone.

use axum::http::{HeaderMap, header::COOKIE};

/// The most fields of a request, as in HTTP/1.1.
pub(super) const MOST: usize = 100;

/// Returns whether there are more fields than allowed, of which it keeps none.
pub(super) fn limit(fields: &mut HeaderMap) -> bool {
    // Browsers send each cookie in a field of its own (RFC 9113, 8.2.3). No route knows any, and programs on
    // other ports of this machine may have set many.
    fields.remove(COOKIE);
    if fields.len() > MOST {
        *fields = HeaderMap::new();
        return true;
    }
    if fields.capacity() > 2 * fields.len() {
        // A clone has no room for more.
        *fields = fields.clone();
    }
    false
}
