//! The results: a table for people, JSON for programs.

use std::fmt::{self, Write as _};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::{interleave::Spread, machine::Machine};

/// Everything that one run found.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Where and when.
    pub(crate) machine: Machine,
    /// One for each thing that was measured.
    pub(crate) rows: Vec<Row>,
    /// What could not be measured, and why.
    pub(crate) absent: Vec<String>,
}

/// One thing that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The part of the bench.
    pub(crate) part: &'static str,
    /// What ran.
    pub(crate) case: String,
    /// What was measured.
    pub(crate) measure: String,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// How much it was.
    pub(crate) value: Spread,
    /// The same beside something else in the same run.
    pub(crate) ratio: Option<Ratio>,
    /// What the project asks for.
    pub(crate) asked: Option<Asked>,
    /// Whether it is so, by the median.
    pub(crate) met: Option<bool>,
}

/// A number divided by another, of the runs right before and after it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ratio {
    /// Numerator and denominator.
    pub(crate) of: String,
    /// Of every round.
    pub(crate) value: Spread,
}

/// A goal of the project.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Asked {
    /// The ratio is at least this.
    RatioAtLeast(f64),
    /// The ratio is less than this.
    RatioBelow(f64),
    /// The number is at most this.
    AtMost(f64),
}

impl Asked {
    /// Whether the median meets it; `None` if there is no ratio to compare.
    fn is_met(self, row: &Row) -> Option<bool> {
        let ratio = row.ratio.as_ref().map(|ratio| ratio.value.median);
        Some(match self {
            Self::RatioAtLeast(least) => ratio? >= least,
            Self::RatioBelow(limit) => ratio? < limit,
            Self::AtMost(most) => row.value.median <= most,
        })
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(least) => write!(f, "ratio ≥ {least:.3}"),
            Self::RatioBelow(limit) => write!(f, "ratio < {limit:.3}"),
            Self::AtMost(most) => write!(f, "≤ {}", number(*most)),
        }
    }
}

impl Row {
    /// A number alone; `None` where nothing was measured.
    pub(crate) fn new(
        part: &'static str,
        case: impl Into<String>,
        measure: impl Into<String>,
        unit: &'static str,
        value: Option<Spread>,
    ) -> Option<Self> {
        Some(Self {
            part,
            case: case.into(),
            measure: measure.into(),
            unit,
            value: value?,
            ratio: None,
            asked: None,
            met: None,
        })
    }

    /// With a ratio beside it.
    pub(crate) fn beside(mut self, of: impl Into<String>, ratio: Option<Spread>) -> Self {
        self.ratio = ratio.map(|value| Ratio {
            of: of.into(),
            value,
        });
        self
    }

    /// With the project's goal for it, if there is one.
    pub(crate) fn asking(mut self, asked: Option<Asked>) -> Self {
        self.asked = asked;
        self.met = asked.and_then(|asked| asked.is_met(&self));
        self
    }
}

impl Report {
    /// The results in Markdown: the machine, the table, and what could not be measured.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let machine = &self.machine;
        let commit = machine
            .commit
            .as_deref()
            .map_or_else(String::new, |commit| format!(", commit {commit}"));
        let load = machine
            .load_before
            .map_or_else(String::new, |load| format!(", load before {load}"));
        let _ = writeln!(
            text,
            "Linux {} {}, {} × {}, {}{commit}{load}.\n\n\
             Median, and from the least to the most of all runs. A ratio is to the runs right before\n\
             and after.\n",
            machine.kernel, machine.architecture, machine.cpus, machine.cpu, machine.date
        );
        let _ = writeln!(text, "{}", self.table());
        for absent in &self.absent {
            let _ = writeln!(text, "\nNot measured: {absent}.");
        }
        text
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "part", "what ran", "measured", "median", "range", "unit", "ratio", "range", "of",
            "asked", "met",
        ]);
        for row in &self.rows {
            let ratio = row.ratio.as_ref();
            table.add_row([
                row.part.to_owned(),
                row.case.clone(),
                row.measure.clone(),
                number(row.value.median),
                range(row.value),
                row.unit.to_owned(),
                ratio.map_or_else(String::new, |ratio| format!("{:.3}", ratio.value.median)),
                ratio.map_or_else(String::new, |ratio| {
                    format!("{:.3} to {:.3}", ratio.value.min, ratio.value.max)
                }),
                ratio.map_or_else(String::new, |ratio| ratio.of.clone()),
                row.asked
                    .map_or_else(String::new, |asked| asked.to_string()),
                match row.met {
                    Some(true) => "yes".to_owned(),
                    Some(false) => "NO".to_owned(),
                    None => String::new(),
                },
            ]);
        }
        for column in [3, 4, 6, 7] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

fn range(spread: Spread) -> String {
    match spread.runs {
        1 => String::new(),
        _ => format!("{} to {}", number(spread.min), number(spread.max)),
    }
}

/// Three significant digits, at most two of them after the point.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        small if small == small.trunc() => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(median: f64) -> Row {
        let value = Spread {
            median,
            min: median,
            max: median,
            runs: 1,
        };
        Row::new("churn", "tracer", "speed", "per s", Some(value))
            .unwrap()
            .beside("traced ÷ untraced", Some(value))
    }

    #[test]
    fn the_median_decides_whether_it_is_as_asked() {
        let met = |median, asked| row(median).asking(asked).met;
        assert_eq!(met(0.95, Some(Asked::RatioAtLeast(0.95))), Some(true));
        assert_eq!(met(0.94, Some(Asked::RatioAtLeast(0.95))), Some(false));
        assert_eq!(met(0.95, Some(Asked::RatioBelow(0.95))), Some(false));
        assert_eq!(met(0.94, Some(Asked::RatioBelow(0.95))), Some(true));
        assert_eq!(met(400.0, Some(Asked::AtMost(400.0))), Some(true));
        assert_eq!(met(400.5, Some(Asked::AtMost(400.0))), Some(false));
        assert_eq!(met(0.95, None), None);
    }

    #[test]
    fn a_row_without_a_ratio_cannot_meet_one() {
        let mut alone = row(1.0);
        alone.ratio = None;
        let asking = |asked| alone.clone().asking(Some(asked)).met;
        assert_eq!(asking(Asked::RatioAtLeast(0.5)), None);
        assert_eq!(asking(Asked::AtMost(1.0)), Some(true));
    }

    #[test]
    fn numbers_have_three_digits_or_all_before_the_point() {
        let shown: Vec<String> = [12_345.6, 34.56, 3.0, 0.126, 0.0].map(number).into();
        assert_eq!(shown, ["12346", "34.6", "3", "0.13", "0"]);
    }
}
