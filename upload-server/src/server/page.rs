//! `GET /`: a page with a form, the latest uploads and the stored files. It works without a script;
//! with one (`page/page.js`), it shows the progress of each upload.

mod asset;
pub(crate) mod head;
mod lists;
mod units;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Router,
    extract::{Query, State},
    http::{
        HeaderMap, Uri,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
    },
    response::{Html, IntoResponse, Response},
    routing::get,
};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;
use upload_protocol::{plain::plain_lines, units::bytes};

use self::{head::head, lists::Range};
use super::{
    access::{Offer, Target, host},
    blocking::off_the_runtime,
    error::Error,
    intake::Intake,
    journal::Journal,
    net::connection::RequestContext,
    relative::Links,
    store::{Listing, OnDuplicate, Place},
};

/// Only this server's own files, and no script within the HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// The path of the pages' scripts and styles.
pub(crate) const ASSETS: &str = "/page/";

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
    /// List the files behind this place.
    files_after: Option<String>,
}

/// The routes of the page's scripts and styles.
pub(crate) fn assets() -> Router {
    Router::new().route("/page/{name}", get(asset::asset))
}

pub(crate) async fn index(
    State(page): State<Page>,
    Extension(context): Extension<RequestContext>,
    Query(query): Query<PageQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let links = context.links(uri.path());
    let lists = if page.offer.listing {
        Some(page.lists(&query, &links, context.client()).await?)
    } else {
        None
    };
    let host = Target::of(host(&uri, &headers).as_ref(), &context);
    let host = host.as_ref().map_or("HOST", |target| target.host.as_str());
    let scheme = if context.is_secure() { "https" } else { "http" };
    let address = format!("{scheme}://{host}{}", links.absolute("/"));
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    let html = page.html(&address, &links, lists.as_ref());
    Ok((headers, visible(html)).into_response())
}

/// The page with its hidden characters escaped: they show another name than there is, and `bdi` limits only some of
/// them.
pub(crate) fn visible(page: Markup) -> Html<String> {
    Html(plain_lines(&page.into_string()).into_owned())
}

impl Page {
    async fn lists(
        &self,
        query: &PageQuery,
        links: &Links,
        client: IpAddr,
    ) -> Result<Markup, Error> {
        let before = query.before;
        let journal = Arc::clone(&self.journal);
        // One more than is shown, to know whether older ones exist.
        let latest = move || Ok::<_, Error>(journal.uploads.latest(before, LISTED + 1));
        let mut uploads = off_the_runtime(latest).await?;
        let files = self.files(query.files_after.as_deref(), client).await?;
        let range = Range {
            newer: before.is_some(),
            older: uploads.len() > LISTED as usize,
        };
        uploads.truncate(LISTED as usize);
        let names = uploads.iter().filter_map(|upload| upload.name.clone());
        let stored = self.intake.store.names_of_files(names.collect()).await?;
        let can_download = |name: &str| self.offer.download && stored.contains(name);
        Ok(html! {
            (lists::uploads(&uploads, range, links, can_download))
            (lists::files(&files, query, links, self.offer.download))
        })
    }

    async fn files(&self, after: Option<&str>, client: IpAddr) -> Result<Listing, Error> {
        let place = match after.map(Place::parse) {
            Some(None) => return Err(Error::Malformed("files_after names no place".to_owned())),
            place => place.flatten(),
        };
        self.intake.store.list(place, client).await
    }

    /// `address` is the server's, for clients other than browsers.
    fn html(&self, address: &str, links: &Links, lists: Option<&Markup>) -> Markup {
        let max_size = self.intake.max_size.map(|bytes| bytes.to_string());
        let download = self.offer.download.then(|| links.to("/files/"));
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    (head("Upload", links, &["page.css", "timeline.css"]))
                    script type="module" src=(links.to("/page/page.js")) {}
                }
                body {
                    main {
                        h1 { "Upload" }
                        form #form method="post" action=(links.to("/")) enctype="multipart/form-data"
                            data-most=(max_size.unwrap_or_default()) data-download=(download.unwrap_or_default())
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
                                "curl " @if self.with_token { "-u :TOKEN " } "-T FILE " span #address { (address) }
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
