//! An error as a page, for people whose browser sent the request itself: a form without the script, or
//! an address that they typed.

use axum::{
    Extension,
    extract::Request,
    http::{
        HeaderValue,
        header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use crate::server::{
    form::wants_html,
    net::connection::RequestContext,
    page::{head::head, visible},
    relative::Links,
};

/// The server's own style, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// The sentence of an error, kept with its response.
#[derive(Clone)]
pub(super) struct Detail(pub(super) String);

/// A layer that replaces problem documents by pages, where the client prefers pages.
pub(crate) async fn for_browsers(
    Extension(context): Extension<RequestContext>,
    request: Request,
    next: Next,
) -> Response {
    let links = wants_html(request.headers()).then(|| context.links(request.uri().path()));
    let response = next.run(request).await;
    match (links, response.extensions().get::<Detail>()) {
        (Some(links), Some(detail)) => {
            let page = page(&response, detail, &links);
            in_its_place(response, page)
        }
        _ => response,
    }
}

/// The page with the status and the fields of the response.
fn in_its_place(response: Response, page: Markup) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    let mut shown = visible(page).into_response();
    shown.headers_mut().extend(parts.headers);
    *shown.status_mut() = parts.status;
    shown
}

fn page(response: &Response, Detail(detail): &Detail, links: &Links) -> Markup {
    let title = response.status().canonical_reason().unwrap_or("Refused");
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title, links, &["page.css"])) }
            body {
                main {
                    h1 { (title) }
                    p { (as_sentence(detail)) }
                    p { a href=(links.to("/")) { "Back to the upload page" } }
                }
            }
        }
    }
}

/// With a capital and a full stop.
fn as_sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let first = letters.next().map(char::to_uppercase);
    first
        .into_iter()
        .flatten()
        .chain(letters)
        .chain(['.'])
        .collect()
}
