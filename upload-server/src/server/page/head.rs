//! What the heads of all pages have in common.

use maud::{Markup, html};

use super::ASSETS;
use crate::server::relative::Links;

/// The elements in the head of a page with these styles.
pub(crate) fn head(title: &str, links: &Links, styles: &[&str]) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        link rel="icon" href="data:,";
        title { (title) }
        @for style in styles {
            link rel="stylesheet" href=(links.to(&format!("{ASSETS}{style}")));
        }
    }
}
