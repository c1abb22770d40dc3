//! What held the upload back: one bar of shares, each with the numbers that it is known by.

use maud::{Markup, html};
use upload_protocol::{
    explain,
    timeline::{Certainty, Diagnosis, EstimatedBy, NoVerdict, Timeline, UploadSummary},
    units::duration,
};

use super::{
    causes::Looks,
    connection::Names,
    evidence::{key_of, numbers},
    ribbon,
};

/// The uploads of a connection whose diagnoses are shown; the others are counted.
const MAX_SHOWN: usize = 8;

/// What held the uploads of this connection back.
pub(super) fn held_back(timeline: &Timeline, names: Names<'_>) -> Markup {
    let shown = || timeline.uploads.iter().filter_map(shown_of);
    let several = shown().count() > 1;
    html! {
        @for (place, (upload, diagnosis)) in shown().take(MAX_SHOWN).enumerate() {
            @if several {
                h3 { "What held " bdi { (upload.name.as_deref().unwrap_or(&upload.id)) } " back" }
            } @else {
                h3 { "What held it back" }
            }
            @let own = if place == 0 { names.own.to_owned() } else { format!("{}-{place}", names.own) };
            (shares(diagnosis, names.with_own(&own)))
        }
        @if shown().count() > MAX_SHOWN {
            p.note { "What held " (shown().count() - MAX_SHOWN) " more uploads back is not shown here." }
        }
    }
}

/// One diagnosis.
fn shares(diagnosis: &Diagnosis, names: Names<'_>) -> Markup {
    let name = names.own;
    let numbers = numbers(diagnosis);
    let looks = Looks::new(&diagnosis.shares, names.paints);
    let shown = || diagnosis.shares.iter().filter(|share| share.share > 0.0);
    let keys: Vec<_> = shown().map(|share| key_of(share.cause, &numbers)).collect();
    let is_linked = |key| keys.contains(&Some(key));
    html! {
        p.held-back {
            strong { (diagnosis.sentence) }
            @if let Some(advice) = &diagnosis.advice { " " (advice) }
        }
        (bar(diagnosis, &looks))
        ul.shares {
            @for (share, key) in shown().zip(&keys) {
                li {
                    (looks.swatch(share.cause))
                    @let text = format!("{} {}", diagnosis.phrase(share.cause), percent(share.share));
                    @match key {
                        Some(key) => a href=(format!("#{name}-{key}")) { (text) },
                        None => (text),
                    }
                    span { (duration(share.ns)) }
                }
            }
        }
        p.note {
            @match diagnosis.certainty {
                _ if diagnosis.by == Some(EstimatedBy::Segments) => "Estimated from the segments of the capture.",
                Certainty::Observed => "The kernel measured it.",
                Certainty::Inferred => "Inferred from what the kernel measured.",
                Certainty::Unknown => "Not measured.",
            }
            @if !numbers.is_empty() { " The numbers behind it:" }
        }
        dl.evidence {
            @for (key, label, value) in &numbers {
                div id=[is_linked(*key).then(|| format!("{name}-{key}"))] { dt { (label) } dd { (value) } }
            }
        }
        (ribbon::table(diagnosis))
        details {
            summary { "What that means" }
            @for sentence in explain::diagnosis(diagnosis) { p.note { (sentence) } }
        }
    }
}

/// The first diagnosis that is shown.
pub(super) fn shown_diagnosis(timeline: &Timeline) -> Option<&Diagnosis> {
    let (_, diagnosis) = timeline.uploads.iter().find_map(shown_of)?;
    Some(diagnosis)
}

fn shown_of(upload: &UploadSummary) -> Option<(&UploadSummary, &Diagnosis)> {
    let diagnosis = upload.diagnosis.as_deref()?;
    is_shown(diagnosis).then_some((upload, diagnosis))
}

/// A short or a fast upload was not held back, unless a time-out ended it.
fn is_shown(diagnosis: &Diagnosis) -> bool {
    let is_nothing = matches!(
        diagnosis.no_verdict,
        Some(NoVerdict::Short | NoVerdict::Fast | NoVerdict::Unknown)
    );
    !is_nothing || diagnosis.ended_by.is_some()
}

fn bar(diagnosis: &Diagnosis, looks: &Looks<'_>) -> Markup {
    let shares = &diagnosis.shares;
    let begins = shares.iter().scan(0.0, |end, share| {
        let begin = *end;
        *end += share.share;
        Some(begin)
    });
    html! {
        svg.causes aria-hidden="true" {
            @for (share, begin) in shares.iter().zip(begins) {
                (looks.stretch(share.cause, (begin * 100.0, share.share * 100.0), &diagnosis.phrase(share.cause)))
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use upload_protocol::timeline::{
        Certainty, Diagnosis, DiagnosisEvidence, HeldBackBy, NoVerdict, Share, Side, Timeline,
        UploadSummary,
    };

    use super::{Names, held_back};

    const NAMES: Names<'_> = Names::alone("t1-0");

    fn timeline(diagnosis: Diagnosis) -> Timeline {
        Timeline {
            uploads: vec![UploadSummary {
                diagnosis: Some(Box::new(diagnosis)),
                ..UploadSummary::default()
            }],
            ..Timeline::default()
        }
    }

    fn share(cause: HeldBackBy, share: f64) -> Share {
        Share {
            cause,
            ns: 1_000_000,
            share,
        }
    }

    #[test]
    fn each_share_leads_to_its_evidence() {
        let diagnosis = Diagnosis {
            verdict: Some(HeldBackBy::ServerNotReading),
            side: Some(Side::Server),
            certainty: Certainty::Observed,
            shares: vec![
                share(HeldBackBy::ServerNotReading, 0.9),
                share(HeldBackBy::Tls, 0.1),
            ],
            evidence: DiagnosisEvidence {
                unread_bytes: Some(2_000_000),
                ..DiagnosisEvidence::default()
            },
            sentence: "It did <not> read.".to_owned(),
            advice: Some("Look at the disk.".to_owned()),
            ..Diagnosis::default()
        };
        let page = held_back(&timeline(diagnosis), NAMES).into_string();
        for part in [
            "It did &lt;not&gt; read.</strong> Look at the disk.",
            "<a href=\"#t1-0-unread\">the server's process, which did not read 90 %</a>",
            "the TLS handshake 10 %<span>1.0 ms</span>",
            "<div id=\"t1-0-unread\"><dt>Most that waited for the server's process</dt><dd>2.0 MB</dd>",
            "x=\"90%\" width=\"10%\"",
            "The kernel measured it.",
            "90 % server_not_reading, the server's process, which did not read: ",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }

    #[test]
    fn a_short_upload_shows_nothing() {
        let short = Diagnosis {
            no_verdict: Some(NoVerdict::Short),
            ..Diagnosis::default()
        };
        assert_eq!(held_back(&timeline(short), NAMES).into_string(), "");
        assert_eq!(held_back(&Timeline::default(), NAMES).into_string(), "");
    }
}
