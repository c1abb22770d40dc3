//! Which cause held the upload back when: a ribbon on the chart's axis, and the same as a table.

use maud::{Markup, html};
use upload_protocol::{
    timeline::{CauseSpan, Diagnosis},
    units::{moment, took},
};

use super::{
    axis::Axis,
    causes::Looks,
    tables::{self, COURSE},
};

/// What is shorter than this part of the whole is not to be seen in the ribbon, and left out of the table.
const LEAST_PART: u64 = 200;

/// The ribbon, within the track of a row.
pub(super) fn ribbon(diagnosis: &Diagnosis, axis: &Axis, name: &str) -> Markup {
    let looks = Looks::new(&diagnosis.shares, name);
    html! {
        @for span in &diagnosis.course {
            @let (left, right) = axis.place(span.start_ns, span.end_ns);
            @let (from, to) = (moment(span.start_ns), moment(span.end_ns));
            (looks.stretch(
                span.cause,
                (left, right - left),
                &format!("{}, from {from} to {to}", diagnosis.phrase(span.cause)),
            ))
        }
    }
}

/// The same in words, but for what is too short to be seen.
pub(super) fn table(diagnosis: &Diagnosis) -> Markup {
    let seen = long_ones(&diagnosis.course, diagnosis.wall_ns / LEAST_PART);
    let rows = seen.iter().map(|span| {
        [
            diagnosis.phrase(span.cause),
            moment(span.start_ns).to_string(),
            moment(span.end_ns).to_string(),
            took(Some(span.start_ns), Some(span.end_ns)).unwrap_or_default(),
        ]
    });
    html! {
        @if !diagnosis.course.is_empty() {
            details {
                summary { "Which cause ruled when" }
                p.note { "The body is measured in pieces of 100 ms or more: in which order the causes of "
                    "one piece ruled is not known. What took less than 0.5 % of the time is left out." }
                (tables::known(&COURSE, rows))
            }
        }
    }
}

/// The spans of at least this length, joined where the same cause goes on after a shorter one.
fn long_ones(course: &[CauseSpan], least_ns: u64) -> Vec<CauseSpan> {
    let mut long: Vec<CauseSpan> = Vec::new();
    for span in course {
        if span.end_ns.saturating_sub(span.start_ns) < least_ns {
            continue;
        }
        match long.last_mut() {
            Some(last) if last.cause == span.cause => last.end_ns = span.end_ns,
            _ => long.push(*span),
        }
    }
    long
}

#[cfg(test)]
mod tests {
    use upload_protocol::timeline::{CauseSpan, Diagnosis, HeldBackBy, Share};

    use super::*;
    use crate::shown::Shown;

    fn diagnosis(course: &[(HeldBackBy, u64, u64)]) -> Diagnosis {
        let span = |(cause, start_ns, end_ns): &(HeldBackBy, u64, u64)| CauseSpan {
            cause: *cause,
            start_ns: *start_ns,
            end_ns: *end_ns,
        };
        let course: Vec<CauseSpan> = course.iter().map(span).collect();
        let share = |cause| Share {
            cause,
            ns: 1,
            share: 0.4,
        };
        Diagnosis {
            wall_ns: course.last().unwrap().end_ns,
            shares: [HeldBackBy::Path, HeldBackBy::Loss, HeldBackBy::Other]
                .map(share)
                .to_vec(),
            course,
            ..Diagnosis::default()
        }
    }

    #[test]
    fn the_table_has_what_is_seen() {
        let text = table(&diagnosis(&[
            (HeldBackBy::Path, 0, 600),
            (HeldBackBy::Nagle, 600, 604),
            (HeldBackBy::Path, 604, 900),
            (HeldBackBy::Loss, 900, 1000),
        ]))
        .into_string();
        assert_eq!(text.matches("rowheader").count(), 2, "{text}");
        assert!(text.contains("the path</th>"), "{text}");
        assert!(text.contains("+900 ns") && text.contains("loss"), "{text}");
        assert!(!text.contains("Nagle"), "{text}");
    }

    /// Without a maintenance phase the axis has no place, but each span its words and its own look.
    #[test]
    fn each_cause_looks_different() {
        let axis = Axis::of(&Shown::default());
        let drawn = diagnosis(&[
            (HeldBackBy::Path, 0, 500),
            (HeldBackBy::Loss, 500, 900),
            (HeldBackBy::Tls, 900, 1000),
        ]);
        let text = ribbon(&drawn, &axis, "t1-0").into_string();
        for part in [
            "<use class=\"network\" href=\"#t1-0-cause-0\"",
            "<title>the path, from +0 ns to +500 ns</title>",
            "<use class=\"network\" href=\"#t1-0-cause-1\"",
            "<title>loss, from +500 ns to +900 ns</title>",
            "<use class=\"both\" href=\"#t1-0-cause-2\"",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
