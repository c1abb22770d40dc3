//! Decides between encrypted requests by their heads: those of one kind of client have about as many bytes. What
//! requests had that were joined before is expected of the next ones, too.

use upload_protocol::timeline::Certainty;

use super::{Choice, Legs, fit::Fit};

/// Heads of one kind of client differ: in the name of the file, in its length.
const DIFFERENCE: u64 = 48;
/// Records and frames may be shorter than they could be: one byte of so many.
const SHORTER: u64 = 2_048;
/// TLS takes 22 bytes of 16,406 (RFC 8446, section 5.2).
const TLS_PER_MILLION: u64 = 1_341;
/// Fewer requests show nothing, and nor do those of about the same size of their records.
const FEWEST: usize = 3;
const LENGTHS_APART: u64 = 64 << 10;

/// What clients send beyond the bodies of their requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// For records and frames, of a million bytes.
    per_million: u64,
    /// For the head, at least and at most.
    head: (u64, u64),
}

/// An encrypted request whose body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of its body.
    pub body: u64,
    /// All bytes that the client sent for it.
    pub hidden: u64,
}

impl From<(u64, u64)> for Sizes {
    fn from((body, hidden): (u64, u64)) -> Self {
        Self { body, hidden }
    }
}

impl Sizes {
    fn head(self, per_million: u64) -> Option<u64> {
        let framing = u128::from(self.body) * u128::from(per_million) / 1_000_000;
        let framing = u64::try_from(framing).ok()?;
        self.hidden.checked_sub(self.body)?.checked_sub(framing)
    }

    const fn excess(self) -> u64 {
        self.hidden.saturating_sub(self.body)
    }
}

impl Excess {
    /// What these requests have in common; `None` where they are too few. One in eight may be another's.
    #[must_use]
    pub fn of(sizes: &[Sizes]) -> Option<Self> {
        if sizes.len() < FEWEST {
            return None;
        }
        let per_million = per_million(sizes);
        let is_short = |sizes: &&Sizes| sizes.body <= LENGTHS_APART;
        let heads_of = |sizes: &Sizes| sizes.head(per_million);
        let mut heads: Vec<u64> = sizes.iter().filter(is_short).filter_map(heads_of).collect();
        if heads.len() < FEWEST {
            heads = sizes.iter().filter_map(heads_of).collect();
        }
        heads.sort_unstable();
        let others = (heads.len() + 3) / 8;
        let usual = heads.get(others..heads.len() - others)?;
        let head = (*usual.first()?, *usual.last()?);
        Some(Self { per_million, head })
    }

    pub(super) fn has(&self, sizes: Sizes) -> bool {
        let about = DIFFERENCE + sizes.body / SHORTER;
        let (least, most) = self.head;
        let usual = least.saturating_sub(about)..=most.saturating_add(about);
        let head = sizes.head(self.per_million);
        head.is_some_and(|head| usual.contains(&head))
    }
}

/// The median of what each two requests show whose bodies differ.
fn per_million(sizes: &[Sizes]) -> u64 {
    let pairs = (1..).zip(sizes).flat_map(|(next, one)| {
        let others = sizes.get(next..).unwrap_or_default().iter();
        others.map(move |other| (one, other))
    });
    let rates = pairs.filter_map(|(one, other)| {
        let (shorter, longer) = if one.body <= other.body {
            (one, other)
        } else {
            (other, one)
        };
        let apart = longer.body - shorter.body;
        let grows = longer.excess().checked_sub(shorter.excess())?;
        let rate = u128::from(grows) * 1_000_000 / u128::from(apart.max(1));
        u64::try_from(rate).ok().filter(|_| apart >= LENGTHS_APART)
    });
    let mut rates: Vec<u64> = rates.collect();
    rates.sort_unstable();
    let median = rates.get(rates.len() / 2);
    median.copied().unwrap_or(TLS_PER_MILLION)
}

/// What is usual for the requests that a process receives.
struct Usual<'a, L> {
    excess: Excess,
    process: u32,
    legs: &'a L,
}

/// The one request that fits, unless it looks more like another one of the process.
pub(super) fn confirm(fit: Fit, process: u32, legs: &impl Legs) -> Choice {
    let is_doubtful = !fit.is_sure()
        && fit.found.sizes.is_some()
        && Usual::of(process, legs).is_some_and(|usual| !usual.has(&fit) && usual.counts(&fit) > 0);
    if is_doubtful {
        return Choice::None;
    }
    Choice::One(Box::new(fit.found))
}

/// The one request whose head is as long as usual, if no other request of the process may be it. So many others fit
/// besides, whose beginning is in doubt.
pub(super) fn choose(fits: Vec<Fit>, others: usize, process: u32, legs: &impl Legs) -> Choice {
    let count = fits.len().saturating_add(others);
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(2);
    let Some(usual) = Usual::of(process, legs) else {
        return Choice::Several(count);
    };
    // What is not known may be usual.
    let may_be = |fit: &Fit| fit.found.sizes.is_none() || usual.has(fit);
    let mut all = fits.into_iter().filter(may_be);
    let (Some(mut fit), None) = (all.next(), all.next()) else {
        return Choice::Several(count);
    };
    if usual.counts(&fit) > 1 {
        return Choice::Several(count);
    }
    fit.found.sizes = None;
    fit.found.certainty = Certainty::Inferred;
    Choice::One(Box::new(fit.found))
}

impl<'a, L: Legs> Usual<'a, L> {
    fn of(process: u32, legs: &'a L) -> Option<Self> {
        Some(Self {
            excess: legs.usual_excess(process)?,
            process,
            legs,
        })
    }

    fn has(&self, fit: &Fit) -> bool {
        fit.found.sizes.is_some_and(|sizes| self.excess.has(sizes))
    }

    /// How many requests of the process may be this one, by its bytes and its times.
    fn counts(&self, fit: &Fit) -> usize {
        let passing = fit.found.request.passing;
        let from_ns = passing.start_ns.unwrap_or(0);
        let to_ns = passing.response_ns.unwrap_or(u64::MAX);
        let sent = self.legs.sent_by(self.process, from_ns, to_ns);
        let hidden = fit.found.request.bytes.unwrap_or(0);
        let may_be_it = sent.iter().filter(|sent| {
            let body = sent.bytes;
            self.excess.has(Sizes { body, hidden })
        });
        may_be_it.count()
    }
}
