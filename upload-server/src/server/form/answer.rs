//! The answer to a form: what became of each of its files.

use std::collections::HashSet;

use axum::{
    http::{HeaderName, StatusCode, header::CONTENT_TYPE},
    response::{AppendHeaders, IntoResponse, Response},
};

use crate::server::{
    encoding::json_line, error::Error, name::Name, store::OnDuplicate, transfer::Receipt,
};

/// The most files whose timelines have a Link field each. Proxies refuse a large header, such as nginx
/// one of more than 4 KiB.
const MAX_LINKS: usize = 8;

/// About how long the list of files may grow: some 30,000 of them.
const MAX_LIST: usize = 4 * 1024 * 1024;

pub(super) struct Answer {
    on_duplicate: OnDuplicate,
    /// The receipts as the members of a JSON array.
    list: String,
    files: usize,
    /// Of no file where there are too many.
    links: Vec<(HeaderName, String)>,
    /// The names of the files, where files replace others of the same name.
    names: HashSet<String>,
}

impl Answer {
    pub(super) fn new(on_duplicate: OnDuplicate) -> Self {
        Self {
            on_duplicate,
            list: String::new(),
            files: 0,
            links: Vec::new(),
            names: HashSet::new(),
        }
    }

    /// How many files are stored.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    /// An error where a file of this name cannot be stored beside those before it.
    pub(super) fn expect(&mut self, name: &Name) -> Result<(), Error> {
        if self.list.len() > MAX_LIST {
            return Err(Error::Protocol {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                detail: "the form has too many files: send the others in another form".to_owned(),
            });
        }
        if self.on_duplicate == OnDuplicate::Overwrite
            && !self.names.insert(name.as_str().to_owned())
        {
            return Err(Error::Protocol {
                status: StatusCode::CONFLICT,
                detail: "the form has another file of this name, which this one would replace"
                    .to_owned(),
            });
        }
        Ok(())
    }

    pub(super) fn add(&mut self, receipt: &Receipt) {
        if self.files > 0 {
            self.list.push(',');
        }
        self.list += json_line(receipt).trim_end();
        self.files += 1;
        if self.files <= MAX_LINKS {
            self.links.push(receipt.link());
        } else {
            self.links.clear();
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let content_type = [(CONTENT_TYPE, "application/json")];
        let list = format!("[{}]\n", self.list);
        (
            StatusCode::CREATED,
            content_type,
            AppendHeaders(self.links),
            list,
        )
            .into_response()
    }
}
