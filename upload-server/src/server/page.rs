//! `GET /`: a page with a form, the latest uploads and the stored files. It works without a script;
//! with one (`page/page.js`), it shows the progress of each upload.

mod asset;
mod lists;
mod units;

use std::{collections::HashSet, sync::Arc};

use axum::{
    Extension, Router,
    extract::{Query, State},
    http::{
        HeaderMap,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST},
    },
    response::{Html, IntoResponse, Response},
    routing::get,
};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;
use upload_protocol::units::bytes;

use self::lists::Range;
use super::{
    access::Offer, blocking::off_the_runtime, error::Error, intake::Intake, journal::Journal,
    net::connection::RequestContext, store::OnDuplicate,
};

/// Only this server's own files, and no script within the HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// How many uploads the page lists.
const LISTED: u32 = 20;

#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) intake: Intake,
    pub(crate) journal: Arc<Journal>,
    pub(crate) offer: Offer,
    /// Whether requests need a token.
    pub(crate) with_token: bool,
}

#[derive(Deserialize)]
pub(crate) struct PageQuery {
    /// List the uploads before this one.
    before: Option<u64>,
}

/// The routes of the page's scripts and styles.
pub(crate) fn assets() -> Router {
    Router::new().route("/page/{name}", get(asset::asset))
}

pub(crate) async fn index(
    State(page): State<Page>,
    Extension(context): Extension<RequestContext>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let lists = if page.offer.listing {
        Some(page.lists(query.before).await?)
    } else {
        None
    };
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("HOST");
    let scheme = if context.connection.secure {
        "https"
    } else {
        "http"
    };
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    let html = page.html(&format!("{scheme}://{host}"), lists.as_ref());
    Ok((headers, Html(html.into_string())).into_response())
}

impl Page {
    async fn lists(&self, before: Option<u64>) -> Result<Markup, Error> {
        let journal = Arc::clone(&self.journal);
        // One more than is shown, to know whether older ones exist.
        let latest = move || Ok::<_, Error>(journal.uploads.latest(before, LISTED + 1));
        let mut uploads = off_the_runtime(latest).await?;
        let files = self.intake.store.list().await?;
        let range = Range {
            newer: before.is_some(),
            older: uploads.len() > LISTED as usize,
        };
        uploads.truncate(LISTED as usize);
        let stored: HashSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let can_download = |name: &str| self.offer.download && stored.contains(name);
        Ok(html! {
            (lists::uploads(&uploads, range, can_download))
            (lists::files(&files, self.offer.download))
        })
    }

    fn html(&self, origin: &str, lists: Option<&Markup>) -> Markup {
        let max_size = self.intake.max_size.map(|bytes| bytes.to_string());
        let download = if self.offer.download { "/files/" } else { "" };
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    link rel="icon" href="data:,";
                    title { "Upload" }
                    link rel="stylesheet" href="/page/page.css";
                    link rel="stylesheet" href="/page/timeline.css";
                    script type="module" src="/page/page.js" {}
                }
                body {
                    main {
                        h1 { "Upload" }
                        form #form method="post" action="/" enctype="multipart/form-data"
                            data-most=(max_size.unwrap_or_default()) data-download=(download)
                        {
                            label for="choose" {
                                "Choose files"
                                span.scripted hidden { ", or drop them anywhere on this page" }
                            }
                            input #choose type="file" name="file" multiple required;
                            button { "Upload" }
                        }
                        p { (rules(self.intake.store.on_duplicate(), self.intake.max_size)) }
                        p {
                            "From a shell: "
                            code {
                                "curl " @if self.with_token { "-u :TOKEN " } "-T FILE " (origin) "/"
                            }
                        }
                        p #tracer role="status" {}
                        section #here aria-labelledby="here-heading" hidden {
                            h2 #here-heading { "Uploads of this page" }
                            ol #items {}
                        }
                        div #lists { @if let Some(lists) = lists { (lists) } }
                    }
                    p #news.unseen role="status" {}
                    template #item { (item_template()) }
                }
            }
        }
    }
}

/// One upload of this page, which the script fills in.
fn item_template() -> Markup {
    html! {
        li.item {
            h3.name {}
            p.buttons {
                button.cancel type="button" { "Cancel" span.unseen.of {} }
                button.retry type="button" hidden { "Retry" span.unseen.of {} }
                button.remove type="button" hidden { "Hide" span.unseen.of {} }
            }
            progress max="1" value="0" {}
            p.state {}
            div.timeline {}
        }
    }
}

fn rules(on_duplicate: OnDuplicate, max_size: Option<u64>) -> String {
    let duplicates = match on_duplicate {
        OnDuplicate::Error => "A file whose name exists already is refused.",
        OnDuplicate::Rename => "A file whose name exists already gets another name.",
        OnDuplicate::Overwrite => "A file of the same name is replaced.",
    };
    match max_size {
        Some(size) => format!("{duplicates} Files may have up to {}.", bytes(size)),
        None => duplicates.to_owned(),
    }
}
