//! A recording's bytes, through the whole core and every sink.

pub(crate) mod timeline;

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use tracer::internals::{
    core::{event::Event, input::Input, output::Output, pipeline::Pipeline, scope::Scope},
    sink::{Ndjson, Render},
    source::recording::Recording,
};

use crate::hidden;

/// A recording is refused, or gives the same lines each time; each is described by the schema.
pub fn check(bytes: &[u8]) {
    let Ok(recording) = Recording::open(bytes) else {
        return;
    };
    let scope = recording.scope();
    let inputs = inputs(recording);
    let outputs = replay(&inputs, scope);
    assert_eq!(
        outputs,
        replay(&inputs, scope),
        "the same input, other outputs"
    );
    check_lines(&outputs, scope);
    hidden::check_outputs(&outputs, scope);
    if in_order_of_time(&inputs) {
        outputs.iter().for_each(timeline::check);
    }
}

/// The inputs up to the first damaged frame.
pub(crate) fn inputs(mut recording: Recording<&[u8]>) -> Vec<Input<'static>> {
    let mut inputs = Vec::new();
    while let Ok(Some(input)) = recording.read() {
        inputs.push(input);
    }
    inputs
}

pub(crate) fn replay(inputs: &[Input<'static>], scope: Scope) -> Vec<Output> {
    replay_through(Pipeline::new(scope.every_segment).with_samples(), inputs)
}

pub(crate) fn replay_through(mut pipeline: Pipeline, inputs: &[Input<'static>]) -> Vec<Output> {
    let mut outputs = Vec::new();
    for input in inputs {
        pipeline.advance(input.clone(), &mut outputs);
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    outputs
}

/// Whether no record was made before the one that stands before it. The kernel's are so but for
/// what several processors do at once; other recordings need no sense.
fn in_order_of_time(inputs: &[Input<'static>]) -> bool {
    let events = inputs.iter().filter_map(|input| match input {
        Input::Kernel(bytes) => Event::decode(bytes).ok(),
        _ => None,
    });
    events.is_sorted_by_key(|event| event.mono_ns)
}

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("../../../upload-server/protocol/schema.json"))
            .expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
});

pub(crate) fn check_lines(outputs: &[Output], scope: Scope) {
    let mut ndjson = Ndjson::new(scope.segments, false).with_samples(true);
    let lines = rendered(&mut ndjson, outputs);
    let text = String::from_utf8(lines).expect("the lines are UTF-8");
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).expect(line);
        if let Err(error) = SCHEMA.validate(&value) {
            panic!(
                "{} at {:?}: {line}",
                error.masked(),
                error.instance_path().as_str()
            );
        }
    }
    let last = text.lines().last().expect("there is a summary");
    assert!(last.contains(r#""type":"summary""#), "{last}");
}

pub(crate) fn rendered(sink: &mut dyn Render, outputs: &[Output]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for output in outputs {
        sink.render(output, &mut bytes)
            .expect("each output has a form");
    }
    bytes
}
