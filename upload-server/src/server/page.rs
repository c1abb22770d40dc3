//! `GET /`: a page with a form, the latest uploads and the stored files. It works without a script;
//! with one (`page/page.js`), it shows how far each upload is. The template has few places to fill,
//! too few for a template engine.

mod asset;
mod html;
mod lists;

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
use serde::Deserialize;

use self::html::{escape, fill};
use super::{
    access::Offer, blocking::off_the_runtime, error::Error, intake::Intake, journal::Journal,
    net::connection::RequestContext, store::OnDuplicate,
};

const TEMPLATE: &str = include_str!("page/page.html");

/// Nothing but what this server serves in files of its own, and no script within the HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// How many uploads are listed at a time.
const LISTED: u32 = 20;

/// What the page shows.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) intake: Intake,
    pub(crate) journal: Arc<Journal>,
    pub(crate) offer: Offer,
    /// Whether a client has to show the token.
    pub(crate) with_token: bool,
}

/// Which of the uploads.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    /// Those before this one.
    before: Option<u64>,
}

/// What the page consists of besides its HTML.
pub(crate) fn assets() -> Router {
    Router::new().route("/page/{name}", get(asset::asset))
}

/// The page.
pub(crate) async fn index(
    State(page): State<Page>,
    Extension(context): Extension<RequestContext>,
    Query(shown): Query<PageQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let lists = match page.offer.listing {
        true => page.lists(shown.before).await?,
        false => String::new(),
    };
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("HOST");
    let user = if page.with_token { "-u :TOKEN " } else { "" };
    let origin = match context.connection.secure {
        true => format!("https://{host}"),
        false => format!("http://{host}"),
    };
    let most = page.intake.max_size.map(|bytes| bytes.to_string());
    let download = match page.offer.download {
        true => "/files/",
        false => "",
    };
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    let filled = fill(TEMPLATE, |place| match place {
        "user" => user.to_owned(),
        "origin" => escape(&origin),
        "rules" => rules(page.intake.store.on_duplicate(), page.intake.max_size),
        "most" => most.clone().unwrap_or_default(),
        "download" => download.to_owned(),
        "lists" => lists.clone(),
        _ => String::new(),
    });
    Ok((headers, Html(filled)).into_response())
}

impl Page {
    async fn lists(&self, before: Option<u64>) -> Result<String, Error> {
        let journal = Arc::clone(&self.journal);
        // One more, to know whether there are more.
        let latest = move || Ok::<_, Error>(journal.uploads.latest(before, LISTED + 1));
        let mut uploads = off_the_runtime(latest).await?;
        let files = self.intake.store.list().await?;
        let more = uploads.len() > LISTED as usize;
        uploads.truncate(LISTED as usize);
        let there: HashSet<&str> = files.iter().map(|entry| entry.name.as_str()).collect();
        let can_get = |name: &str| self.offer.download && there.contains(name);
        let uploads = lists::uploads(&uploads, more, before.is_some(), can_get);
        Ok(uploads + &lists::files(&files, self.offer.download))
    }
}

fn rules(on_duplicate: OnDuplicate, max_size: Option<u64>) -> String {
    let duplicates = match on_duplicate {
        OnDuplicate::Error => "A file whose name is taken is refused.",
        OnDuplicate::Rename => "A file whose name is taken gets another one.",
        OnDuplicate::Overwrite => "A file of the same name is replaced.",
    };
    match max_size {
        Some(bytes) => format!(
            "{duplicates} The largest file taken has {}.",
            html::human_size(bytes)
        ),
        None => duplicates.to_owned(),
    }
}
