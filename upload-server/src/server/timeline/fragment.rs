//! The part of a timeline that the upload page shows beside an upload: the chart, and whether all bytes
//! arrived. The upload's own page has the rest.

use maud::{Markup, html};
use upload_view::{
    chart,
    connection::{ends, warnings},
    integrity, paints,
};

use super::{Found, page::summary};

/// Without a timeline, only the link to the upload's page.
pub(super) fn fragment(found: &Found, address: &str) -> Markup {
    let upload = &found.upload;
    let name = upload.name.as_deref().unwrap_or("this upload");
    html! {
        (summary(upload))
        @for (number, timeline) in found.timelines.iter().enumerate() {
            (ends(timeline))
            (warnings(timeline))
            @let name = format!("t{}-{number}", upload.id);
            (paints(&name))
            (chart(timeline, &name))
        }
        @if !found.timelines.is_empty() {
            (integrity::verdict(upload, &found.timelines))
        }
        p { a href=(address) {
            @if found.timelines.is_empty() { "What is known of " } @else { "Every step and number of " }
            bdi { (name) }
        } }
    }
}
