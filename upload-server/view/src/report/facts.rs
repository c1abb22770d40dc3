//! What a connection can be chosen by on the page: how far it came, and what held its uploads back.

use upload_protocol::{
    Timeline,
    timeline::{Ending, HeldBackBy},
};

/// What a connection is filtered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub(super) phase: Reached,
    /// One for each kind of verdict that its uploads have.
    pub(super) verdicts: Vec<Verdict>,
}

/// The phase that a connection came to, and how it left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    /// It never opened.
    Initiation,
    /// It is still open, or its end was not seen.
    Maintenance,
    /// Both directions were closed in order.
    Termination,
    /// It was reset, or a kernel gave it up.
    Broken,
}

/// What held an upload back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Cause(HeldBackBy),
    /// Nothing that lasted, or no single cause, or it was not measured.
    None,
    /// The connection carried no upload.
    NoUpload,
}

impl Facts {
    /// The facts of a connection.
    #[must_use]
    pub fn of(timeline: &Timeline) -> Self {
        let mut verdicts = Vec::new();
        for upload in &timeline.uploads {
            let verdict = upload.diagnosis.as_ref().and_then(|found| found.verdict);
            let verdict = verdict.map_or(Verdict::None, Verdict::Cause);
            if !verdicts.contains(&verdict) {
                verdicts.push(verdict);
            }
        }
        if verdicts.is_empty() {
            verdicts.push(Verdict::NoUpload);
        }
        Self {
            phase: reached(timeline),
            verdicts,
        }
    }
}

fn reached(timeline: &Timeline) -> Reached {
    let never_opened = timeline
        .initiation()
        .is_some_and(|phase| phase.failure.is_some());
    if never_opened {
        return Reached::Initiation;
    }
    match timeline.termination().and_then(|phase| phase.ending) {
        Some(Ending::Fin) => Reached::Termination,
        Some(Ending::Rst | Ending::Error) => Reached::Broken,
        None if timeline.maintenance().is_none() => Reached::Initiation,
        None => Reached::Maintenance,
    }
}

impl Reached {
    pub(super) const ALL: [Self; 4] = [
        Self::Initiation,
        Self::Maintenance,
        Self::Termination,
        Self::Broken,
    ];

    /// Of its class in HTML.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Initiation => "initiation",
            Self::Maintenance => "maintenance",
            Self::Termination => "termination",
            Self::Broken => "broken",
        }
    }

    pub(super) const fn phrase(self) -> &'static str {
        match self {
            Self::Initiation => "initiation: never opened",
            Self::Maintenance => "maintenance: still open, or its end was not seen",
            Self::Termination => "termination: closed",
            Self::Broken => "termination: reset, or given up",
        }
    }

    /// The same beside a connection.
    pub(super) const fn short(self) -> &'static str {
        match self {
            Self::Initiation => "never opened",
            Self::Maintenance => "open",
            Self::Termination => "closed",
            Self::Broken => "reset",
        }
    }
}

impl Verdict {
    /// All kinds, in the order of the page.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let causes = HeldBackBy::ALL.iter().copied().map(Self::Cause);
        causes.chain([Self::None, Self::NoUpload])
    }

    /// Of its class in HTML.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.name(),
            Self::None => "none",
            Self::NoUpload => "no_upload",
        }
    }

    pub(super) const fn phrase(self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.phrase(),
            Self::None => "nothing that is known",
            Self::NoUpload => "no upload",
        }
    }
}
