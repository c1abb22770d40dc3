//! The results: the worst loads by memory, disk and CPU time.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::{candidate::Candidate, measure::Cost};

/// How many of the worst are shown.
const SHOWN: usize = 10;

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Results(Vec<Cost>);

/// What a load is the worst by.
type Measure = fn(&Cost) -> f64;

const MEASURES: [(&str, Measure); 3] = [
    ("memory", Cost::share_of_memory),
    ("disk", Cost::disk_per_byte),
    ("CPU time", Cost::cpu_per_kilobyte),
];

impl Results {
    pub(super) fn add(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    /// The largest share of the memory that a load may take.
    pub(super) fn most_memory(&self) -> f64 {
        let each = self.0.iter().map(Cost::share_of_memory);
        each.fold(0.0, f64::max)
    }

    /// How many loads took more memory than they may.
    pub(super) fn too_much(&self) -> usize {
        let above = |cost: &&Cost| cost.share_of_memory() > 1.0;
        self.0.iter().filter(above).count()
    }

    /// One of the worst, by a measure that is drawn: memory more often than the others.
    pub(super) fn parent(&self, of: usize, random: &mut fastrand::Rng) -> Option<Candidate> {
        let measure = [0, 0, 0, 1, 2][random.usize(0..5)];
        let worst = self.worst(MEASURES[measure].1, of);
        let chosen = random.choice(worst)?;
        Some(chosen.candidate.clone())
    }

    fn worst(&self, measure: Measure, most: usize) -> Vec<&Cost> {
        let mut worst: Vec<_> = self.0.iter().collect();
        worst.sort_by(|a, b| measure(b).total_cmp(&measure(a)));
        worst.truncate(most);
        worst
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} loads were measured.", self.0.len())?;
        for (name, measure) in MEASURES {
            let mut table = Table::new();
            table.load_style(ASCII_MARKDOWN);
            table.set_header([
                "of memory %",
                "memory B/B",
                "disk B/B",
                "CPU µs/kB",
                "sent kB",
                "memory kB",
                "of it allowed",
                "sockets kB",
                "disk kB",
                "inodes",
                "load",
            ]);
            for cost in self.worst(measure, SHOWN) {
                table.add_row([
                    format!("{:.0}", 100.0 * cost.share_of_memory()),
                    format!("{:.1}", cost.memory_per_byte()),
                    format!("{:.1}", cost.disk_per_byte()),
                    format!("{:.0}", cost.cpu_per_kilobyte()),
                    kilobytes(cost.sent),
                    kilobytes(cost.memory),
                    kilobytes(cost.allowed),
                    kilobytes(cost.sockets),
                    kilobytes(cost.disk),
                    cost.inodes.to_string(),
                    cost.candidate.to_string(),
                ]);
            }
            let numbers = table.column_count() - 1;
            for column in table.column_iter_mut().take(numbers) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            writeln!(f, "\nThe worst by {name}:\n\n{table}")?;
        }
        Ok(())
    }
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e3)
}
