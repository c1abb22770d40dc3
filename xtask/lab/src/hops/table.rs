//! What was right and what was not: a line for each scenario.

use std::{fmt, time::Duration};

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::{clients::Truth, watch::Seen};

/// The uploads of a scenario, counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    uploads: usize,
    right: usize,
    pub(crate) wrong: usize,
    /// Those without hops: the tracer reports several possible ones, …
    ambiguous: usize,
    /// … it reports none, …
    none: usize,
    /// … or it does not know the upload.
    unseen: usize,
    /// Those with as many hops as there are.
    whole: usize,
    lost: u64,
    took: Duration,
    /// Those that are wrong or missing, by name.
    pub(crate) open: Vec<String>,
}

/// All that was tried.
#[derive(Default)]
pub(crate) struct Results(pub(crate) Vec<(&'static str, Outcome)>);

impl Outcome {
    /// What the tracer reported, compared with what each client printed.
    pub(crate) fn of(truth: &Truth, seen: &Seen, hops: usize, took: Duration) -> Self {
        let mut outcome = Self {
            uploads: truth.len(),
            lost: seen.lost,
            took,
            ..Self::default()
        };
        for (name, port) in truth {
            let upload = seen.uploads.get(name);
            let named = upload.and_then(|upload| upload.hops.first());
            let count = match (upload, named) {
                (_, Some(hop)) if hop.client.port == *port => &mut outcome.right,
                (_, Some(_)) => &mut outcome.wrong,
                (Some(upload), None) if upload.ambiguous_hops > 0 => &mut outcome.ambiguous,
                (Some(_), None) => &mut outcome.none,
                (None, None) => &mut outcome.unseen,
            };
            *count += 1;
            let length = upload.map_or(0, |upload| upload.hops.len());
            outcome.whole += usize::from(length == hops);
            if named.is_none_or(|hop| hop.client.port != *port) || length != hops {
                let reported = named.map_or_else(
                    || "none".to_owned(),
                    |hop| format!("port {} before {length} hops", hop.client.port),
                );
                outcome
                    .open
                    .push(format!("{name}: port {port}, reported {reported}"));
            }
        }
        outcome.open.sort_unstable();
        outcome
    }

    fn cells(&self) -> [String; 9] {
        let counts = [
            self.uploads,
            self.right,
            self.wrong,
            self.ambiguous,
            self.none,
            self.unseen,
            self.whole,
        ];
        let [a, b, c, d, e, f, g] = counts.map(|count| count.to_string());
        let took = format!("{:.1}", self.took.as_secs_f64());
        [a, b, c, d, e, f, g, self.lost.to_string(), took]
    }
}

impl Results {
    /// Uploads that were joined with another's client.
    pub(crate) fn wrong(&self) -> usize {
        self.0.iter().map(|(_, outcome)| outcome.wrong).sum()
    }

    fn total(&self) -> Outcome {
        let mut total = Outcome::default();
        for (_, outcome) in &self.0 {
            total.uploads += outcome.uploads;
            total.right += outcome.right;
            total.wrong += outcome.wrong;
            total.ambiguous += outcome.ambiguous;
            total.none += outcome.none;
            total.unseen += outcome.unseen;
            total.whole += outcome.whole;
            total.lost += outcome.lost;
            total.took += outcome.took;
        }
        total
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([
            "scenario",
            "uploads",
            "right",
            "wrong",
            "ambiguous",
            "none",
            "unseen",
            "all hops",
            "lost records",
            "s",
        ]);
        let total = self.total();
        let rows = self.0.iter().map(|(name, outcome)| (*name, outcome));
        for (name, outcome) in rows.chain([("total", &total)]) {
            table.add_row([name.to_owned()].into_iter().chain(outcome.cells()));
        }
        writeln!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::hops::watch::{Endpoint, Hop, Upload};

    fn upload(ports: &[u16], ambiguous_hops: u64) -> Upload {
        let hop = |port: &u16| Hop {
            client: Endpoint { port: *port },
        };
        Upload {
            name: None,
            hops: ports.iter().map(hop).collect(),
            ambiguous_hops,
        }
    }

    #[test]
    fn each_upload_is_counted_once() {
        let names = ["right", "short", "wrong", "ambiguous", "none", "unseen"];
        let truth: Truth = names.map(|name| (name.to_owned(), 7)).into();
        let uploads = [
            ("right", upload(&[7, 8, 9], 0)),
            ("short", upload(&[7, 9], 0)),
            ("wrong", upload(&[6, 8, 9], 0)),
            ("ambiguous", upload(&[], 2)),
            ("none", upload(&[], 0)),
        ];
        let uploads: HashMap<_, _> = uploads
            .map(|(name, upload)| (name.to_owned(), upload))
            .into();
        let outcome = Outcome::of(&truth, &Seen { uploads, lost: 3 }, 3, Duration::ZERO);
        let counted = ["6", "2", "1", "1", "1", "1", "2", "3", "0.0"];
        assert_eq!(outcome.cells(), counted);
        assert_eq!(outcome.open.len(), 5);
    }
}
