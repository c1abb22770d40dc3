//! Measures connections for the collector, and knows when it is time to send that.

use std::time::Duration;

use anyhow::{Context as _, Result};
use upload_protocol::Moment;

use super::metrics::{Snapshot, Times};
use crate::core::{measures::Measures, output::Output, pipeline::Counts};

/// The specification's.
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Meter {
    measures: Measures,
    /// The first turn, and the latest.
    times: Option<Times>,
    /// How often metrics are sent; once at the end where none is given.
    interval: Option<Duration>,
    /// When they were sent.
    sent_ns: Option<u64>,
    /// Whether some are on their way: no others are sent meanwhile.
    pub(super) is_waiting: bool,
}

impl Meter {
    /// Reads the variables that choose whether and how often metrics are sent. Those of a recording or a capture are
    /// sent at its end.
    ///
    /// # Errors
    /// When one of them is malformed.
    pub(super) fn chosen(
        is_live: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>> {
        if variable("OTEL_METRICS_EXPORTER").as_deref() == Some("none") {
            return Ok(None);
        }
        let text = variable("OTEL_METRIC_EXPORT_INTERVAL").filter(|text| !text.is_empty());
        let interval = match text {
            Some(text) => {
                let unread =
                    || format!("OTEL_METRIC_EXPORT_INTERVAL is {text:?}, not milliseconds");
                Duration::from_millis(text.parse().with_context(unread)?)
            }
            None => INTERVAL,
        };
        Ok(Some(Self {
            measures: Measures::default(),
            times: None,
            interval: is_live.then_some(interval),
            sent_ns: None,
            is_waiting: false,
        }))
    }

    /// Takes a turn's outputs.
    pub(super) fn take(&mut self, outputs: &[Output], now: Moment, counts: Counts, sink_lost: u64) {
        self.measures.take(outputs);
        self.measures.set_counts(counts);
        self.measures.set_sink_lost(sink_lost);
        let began = self.times.map_or(now, |times| times.began);
        self.times = Some(Times { began, at: now });
    }

    /// What is to be sent now, if the time has come.
    pub(super) fn due(&mut self) -> Option<Snapshot> {
        let interval = self.interval?;
        let times = self.times?;
        let sent_ns = *self.sent_ns.get_or_insert(times.began.mono_ns);
        let passed = Duration::from_nanos(times.at.mono_ns.saturating_sub(sent_ns));
        if self.is_waiting || passed < interval {
            return None;
        }
        self.sent_ns = Some(times.at.mono_ns);
        self.is_waiting = true;
        Some(self.snapshot(false))
    }

    /// What is to be sent at the end.
    pub(super) fn last(&self) -> Snapshot {
        self.snapshot(true)
    }

    fn snapshot(&self, is_last: bool) -> Snapshot {
        let nothing = Times {
            began: Moment::default(),
            at: Moment::default(),
        };
        Snapshot {
            measures: self.measures.clone(),
            times: self.times.unwrap_or(nothing),
            is_last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(variables: &[(&str, &str)]) -> Result<Option<Meter>> {
        Meter::chosen(true, |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted)?;
            Some(found.1.to_owned())
        })
    }

    fn is_due(meter: &mut Meter, seconds: u64) -> bool {
        let now = Moment {
            mono_ns: seconds * 1_000_000_000,
            unix_ns: 0,
        };
        meter.take(&[], now, Counts::default(), 0);
        meter.due().is_some()
    }

    #[test]
    fn one_at_a_time_at_each_interval() {
        let mut meter = meter(&[("OTEL_METRIC_EXPORT_INTERVAL", "5000")])
            .unwrap()
            .unwrap();
        assert!(!is_due(&mut meter, 1) && !is_due(&mut meter, 5) && is_due(&mut meter, 6));
        assert!(!is_due(&mut meter, 60));
        meter.is_waiting = false;
        assert!(is_due(&mut meter, 61) && meter.last().is_last);
    }

    #[test]
    fn the_variables() {
        assert!(
            meter(&[("OTEL_METRICS_EXPORTER", "none")])
                .unwrap()
                .is_none()
        );
        let mut usual = meter(&[
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_METRIC_EXPORT_INTERVAL", ""),
        ]);
        let usual = usual.as_mut().unwrap().as_mut().unwrap();
        assert!(!is_due(usual, 1) && !is_due(usual, 60) && is_due(usual, 61));
        let error = meter(&[("OTEL_METRIC_EXPORT_INTERVAL", "1m")])
            .err()
            .unwrap();
        assert!(
            format!("{error:#}")
                .starts_with("OTEL_METRIC_EXPORT_INTERVAL is \"1m\", not milliseconds")
        );
    }
}
