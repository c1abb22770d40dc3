//! What a build without live tracing has in its place: the same names, for the rest of the tracer to use. It needs no
//! more rights than its caller has, and says what it cannot do.

pub mod caller;
pub mod cli;
pub mod live;
pub mod live_outputs;
pub mod otlp;
pub mod privileges;
