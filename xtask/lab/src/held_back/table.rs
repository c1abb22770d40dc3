//! The results: a line for each scenario, what was wrong, and the totals.

use std::fmt;

use anyhow::{Result, bail};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::{
    SeenFrom,
    judgement::{Judged, Judgement},
};

/// Everything that was judged.
#[derive(Default)]
pub(crate) struct Results(Vec<Judgement>);

/// Counts of one view.
#[derive(Default)]
struct Totals {
    judged: usize,
    right: usize,
    wrong_sides: usize,
    other_sides: usize,
    /// Of shares that are known to the millisecond: how far each is from it, in hundredths.
    errors: Vec<f64>,
}

impl Results {
    pub(crate) fn add(&mut self, judgement: Judgement) {
        self.0.push(judgement);
    }

    /// An error where more verdicts are wrong than so many of a hundred, or a wrong side was told as observed.
    pub(crate) fn check(&self, allow: u32) -> Result<()> {
        for from in SeenFrom::ALL {
            let totals = self.totals(from);
            let wrong = (totals.judged - totals.right) * 100;
            if wrong > totals.judged * usize::try_from(allow)? {
                bail!(
                    "more than {allow} % of the verdicts are wrong ({})",
                    from.name()
                );
            }
            if totals.wrong_sides > 0 {
                bail!("a wrong side was told as observed ({})", from.name());
            }
        }
        Ok(())
    }

    fn totals(&self, from: SeenFrom) -> Totals {
        let mut totals = Totals::default();
        for judged in self.of(from).flat_map(|judgement| &judgement.uploads) {
            totals.judged += 1;
            totals.right += usize::from(judged.is_right);
            totals.wrong_sides += usize::from(judged.is_wrong_side);
            totals.other_sides += usize::from(judged.is_other_side);
            totals.errors.extend(judged.error);
        }
        totals
    }

    fn of(&self, from: SeenFrom) -> impl Iterator<Item = &Judgement> {
        self.0.iter().filter(move |one| one.from == from)
    }

    /// How many uploads have the verdict that the kernel's measurement gives of the same traffic, and of how
    /// many; `None` for a measurement.
    fn agreement(&self, from: SeenFrom) -> Option<(usize, usize)> {
        let kernel = from.measured()?;
        let measured = |one: &Judgement| {
            let mut others = self.of(kernel);
            others.find(|other| other.number == one.number)
        };
        let pairs: Vec<(&str, &str)> = self
            .of(from)
            .filter_map(|one| Some((one, measured(one)?)))
            .flat_map(|(one, other)| one.uploads.iter().zip(&other.uploads))
            .map(|(one, other)| (one.verdict.as_str(), other.verdict.as_str()))
            .collect();
        let same = pairs.iter().filter(|(one, other)| one == other).count();
        (!pairs.is_empty()).then_some((same, pairs.len()))
    }

    /// What was said of a scenario from one view, in a few words.
    fn cell(&self, name: &str, from: SeenFrom) -> String {
        let judged: Vec<&Judged> = self
            .of(from)
            .filter(|judgement| judgement.scenario.name == name)
            .flat_map(|judgement| &judgement.uploads)
            .collect();
        let right = judged.iter().filter(|one| one.is_right).count();
        let mut verdicts: Vec<&str> = judged.iter().map(|one| one.verdict.as_str()).collect();
        verdicts.sort_unstable();
        verdicts.dedup();
        let shares: Vec<f64> = judged.iter().filter_map(|one| one.share).collect();
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let most = shares.iter().copied().fold(0.0, f64::max);
        let share = match shares.as_slice() {
            [] => String::new(),
            _ if most - least < 1.0 => format!(" {most:.0} %"),
            _ => format!(" {least:.0}–{most:.0} %"),
        };
        let certainty = judged.first().map_or("", |one| one.certainty.name());
        format!(
            "{right}/{} {}{share} {certainty}",
            judged.len(),
            verdicts.join(", ")
        )
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views: Vec<SeenFrom> = SeenFrom::ALL
            .into_iter()
            .filter(|from| self.of(*from).next().is_some())
            .collect();
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let header = ["scenario".to_owned(), "truth".to_owned()];
        table.set_header(
            header
                .into_iter()
                .chain(views.iter().map(|from| from.name().to_owned())),
        );
        let mut names: Vec<&str> = Vec::new();
        for judgement in &self.0 {
            let name = judgement.scenario.name;
            if names.contains(&name) {
                continue;
            }
            names.push(name);
            let truth = judgement.scenario.truth.to_string();
            let cells = views.iter().map(|from| self.cell(name, *from));
            table.add_row([name.to_owned(), truth].into_iter().chain(cells));
        }
        writeln!(f, "{table}\n")?;
        for judgement in &self.0 {
            for judged in judgement.uploads.iter().filter(|one| !one.is_right) {
                let (name, from) = (judgement.scenario.name, judgement.from.name());
                let error = judged.error.map_or_else(String::new, |error| {
                    format!(" {error:+.1} points from the truth")
                });
                writeln!(f, "wrong: {name} ({from}){error}: {}", judged.told)?;
            }
        }
        for from in views {
            write!(f, "{}: {}", from.name(), self.totals(from))?;
            if let Some((same, compared)) = self.agreement(from) {
                write!(
                    f,
                    "; of {compared} that the kernel judged as well, {same} alike"
                )?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.right as f64 / self.judged.max(1) as f64;
        write!(
            f,
            "{} of {} verdicts are right ({percent:.1} %), {} wrong sides, {} of them as observed",
            self.right, self.judged, self.other_sides, self.wrong_sides
        )?;
        if !self.errors.is_empty() {
            let close = self
                .errors
                .iter()
                .filter(|error| error.abs() <= 5.0)
                .count();
            let most = self
                .errors
                .iter()
                .map(|error| error.abs())
                .fold(0.0, f64::max);
            write!(
                f,
                ", {close} of {} timed shares within 5 points (at most {most:.1})",
                self.errors.len()
            )?;
        }
        Ok(())
    }
}
