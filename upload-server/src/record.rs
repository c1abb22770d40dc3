//! The upload records, as the protocol defines them.

pub use upload_protocol::upload::*;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An upload that went well.
    pub(crate) fn upload(id: u64) -> Upload {
        Upload {
            id: id.to_string(),
            cookie: Cookie(7),
            request: 1,
            client: ([192, 0, 2, 1], 4_000).into(),
            forwarded_for: None,
            method: "PUT".to_owned(),
            target: "/file".to_owned(),
            target_bytes: None,
            version: "HTTP/1.1".to_owned(),
            name: Some("file".to_owned()),
            request_id: None,
            content_length: Some(3),
            bytes: 3,
            stored_bytes: None,
            sha256: None,
            status: None,
            outcome: Outcome::Complete,
            error: None,
            connections: Vec::new(),
            times: Times::default(),
        }
    }
}
