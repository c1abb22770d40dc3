//! One connection, drawn whole.

use std::cell::RefCell;

use maud::{Markup, html};
use upload_protocol::{
    End, RolesFrom, explain,
    timeline::{Certainty, Endpoint, Incomplete, Timeline},
    units::socket_address,
};

use super::{
    chart::{chart, paints},
    held_back::held_back,
    plots::plots,
    sentences::Sentences,
    sequence::sequence,
    shown::Shown,
    tables,
};

/// How a connection is distinguished from others on its page.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Begins its identifiers.
    pub(super) own: &'a str,
    /// Begins those of the [paints](crate::paints).
    pub(super) paints: &'a str,
    /// Those that the connections of a page have in common; none where it is alone on it.
    pub(super) sentences: Option<&'a RefCell<Sentences>>,
}

impl<'a> Names<'a> {
    /// A connection with its own heading, paints and hint.
    #[must_use]
    pub const fn alone(name: &'a str) -> Self {
        Self {
            own: name,
            paints: name,
            sentences: None,
        }
    }

    /// One of many on a page, which has their ends, the paints, the hint, and the sentences.
    pub(super) const fn of_many(
        own: &'a str,
        paints: &'a str,
        sentences: &'a RefCell<Sentences>,
    ) -> Self {
        Self {
            own,
            paints,
            sentences: Some(sentences),
        }
    }

    /// For one of several parts of the connection.
    pub(super) const fn with_own<'b>(self, own: &'b str) -> Names<'b>
    where
        'a: 'b,
    {
        Names { own, ..self }
    }
}

/// The phases of a connection as a chart, each step, and the numbers.
#[must_use]
pub fn connection(timeline: &Shown, names: Names<'_>) -> Markup {
    let is_alone = names.sentences.is_none();
    html! {
        @if is_alone {
            (ends(timeline))
            (paints(names.paints))
        }
        (warnings(timeline))
        (chart(timeline, names.paints))
        (held_back(timeline, names))
        (plots(timeline))
        h3 { "Step by step" }
        @if is_alone { (hint()) }
        (sequence(timeline, names))
        h3 { "In numbers" }
        (tables::phases(timeline))
        (tables::exchanges(timeline))
    }
}

/// How to read the steps.
pub(super) fn hint() -> Markup {
    html! {
        p.hint { "Point at a step, tap it or move to it with the Tab key: it says what it means." }
    }
}

/// The two ends of the connection.
#[must_use]
pub fn ends(timeline: &Timeline) -> Markup {
    html! {
        p.ends-of {
            (end(End::Client, &timeline.client)) span aria-hidden="true" { " → " }
            i { " to " } (end(End::Server, &timeline.server))
        }
    }
}

/// What limits the rest of the page.
#[must_use]
pub fn warnings(timeline: &Timeline) -> Markup {
    html! {
        @if timeline.open {
            p.warning.open {
                "So far: the connection is still open"
                @for reason in timeline.incomplete.iter().filter(|reason| !matches!(reason, Incomplete::StillOpen | Incomplete::LeftOut)) {
                    ", and " (reason.name())
                }
                "."
            }
        } @else {
            @for reason in timeline.incomplete.iter().filter(|reason| **reason != Incomplete::LeftOut) {
                p.warning { "Incomplete: " (reason.name()) "." }
            }
        }
        @for omission in &timeline.left_out {
            p.warning {
                "Left out: "
                @if let Some(count) = omission.count { (count) " " }
                (omission.what) "."
            }
        }
        @if timeline.lost > 0 {
            p.warning { (timeline.lost) " records were lost meanwhile, of whichever connection." }
        }
        @if timeline.roles == Certainty::Inferred {
            p.note {
                @match timeline.roles_from {
                    RolesFrom::Simultaneous => "Both ends opened it at once: which one is called the client is a convention.",
                    RolesFrom::Listener => "Which end is the client is inferred from where somebody listens.",
                    RolesFrom::Payload => "Which end is the client is inferred from what they sent.",
                    _ => "Which end is the client is inferred from the ports.",
                }
            }
        }
    }
}

fn end(which: End, end: &Endpoint) -> Markup {
    html! {
        span.end {
            (which.name()) " "
            (endpoint(end))
            @if let Some(container) = explain::container(&end.owner) {
                " in " span title=[explain::explain_place(which, &end.owner)] { (container) }
            }
        }
    }
}

/// The process of an end, and its address.
pub(super) fn endpoint(end: &Endpoint) -> Markup {
    html! {
        @if let Some(comm) = &end.owner.comm {
            b { (comm) }
            @if let Some(pid) = end.owner.pid { "[" (pid) "]" }
            " "
        }
        (socket_address(end.addr, end.port))
    }
}
