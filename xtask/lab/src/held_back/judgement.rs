//! What the tracer said of one upload, against what is true of it.

use upload_protocol::{
    Timeline,
    timeline::{Certainty, Diagnosis, HeldBackBy},
};

use super::{
    Run, SeenFrom,
    scenario::{Scenario, Share, Truth},
};

/// How far a share may be from the truth, in hundredths.
const CLOSE: f64 = 5.0;

/// Of one run, from where it was seen.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) scenario: &'static Scenario,
    pub(crate) from: SeenFrom,
    /// The number of the run.
    pub(crate) number: u16,
    /// One of each upload that is judged.
    pub(crate) uploads: Vec<Judged>,
}

/// What was said of one upload.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) is_right: bool,
    /// What was told was another side, and as observed.
    pub(crate) is_wrong_side: bool,
    /// It was another side, however certain.
    pub(crate) is_other_side: bool,
    pub(crate) verdict: String,
    pub(crate) certainty: Certainty,
    /// The share of the true cause in hundredths; `None` where nothing is true.
    pub(crate) share: Option<f64>,
    /// How far that is from a share that is known, in hundredths.
    pub(crate) error: Option<f64>,
    /// Everything that was said.
    pub(crate) told: String,
}

impl Judgement {
    pub(crate) fn of(
        scenario: &'static Scenario,
        from: SeenFrom,
        run: &Run,
        timelines: &[&Timeline],
    ) -> Self {
        let uploads = timelines.iter().flat_map(|timeline| {
            // The first request of several pays for the connection.
            let paying = usize::from(timeline.uploads.len() > 1);
            timeline.uploads.iter().skip(paying)
        });
        let diagnoses = uploads.map(|upload| upload.diagnosis.as_deref());
        let mut judged: Vec<Judged> = diagnoses
            .filter_map(|diagnosis| match (diagnosis, scenario.truth) {
                (Some(diagnosis), _) => Some(judge(scenario, from, run, diagnosis)),
                // Too short to be measured at all.
                (None, Truth::Nothing) => Some(Judged::silent("no diagnosis", true)),
                (None, _) => None,
            })
            .collect();
        if judged.is_empty() {
            judged.push(Judged::silent("no upload", false));
        }
        Self {
            scenario,
            from,
            number: run.number,
            uploads: judged,
        }
    }
}

impl Judged {
    fn silent(told: &str, is_right: bool) -> Self {
        Self {
            is_right,
            is_wrong_side: false,
            is_other_side: false,
            verdict: told.to_owned(),
            certainty: Certainty::Unknown,
            share: None,
            error: None,
            told: told.to_owned(),
        }
    }
}

fn judge(scenario: &Scenario, from: SeenFrom, run: &Run, diagnosis: &Diagnosis) -> Judged {
    let truth = scenario.truth;
    let right = truth.verdicts(from);
    let share = (!right.is_empty()).then(|| share_of(diagnosis, &right));
    let error = share.and_then(|share| Some(share - known(truth, run, diagnosis)?));
    let is_enough = match (truth.share(), share) {
        (Some(Share::AtLeast(least)), Some(share)) => share >= f64::from(least),
        (Some(Share::Within(least, most)), Some(share)) => {
            share >= f64::from(least) && share <= f64::from(most)
        }
        _ => error.is_none_or(|error| error.abs() <= CLOSE),
    };
    let is_right = match diagnosis.verdict {
        None => truth.may_be_silent(from) && diagnosis.advice.is_none(),
        Some(verdict) => right.contains(&verdict) && is_enough,
    };
    let is_other_side = match diagnosis.verdict {
        Some(verdict) => !truth.sides().contains(&diagnosis.side) && !right.contains(&verdict),
        None => false,
    };
    let is_observed = diagnosis.certainty == Certainty::Observed;
    let is_wrong_side =
        is_observed && diagnosis.verdict.is_some() && !truth.sides().contains(&diagnosis.side);
    // Segments show what a kernel does, and are no measurement of it.
    let is_right = is_right && !(from.is_capture() && is_observed);
    let verdict = match (diagnosis.verdict, diagnosis.no_verdict) {
        (Some(verdict), _) => verdict.name(),
        (None, Some(reason)) => reason.name(),
        (None, None) => "none",
    };
    Judged {
        is_right,
        is_wrong_side,
        is_other_side,
        verdict: verdict.to_owned(),
        certainty: diagnosis.certainty,
        share,
        error,
        told: serde_json::to_string(diagnosis).unwrap_or_default(),
    }
}

