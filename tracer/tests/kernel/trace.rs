//! What a tracer said, held to the schema and to itself.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use upload_protocol::{Timeline, timeline::consistency::contradictions};

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema =
        serde_json::from_str(include_str!("../../../upload-server/protocol/schema.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
});

/// All lines of one run.
pub(crate) struct Trace {
    pub(crate) text: Vec<String>,
    pub(crate) lines: Vec<Value>,
}

impl Trace {
    /// # Panics
    /// When a line is not as the schema says, or a timeline contradicts itself.
    pub(crate) fn new(text: Vec<String>) -> Self {
        let lines: Vec<Value> = text
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &lines {
            if let Err(error) = SCHEMA.validate(line) {
                panic!("{error}\nat {}\nin {line:#}", error.instance_path());
            }
            if line["type"] == "timeline" {
                let timeline: Timeline = serde_json::from_value(line.clone()).unwrap();
                let found = contradictions(&timeline);
                assert!(found.is_empty(), "{found:#?}\nin {line:#}");
            }
        }
        Self { text, lines }
    }

    pub(crate) fn of(&self, kind: &str) -> Vec<&Value> {
        self.lines
            .iter()
            .filter(|line| line["type"] == kind)
            .collect()
    }

    pub(crate) fn timelines(&self) -> Vec<&Value> {
        self.of("timeline")
    }

    /// The only connection to this port.
    pub(crate) fn only_to(&self, port: u16) -> &Value {
        let found: Vec<&Value> = self
            .timelines()
            .into_iter()
            .filter(|timeline| timeline["server"]["port"] == port)
            .collect();
        assert_eq!(found.len(), 1, "{:#?}", self.lines);
        found[0]
    }

    /// The only timeline that carried an upload.
    pub(crate) fn only_upload(&self) -> &Value {
        let found: Vec<&Value> = self
            .timelines()
            .into_iter()
            .filter(|timeline| !timeline["uploads"].as_array().unwrap().is_empty())
            .collect();
        assert_eq!(found.len(), 1, "{:#?}", self.lines);
        found[0]
    }

    pub(crate) fn summary(&self) -> &Value {
        let last = self.lines.last().unwrap();
        assert_eq!(last["type"], "summary");
        last
    }
}

/// The names of a phase's steps, with who sent each.
pub(crate) fn steps(timeline: &Value, phase: usize) -> Vec<String> {
    timeline["phases"][phase]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            format!(
                "{} {}",
                step["from"].as_str().unwrap(),
                step["name"].as_str().unwrap()
            )
        })
        .collect()
}

/// A number that must be known.
pub(crate) fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}
