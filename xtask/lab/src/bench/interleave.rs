//! Measuring side by side: each case runs between two runs of the base, and its ratio is to the
//! mean of these two. Whatever else the machine does then slows both.

use anyhow::Result;
use serde::Serialize;

/// What a number was over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// In the middle.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The most.
    pub(crate) max: f64,
    /// How many times it was measured.
    pub(crate) runs: usize,
}

impl Spread {
    /// `None` if there are no numbers.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Self {
            median,
            min,
            max,
            runs: sorted.len(),
        })
    }
}

/// All runs of one case: of each run its `N` numbers, and their ratios to the base's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs<const N: usize> {
    /// What was measured.
    pub(crate) numbers: Vec<[f64; N]>,
    /// The same, divided by the base. Empty for the base itself.
    pub(crate) ratios: Vec<[f64; N]>,
}

impl<const N: usize> Runs<N> {
    /// The `n`th number of every run.
    pub(crate) fn number(&self, n: usize) -> Option<Spread> {
        Spread::of(self.numbers.iter().map(|run| run[n]))
    }

    /// How many times the base this is.
    pub(crate) fn ratio(&self, n: usize) -> Option<Spread> {
        Spread::of(self.ratios.iter().map(|run| run[n]))
    }

    /// How many times this the base is.
    pub(crate) fn inverse(&self, n: usize) -> Option<Spread> {
        Spread::of(self.ratios.iter().map(|run| 1.0 / run[n]))
    }
}

/// Runs `measure` with `None` for the base and with every case, in turn: base, case, base, next
/// case, …, base. Returns the base's runs, then those of each case in the order of `cases`.
pub(crate) fn interleave<C, const N: usize>(
    rounds: u32,
    cases: &[C],
    mut measure: impl FnMut(Option<&C>) -> Result<[f64; N]>,
) -> Result<(Runs<N>, Vec<Runs<N>>)> {
    let mut base = Runs::default();
    let mut of_cases = vec![Runs::default(); cases.len()];
    let mut before = measure(None)?;
    base.numbers.push(before);
    for _ in 0..rounds {
        for (case, runs) in cases.iter().zip(&mut of_cases) {
            let numbers = measure(Some(case))?;
            let after = measure(None)?;
            runs.numbers.push(numbers);
            runs.ratios.push(std::array::from_fn(|n| {
                numbers[n] / f64::midpoint(before[n], after[n])
            }));
            base.numbers.push(after);
            before = after;
        }
    }
    Ok((base, of_cases))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |numbers: &[f64]| Spread::of(numbers.iter().copied()).map(|spread| spread.median);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_machine_that_slows_down_weighs_on_both() {
        // Every run is slower than the one before; the case always takes half as much again.
        let mut slowness = 1.0;
        let (base, cases) = interleave(3, &["case"], |case| {
            slowness += 0.1;
            Ok([if case.is_some() { 1.5 } else { 1.0 } * slowness])
        })
        .unwrap();
        assert_eq!(base.numbers.len(), 4);
        let ratio = cases[0].inverse(0).unwrap();
        assert_eq!(ratio.runs, 3);
        assert!((ratio.min - 1.0 / 1.5).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.max - 1.0 / 1.5).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn each_case_runs_between_two_runs_of_the_base() {
        let mut order = String::new();
        interleave(2, &['a', 'b'], |case| {
            order.push(case.copied().unwrap_or('-'));
            Ok([1.0])
        })
        .unwrap();
        assert_eq!(order, "-a-b-a-b-");
    }
}