/// The share that a cause must have, in hundredths, where it is known to the millisecond.
fn known(truth: Truth, run: &Run, diagnosis: &Diagnosis) -> Option<f64> {
    let ns = match truth {
        Truth::Held(cause, Share::Timed) => {
            let held = run.held.iter().filter(|held| held.cause == cause);
            held.map(|held| held.ns).sum()
        }
        Truth::Held(_, Share::Lasts(ms)) => u64::from(ms) * 1_000_000,
        _ => return None,
    };
    Some(ns as f64 / diagnosis.wall_ns.max(1) as f64 * 100.0)
}

fn share_of(diagnosis: &Diagnosis, causes: &[HeldBackBy]) -> f64 {
    let shares = diagnosis.shares.iter();
    let right = shares.filter(|share| causes.contains(&share.cause));
    right.fold(0.0, |sum, share| sum + (share.share * 100.0).round())
}

#[cfg(test)]
mod tests {
    use upload_protocol::timeline::{Share as Part, Side};

    use super::*;
    use crate::held_back::scenario::{Client, Held, Server};

    const PAUSE: Scenario = Scenario {
        name: "a pause of a second",
        up: "",
        down: "",
        server: Server::Ends(""),
        client: Client::Ends("pause=1"),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::Timed),
    };

    /// Of an upload of two seconds, of which one cause held back so many hundredths.
    fn told(scenario: &Scenario, cause: Option<HeldBackBy>, hundredths: u32) -> Judged {
        let shares = cause.map(|cause| Part {
            cause,
            ns: 0,
            share: f64::from(hundredths) / 100.0,
        });
        let diagnosis = Diagnosis {
            verdict: cause,
            side: cause.and_then(HeldBackBy::side),
            certainty: Certainty::Observed,
            wall_ns: 2_000_000_000,
            shares: shares.into_iter().collect(),
            ..Diagnosis::default()
        };
        let run = Run {
            scenario: scenario.name.to_owned(),
            number: 0,
            held: vec![Held {
                cause: HeldBackBy::ClientApplication,
                ns: 1_000_000_000,
            }],
        };
        judge(scenario, SeenFrom::Both, &run, &diagnosis)
    }

    #[test]
    fn a_timed_share_is_right_within_five_points() {
        let client = Some(HeldBackBy::ClientApplication);
        for (hundredths, is_right) in [(45, true), (55, true), (44, false), (56, false)] {
            let judged = told(&PAUSE, client, hundredths);
            assert_eq!(judged.is_right, is_right, "{hundredths} %");
            assert!(!judged.is_wrong_side);
        }
    }

    #[test]
    fn another_side_is_wrong_and_so_is_no_verdict() {
        assert_eq!(HeldBackBy::ServerThinks.side(), Some(Side::Server));
        let judged = told(&PAUSE, Some(HeldBackBy::ServerThinks), 50);
        assert!(judged.is_wrong_side && !judged.is_right);
        let judged = told(&PAUSE, None, 0);
        assert!(!judged.is_wrong_side && !judged.is_right);
    }

    #[test]
    fn what_nothing_holds_back_has_no_verdict() {
        let nothing = Scenario {
            truth: Truth::Nothing,
            ..PAUSE
        };
        assert!(told(&nothing, None, 0).is_right);
        let judged = told(&nothing, Some(HeldBackBy::ClientApplication), 50);
        assert!(!judged.is_right && judged.is_wrong_side);
    }
}
