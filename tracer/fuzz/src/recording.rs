//! A recording's bytes, through the whole core and every sink.

mod timeline;

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::Value;
use tracer::{
    event::Event,
    input::Input,
    output::Output,
    pipeline::Pipeline,
    sink::{Ndjson, Pcapng, Sink, Styles, Text},
    source::recording::{Frame, Recording, Scope},
};

/// A recording is refused, or gives the same lines each time; each is described by the schema.
pub fn check(bytes: &[u8]) {
    let Ok(recording) = Recording::open(bytes) else {
        return;
    };
    let scope = recording.scope();
    let frames = frames(recording);
    let outputs = replay(&frames, scope);
    assert_eq!(
        outputs,
        replay(&frames, scope),
        "the same input, other outputs"
    );
    check_lines(&outputs, scope);
    show(&outputs, scope);
    if in_order_of_time(&frames) {
        outputs.iter().for_each(timeline::check);
    }
}

/// The frames up to the first damaged one.
fn frames(mut recording: Recording<&[u8]>) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = recording.read_frame() {
        frames.push(frame);
    }
    frames
}

fn replay(frames: &[Frame], scope: Scope) -> Vec<Output> {
    let mut pipeline = Pipeline::new(scope.every_segment);
    let mut outputs = Vec::new();
    let mut kernel = Vec::new();
    for frame in frames {
        pipeline.advance(frame.clone().into_input(&mut kernel), &mut outputs);
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    outputs
}

/// Whether no record was made before the one that stands before it. The kernel's are so but for
/// what several processors do at once; other recordings need no sense.
fn in_order_of_time(frames: &[Frame]) -> bool {
    let events = frames.iter().filter_map(|frame| match frame {
        Frame::Kernel(bytes) => Event::decode(bytes).ok(),
        _ => None,
    });
    events.is_sorted_by_key(|event| event.mono_ns)
}

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("../../schema.json")).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
});

fn check_lines(outputs: &[Output], scope: Scope) {
    let lines = Shared::default();
    let mut ndjson = Ndjson::new(Box::new(lines.clone()), scope.segments, false);
    write_all(&mut ndjson, outputs);
    let text = String::from_utf8(lines.take()).expect("the lines are UTF-8");
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

/// The other sinks have no form that could be checked here; they must not panic.
fn show(outputs: &[Output], scope: Scope) {
    for explain in [false, true] {
        write_all(
            &mut Text::new(Box::new(io::sink()), Styles::default(), scope, explain),
            outputs,
        );
    }
    let mut pcapng = Pcapng::new(Box::new(io::sink())).expect("nothing refuses the header");
    write_all(&mut pcapng, outputs);
}

fn write_all(sink: &mut dyn Sink, outputs: &[Output]) {
    for output in outputs {
        sink.write(output).expect("memory takes what is written");
    }
    sink.flush().expect("memory takes what is written");
}

/// Memory that a sink writes into.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
