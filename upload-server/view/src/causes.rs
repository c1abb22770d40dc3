//! How a cause looks, wherever it is drawn: the colour of its side, and a texture by its rank among the
//! shares, which tells it from the others without colour.

use maud::{Markup, html};
use upload_protocol::timeline::{HeldBackBy, Share, Side};

use super::axis::percent;

/// How many textures there are beside the plain one. Causes of a lower rank have the last.
const TEXTURES: usize = 5;

pub(super) struct Looks<'a> {
    shares: &'a [Share],
    /// Tells the chart, which has the symbols, from others on the page.
    name: &'a str,
}

impl<'a> Looks<'a> {
    pub(super) const fn new(shares: &'a [Share], name: &'a str) -> Self {
        Self { shares, name }
    }

    /// A stretch of a bar, in per cent of it.
    pub(super) fn stretch(
        &self,
        cause: HeldBackBy,
        (left, width): (f64, f64),
        title: &str,
    ) -> Markup {
        html! {
            use.(side(cause)) href=(self.paint(cause)) x=(percent(left)) width=(percent(width)) {
                title { (title) }
            }
        }
    }

    /// The same beside its words.
    pub(super) fn swatch(&self, cause: HeldBackBy) -> Markup {
        html! {
            svg aria-hidden="true" { use.(side(cause)) href=(self.paint(cause)) {} }
        }
    }

    /// The symbol to draw it with; the plain one for the largest cause. A cause below 1 % looks as the others of its
    /// kind do.
    fn paint(&self, cause: HeldBackBy) -> String {
        let rank = |cause| self.shares.iter().position(|share| share.cause == cause);
        let rank = rank(cause).or_else(|| rank(HeldBackBy::Other));
        let texture = rank.unwrap_or(TEXTURES).min(TEXTURES);
        format!("#{}-cause-{texture}", self.name)
    }
}

/// The textures, and what causes are drawn with: the colour of their side, and a texture on it.
pub(super) fn textures(name: &str) -> Markup {
    let stripes = html! { rect.ink width="3" height="8" {} };
    let dots = html! { circle.ink cx="4" cy="4" r="2" {} };
    let lines = html! { rect.ink width="8" height="2" {} };
    let grid = html! { rect.ink width="8" height="2" {} rect.ink y="2" width="2" height="6" {} };
    let textures: [(&str, Markup); TEXTURES] = [
        ("rotate(45)", stripes.clone()),
        ("", dots),
        ("", lines),
        ("rotate(-45)", stripes),
        ("", grid),
    ];
    let whole = html! { rect width="100%" height="100%" {} };
    html! {
        symbol id=(format!("{name}-cause-0")) { (whole) }
        @for (number, (transform, drawn)) in (1..).zip(textures) {
            @let texture = format!("{name}-texture-{number}");
            pattern id=(texture) width="8" height="8"
                patternUnits="userSpaceOnUse" patternTransform=(transform) {
                (drawn)
            }
            symbol id=(format!("{name}-cause-{number}")) {
                (whole)
                rect width="100%" height="100%" fill=(format!("url(#{texture})")) {}
            }
        }
    }
}

const fn side(cause: HeldBackBy) -> &'static str {
    match cause.side() {
        Some(Side::Client) => "client",
        Some(Side::Network) => "network",
        Some(Side::Server) => "server",
        Some(Side::Both) => "both",
        None => "none",
    }
}
