//! One table: a row for each test, a column for each kernel.

use std::{collections::HashMap, io::Write as _};

use comfy_table::{CellAlignment, presets::NOTHING};

use super::report::{Outcome, Report};

pub(super) struct Table {
    tests: Vec<String>,
    kernels: Vec<String>,
    reports: HashMap<(String, String), Report>,
}

impl Table {
    pub(super) fn new(tests: &[String], kernels: impl Iterator<Item = String>) -> Self {
        Self {
            tests: tests.to_vec(),
            kernels: kernels.collect(),
            reports: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, kernel: &str, report: Report) {
        let place = (kernel.to_owned(), report.test.clone());
        self.reports.insert(place, report);
    }

    /// Whether each test passed, or was skipped with a reason.
    pub(super) fn is_green(&self) -> bool {
        self.count("FAILED") + self.count("not run") == 0
    }

    /// Prints the table, the reason for each skipped test, and the totals.
    pub(super) fn print(&self) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(self.text().as_bytes());
    }

    fn text(&self) -> String {
        let mut lines = vec![self.table().trim_fmt()];
        for kernel in &self.kernels {
            for test in &self.tests {
                if let Some(Outcome::Skipped(reason)) = self.outcome(kernel, test) {
                    lines.push(format!("skipped on {kernel}: {test}: {reason}"));
                }
            }
        }
        let failed = self.count("FAILED") + self.count("not run");
        lines.push(format!(
            "{} passed, {failed} failed, {} skipped\n",
            self.count("ok"),
            self.count("skipped")
        ));
        lines.join("\n")
    }

    fn table(&self) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING);
        let kernels = self.kernels.iter().map(String::as_str);
        table.set_header([""].into_iter().chain(kernels));
        for test in &self.tests {
            let cells = self.kernels.iter().map(|kernel| self.cell(kernel, test));
            table.add_row([test.clone()].into_iter().chain(cells));
        }
        if let Some(tests) = table.column_mut(0) {
            tests.set_padding((0, 1));
        }
        for kernel in table.column_iter_mut().skip(1) {
            kernel.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn cell(&self, kernel: &str, test: &str) -> String {
        let word = self.word(kernel, test);
        match (word, self.report(kernel, test)) {
            ("ok", Some(report)) => format!("{word} {:.1} s", report.seconds),
            _ => word.to_owned(),
        }
    }

    fn word(&self, kernel: &str, test: &str) -> &'static str {
        match self.outcome(kernel, test) {
            Some(Outcome::Passed(_)) => "ok",
            Some(Outcome::Skipped(_)) => "skipped",
            Some(Outcome::Failed(_)) => "FAILED",
            None => "not run",
        }
    }

    fn count(&self, word: &str) -> usize {
        let cells = self
            .kernels
            .iter()
            .flat_map(|kernel| self.tests.iter().map(move |test| (kernel, test)));
        cells
            .filter(|(kernel, test)| self.word(kernel, test) == word)
            .count()
    }

    fn outcome(&self, kernel: &str, test: &str) -> Option<&Outcome> {
        self.report(kernel, test).map(|report| &report.outcome)
    }

    fn report(&self, kernel: &str, test: &str) -> Option<&Report> {
        self.reports.get(&(kernel.to_owned(), test.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::kernels::report::{Outcome, Report};

    #[test]
    fn what_was_not_run_is_not_green() {
        let names = ["a::first", "b"].map(str::to_owned);
        let kernels = ["6.1", "running"].map(str::to_owned);
        let mut table = Table::new(&names, kernels.into_iter());
        let mut add = |kernel: &str, test: &str, outcome| {
            table.add(
                kernel,
                Report {
                    test: test.to_owned(),
                    outcome,
                    seconds: 1.25,
                },
            );
        };
        add("6.1", "a::first", Outcome::Passed(Vec::new()));
        add("running", "a::first", Outcome::Passed(Vec::new()));
        add("running", "b", Outcome::Skipped("no netem".to_owned()));
        assert!(!table.is_green());
        assert_eq!(
            table.text(),
            "               6.1   running
a::first  ok 1.2 s  ok 1.2 s
b          not run   skipped
skipped on running: b: no netem
2 passed, 1 failed, 1 skipped
"
        );
        table.add(
            "6.1",
            Report {
                test: "b".to_owned(),
                outcome: Outcome::Passed(Vec::new()),
                seconds: 0.0,
            },
        );
        assert!(table.is_green());
    }
}
