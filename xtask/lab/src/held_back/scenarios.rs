//! The scenarios, by kind.

mod controls;
mod ends;
mod programs;
mod reports;
mod wires;

use super::scenario::Scenario;

pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    let kinds = [
        ends::ENDS,
        wires::WIRES,
        programs::PROGRAMS,
        reports::REPORTS,
        controls::CONTROLS,
    ];
    kinds.into_iter().flatten()
}

/// A wire without anything but a delay each way, in milliseconds.
const R: &str = "delay=10";
const R40: &str = "delay=20";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_a_wire() {
        let mut names = HashSet::new();
        for scenario in all() {
            assert!(names.insert(scenario.name), "{} twice", scenario.name);
            for way in [scenario.up, scenario.down] {
                way.parse::<slow_wire::Way>().unwrap();
            }
        }
    }
}
