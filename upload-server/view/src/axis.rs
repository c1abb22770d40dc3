//! One axis for the three phases, each with a scale of its own: a handshake takes microseconds, a body
//! seconds. A mark shows where the scale breaks. Long stretches of the maintenance phase before and
//! after the upload are left out: a browser's connection is mostly idle.

use upload_protocol::timeline::Exchange;

use super::shown::Shown;

/// The zone of each phase, in per cent of the axis; the mark of the break is between two zones.
pub(super) const ZONES: [(f64, f64); 3] = [(0.0, 22.0), (24.0, 76.0), (78.0, 100.0)];

/// A place or a length on an axis, as an attribute of SVG.
pub(super) fn percent(of_axis: f64) -> String {
    let digits = format!("{of_axis:.2}");
    format!("{}%", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[derive(Debug)]
pub(super) struct Axis {
    /// Beginning and end of each zone; `None` where the phase is unknown or has not been.
    zones: [Option<(u64, u64)>; 3],
    /// The time left out before the upload and after it.
    pub(super) left_out_ns: (u64, u64),
}

impl Axis {
    pub(super) fn of(timeline: &Shown) -> Self {
        let initiation = timeline.initiation();
        let (maintenance, termination) = (timeline.maintenance(), timeline.termination());
        let last_ns = timeline.last_ns();
        let opened = initiation.and_then(|phase| {
            let steps = phase.steps.iter().filter_map(|step| step.at_ns);
            let end = steps.chain(phase.end_ns).max()?;
            Some((phase.start_ns, end))
        });
        let closed = termination.and_then(|phase| {
            let steps = phase.steps.iter().filter_map(|step| step.at_ns);
            let start = steps.chain(phase.start_ns).min()?;
            Some((start, last_ns.max(phase.end_ns.unwrap_or_default())))
        });
        let used = maintenance.map(|phase| {
            let start = opened.map(|(_, end)| end).or(phase.start_ns);
            let start = start.unwrap_or_default();
            let end = closed.map_or(last_ns, |(start, _)| start);
            (start, end.max(start))
        });
        let opened = opened.filter(|_| initiation.is_some_and(|phase| !phase.steps.is_empty()));
        let (used, left_out_ns) = match used {
            Some(all) => {
                let (shown, left_out) = without_idle(all, timeline.own());
                (Some(shown), left_out)
            }
            None => (None, (0, 0)),
        };
        Self {
            zones: [opened, used, closed],
            left_out_ns,
        }
    }

    /// The length of a zone, if it is known.
    pub(super) fn length_ns(&self, zone: usize) -> Option<u64> {
        let (start, end) = (*self.zones.get(zone)?)?;
        Some(end.saturating_sub(start))
    }

    /// Whether the axis leaves this moment out.
    pub(super) fn leaves_out(&self, at_ns: u64) -> bool {
        let mut zones = self.zones.iter().flatten();
        !zones.any(|(start, end)| (*start..=*end).contains(&at_ns))
    }

    /// The two ends of a stretch of time, in per cent of the axis.
    pub(super) fn place(&self, start_ns: u64, end_ns: u64) -> (f64, f64) {
        let zones = self.zones.iter().zip(ZONES);
        let known = zones.filter_map(|(zone, place)| Some(((*zone)?, place)));
        let (mut left, mut right) = (None, 0.0);
        for ((start, end), (from, to)) in known {
            let within = |at: u64| {
                let at = at.clamp(start, end) - start;
                from + (to - from) * at as f64 / (end - start).max(1) as f64
            };
            // What begins where one zone ends and the next begins, begins with the next.
            if start_ns < end {
                left = left.or(Some(within(start_ns)));
            }
            if end_ns > start || end_ns == start && start_ns == end_ns {
                right = within(end_ns);
            }
        }
        let left = left.filter(|_| start_ns < end_ns).unwrap_or(right);
        (left, right.max(left))
    }
}

/// The part of the maintenance phase that is shown, and the time left out before and after it. Idle time
/// and other uploads' requests are left out where they are longer than the part shown.
fn without_idle<'a>(
    (start, end): (u64, u64),
    own: impl Iterator<Item = &'a Exchange>,
) -> ((u64, u64), (u64, u64)) {
    let own = own.filter_map(Exchange::window);
    let own = own.reduce(|(from, to), (start, end)| (from.min(start), to.max(end)));
    let Some((from, to)) = own else {
        return ((start, end), (0, 0));
    };
    let (from, to) = (from.clamp(start, end), to.clamp(start, end));
    let long = |gap: u64| gap > to.saturating_sub(from);
    let before = Some(from - start).filter(|gap| long(*gap));
    let after = Some(end - to).filter(|gap| long(*gap));
    let shown = (
        before.map_or(start, |_| from),
        after.map_or(end, |_| to.max(from)),
    );
    (shown, (before.unwrap_or(0), after.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(axis: &Axis, span: (u64, u64), expected: (f64, f64)) {
        let (left, right) = axis.place(span.0, span.1);
        let is_near = |found: f64, expected: f64| (found - expected).abs() < 0.01;
        let near = is_near(left, expected.0) && is_near(right, expected.1);
        assert!(near, "{span:?}: {left}, {right}");
    }

    fn axis(zones: [Option<(u64, u64)>; 3]) -> Axis {
        let left_out_ns = (0, 0);
        Axis { zones, left_out_ns }
    }

    #[test]
    fn each_phase_has_its_scale() {
        let axis = axis([
            Some((0, 100)),
            Some((100, 1_000_100)),
            Some((1_000_100, 1_000_200)),
        ]);
        check(&axis, (0, 50), (0.0, 11.0));
        check(&axis, (0, 100), (0.0, 22.0));
        check(&axis, (100, 1_000_100), (24.0, 76.0));
        check(&axis, (50, 500_100), (11.0, 50.0));
        check(&axis, (500_100, 500_100), (50.0, 50.0));
        check(&axis, (100, 100), (24.0, 24.0));
        check(&axis, (1_000_100, 1_000_150), (78.0, 89.0));
        check(&axis, (1_000_200, u64::MAX), (100.0, 100.0));
    }

    #[test]
    fn what_is_left_out_takes_no_place() {
        let axis = axis([Some((0, 100)), Some((5_000, 6_000)), Some((9_000, 9_100))]);
        check(&axis, (100, 9_000), (24.0, 76.0));
        check(&axis, (200, 5_500), (24.0, 50.0));
        assert!(axis.leaves_out(200) && !axis.leaves_out(5_500));
    }

    #[test]
    fn what_is_unknown_takes_no_place() {
        let axis = axis([None, Some((5, 5)), None]);
        check(&axis, (5, 5), (24.0, 24.0));
        assert_eq!(axis.length_ns(0), None);
        assert_eq!(axis.length_ns(1), Some(0));
    }

    #[test]
    fn leaves_out_what_is_longer_than_the_upload() {
        let exchange = |start: u64, end: u64| -> Exchange {
            let request = serde_json::json!({"start_ns": start, "end_ns": end});
            serde_json::from_value(serde_json::json!({ "request": request })).unwrap()
        };
        let check = |all, exchanges: &[Exchange], expected| {
            assert_eq!(without_idle(all, exchanges.iter()), expected);
        };
        let own = [exchange(500, 600), exchange(600, 700)];
        check((0, 1_000), &own, ((500, 700), (500, 300)));
        check((400, 800), &own, ((400, 800), (0, 0)));
        check((0, 1_000), &[], ((0, 1_000), (0, 0)));
    }
}
