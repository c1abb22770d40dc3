//! Which connections the page shows, by radio buttons and CSS alone: by phase, and by what held their uploads back.
//! Only what the page has can be chosen.

use maud::{Markup, html};

use super::facts::{Facts, Reached, Verdict};

/// How many connections there are of each kind.
#[derive(Debug, Default)]
pub(super) struct Filters {
    kinds: Vec<Kind>,
    /// The same for what is left out, whatever its phase.
    left_out: Vec<(Verdict, u64)>,
}

/// Connections of one phase with one verdict.
#[derive(Debug)]
struct Kind {
    phase: Reached,
    verdict: Verdict,
    /// A connection with several verdicts counts for each of them.
    count: u64,
    /// Those of which it is the first.
    firsts: u64,
}

impl Filters {
    pub(super) fn count(&mut self, facts: &Facts) {
        for (place, verdict) in facts.verdicts.iter().enumerate() {
            let kind = self.kind(facts.phase, *verdict);
            kind.count += 1;
            kind.firsts += u64::from(place == 0);
        }
    }

    pub(super) fn leave_out(&mut self, facts: &Facts) {
        for verdict in &facts.verdicts {
            match self.left_out.iter_mut().find(|(known, _)| known == verdict) {
                Some((_, count)) => *count += 1,
                None => self.left_out.push((*verdict, 1)),
            }
        }
    }

    /// What is left out, by verdict.
    pub(super) fn left_out(&self) -> String {
        let listed = self.left_out.iter();
        let listed = listed.map(|(verdict, count)| format!("{} {count}", verdict.phrase()));
        listed.collect::<Vec<_>>().join(", ")
    }

    /// The buttons; none where there is nothing to choose from.
    pub(super) fn controls(&self, all: u64) -> Markup {
        let phases: Vec<(&str, &str, u64)> = Reached::ALL
            .iter()
            .map(|phase| (phase.name(), phase.phrase(), self.of_phase(*phase)))
            .collect();
        let verdicts: Vec<(&str, &str, u64)> = Verdict::all()
            .map(|verdict| (verdict.name(), verdict.phrase(), self.of_verdict(verdict)))
            .collect();
        html! {
            (buttons("phase", "How far it came", all, &phases))
            (buttons("verdict", "What held its uploads back", all, &verdicts))
            p.nothing { "No connection is both." }
        }
    }

    /// What the buttons do.
    pub(super) fn rules(&self) -> String {
        let mut rules = String::new();
        for phase in Reached::ALL {
            rules.push_str(&hide("phase", phase.name()));
        }
        for verdict in self.verdicts() {
            rules.push_str(&hide("verdict", verdict.name()));
        }
        for phase in Reached::ALL {
            for verdict in self.verdicts() {
                let is_of = |kind: &&Kind| kind.phase == phase && kind.verdict == verdict;
                if self.kinds.iter().find(is_of).is_none() {
                    let (phase, verdict) = (phase.name(), verdict.name());
                    rules.push_str(&format!(
                        ".report:has(#phase-{phase}:checked):has(#verdict-{verdict}:checked) .nothing {{ display: block; }}\n"
                    ));
                }
            }
        }
        rules
    }

    fn kind(&mut self, phase: Reached, verdict: Verdict) -> &mut Kind {
        let known = self
            .kinds
            .iter()
            .position(|kind| (kind.phase, kind.verdict) == (phase, verdict));
        let place = known.unwrap_or(self.kinds.len());
        if known.is_none() {
            self.kinds.push(Kind {
                phase,
                verdict,
                count: 0,
                firsts: 0,
            });
        }
        &mut self.kinds[place]
    }

    fn of_phase(&self, phase: Reached) -> u64 {
        let kinds = self.kinds.iter().filter(|kind| kind.phase == phase);
        kinds.map(|kind| kind.firsts).sum()
    }

    fn of_verdict(&self, verdict: Verdict) -> u64 {
        let kinds = self.kinds.iter().filter(|kind| kind.verdict == verdict);
        kinds.map(|kind| kind.count).sum()
    }

    /// The verdicts that the page has.
    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        Verdict::all().filter(|verdict| self.of_verdict(*verdict) > 0)
    }
}

fn hide(what: &str, name: &str) -> String {
    format!(
        ".report:has(#{what}-{name}:checked) .connections > :not(.{what}-{name}) {{ display: none; }}\n"
    )
}

fn buttons(what: &str, legend: &str, all: u64, choices: &[(&str, &str, u64)]) -> Markup {
    let present = || choices.iter().filter(|(.., count)| *count > 0);
    html! {
        @if present().count() > 1 {
            fieldset {
                legend { (legend) }
                label { input #(format!("{what}-all")) type="radio" name=(what) checked; "all (" (all) ")" }
                @for (name, phrase, count) in present() {
                    label { input #(format!("{what}-{name}")) type="radio" name=(what); (phrase) " (" (count) ")" }
                }
            }
        }
    }
}
