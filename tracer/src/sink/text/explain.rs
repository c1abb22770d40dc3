//! Explains each step: its meaning, how it is known, and the tshark filter for the same segment.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use upload_protocol::{
    End, explain,
    timeline::{
        Certainty, Diagnosis, Exchange, Initiation, KnownBy, Maintenance, Protocol, Step, StepName,
        Termination, Timeline, TlsHandshake,
    },
    units::duration,
};

use super::{Styles, packets::write_options};

/// Later exchanges look much the same.
const MAX_EXCHANGES: usize = 8;

pub(super) fn initiation(
    out: &mut impl Write,
    styles: Styles,
    phase: &Initiation,
    timeline: &Timeline,
) -> io::Result<()> {
    for step in &phase.steps {
        let sentence = explain::initiation_step(step, phase, timeline);
        write_step(out, styles, step, timeline, &sentence)?;
    }
    match explain::initiation(phase) {
        Some(sentence) => write_sentence(out, &sentence),
        None => Ok(()),
    }
}

pub(super) fn maintenance(
    out: &mut impl Write,
    styles: Styles,
    phase: &Maintenance,
    timeline: &Timeline,
) -> io::Result<()> {
    write_sentence(out, &explain::maintenance(timeline))?;
    if let Some(handshake) = &phase.tls {
        write_tls(out, styles, handshake)?;
    }
    if let Some(sentence) = explain::rtt(phase) {
        write_sentence(out, &sentence)?;
    }
    for exchange in phase.exchanges.iter().take(MAX_EXCHANGES) {
        write_sentence(out, &explain::exchange(exchange))?;
        write_source(out, styles, exchange, phase.protocol)?;
    }
    Ok(())
}

/// The TLS handshake within the open connection.
fn write_tls(out: &mut impl Write, styles: Styles, handshake: &TlsHandshake) -> io::Result<()> {
    let dim = styles.dim;
    for step in &handshake.steps {
        let (from, to) = (step.from.name(), step.from.other().name());
        let at = duration(step.at_ns);
        writeln!(out, "    {:<20} {from} → {to}  +{at}", step.name)?;
        let (sentence, filter) = explain::tls_step(step.name, handshake);
        write_sentence(out, &sentence)?;
        let known = match step.certainty {
            Certainty::Observed => "seen in the clear",
            _ => "inferred: encrypted, recognised by its record's position and length",
        };
        writeln!(out, "             {dim}{known}   tshark: {filter}{dim:#}")?;
    }
    Ok(())
}

/// How a request and its response are known.
fn write_source(
    out: &mut impl Write,
    styles: Styles,
    exchange: &Exchange,
    protocol: Protocol,
) -> io::Result<()> {
    let dim = styles.dim;
    let (known, filter) = match (exchange.known_by, protocol) {
        (KnownBy::Segments, _) => ("seen in the clear, segment by segment", "http"),
        (KnownBy::Server, Protocol::Tls) => (
            "encrypted on the wire: reported by the upload server, by its own clock",
            "tls.app_data",
        ),
        (KnownBy::Server, Protocol::Http2) => (
            "compressed on the wire: reported by the upload server, by its own clock",
            "http2",
        ),
        (KnownBy::Server, _) => ("reported by the upload server, by its own clock", "http"),
    };
    writeln!(out, "             {dim}{known}   tshark: {filter}{dim:#}")
}

pub(super) fn termination(
    out: &mut impl Write,
    styles: Styles,
    phase: &Termination,
    timeline: &Timeline,
) -> io::Result<()> {
    for (step, sentence) in phase.steps.iter().zip(explain::termination_steps(phase)) {
        write_step(out, styles, step, timeline, &sentence)?;
    }
    match explain::termination(phase) {
        Some(sentence) => write_sentence(out, &sentence),
        None => Ok(()),
    }
}

/// What held an upload back.
pub(super) fn diagnosis(out: &mut impl Write, diagnosis: &Diagnosis) -> io::Result<()> {
    let mut sentences = explain::diagnosis(diagnosis).into_iter();
    sentences.try_for_each(|sentence| write_sentence(out, &sentence))
}

fn write_step(
    out: &mut impl Write,
    styles: Styles,
    step: &Step,
    timeline: &Timeline,
    sentence: &str,
) -> io::Result<()> {
    let dim = styles.dim;
    let (from, to) = (step.from.name(), step.from.other().name());
    write!(out, "    {:<8} {from} → {to}  ", step.name.name())?;
    match step.at_ns.map(duration) {
        Some(at) => write!(out, "+{at}")?,
        None => write!(out, "at an unknown time")?,
    }
    match (step.seq, step.ack, step.len) {
        (Some(seq), Some(ack), Some(len)) => write!(out, "  Seq={seq} Ack={ack} Len={len}")?,
        (Some(seq), None, Some(len)) => write!(out, "  Seq={seq} Len={len}")?,
        _ => {}
    }
    if let Some(window) = step.window {
        write!(out, " Win={window}")?;
    }
    if let Some(options) = &step.options {
        write_options(out, options)?;
    }
    if let Some(delay) = step.one_way_delay_ns {
        write!(out, "  arrived after {}", duration(delay))?;
    }
    writeln!(out)?;
    write_sentence(out, sentence)?;
    let known = match step.certainty {
        Certainty::Observed => "seen",
        Certainty::Inferred => "inferred",
        Certainty::Unknown => "not seen",
    };
    let tshark = match step.held_back {
        Some(_) => "nothing, since it never reached the network device".to_owned(),
        None => filter(step, timeline),
    };
    writeln!(
        out,
        "             {dim}{known}: {}   tshark: {tshark}{dim:#}",
        step.known_by
    )
}

fn write_sentence(out: &mut impl Write, sentence: &str) -> io::Result<()> {
    writeln!(out, "             {sentence}")
}

/// Wireshark's display filter for the step's segment.
fn filter(step: &Step, timeline: &Timeline) -> String {
    let (sender, receiver) = match step.from {
        End::Client => (&timeline.client, &timeline.server),
        End::Server => (&timeline.server, &timeline.client),
    };
    let mut filter = format!(
        "tcp.srcport=={} && tcp.dstport=={}",
        sender.port, receiver.port
    );
    filter.push_str(match step.name {
        StepName::Syn => " && tcp.flags.syn==1 && tcp.flags.ack==0",
        StepName::SynAck => " && tcp.flags.syn==1 && tcp.flags.ack==1",
        StepName::Fin | StepName::FinAck => " && tcp.flags.fin==1",
        StepName::Rst => " && tcp.flags.reset==1",
        _ => "",
    });
    if step.name == StepName::Ack
        && let (Some(seq), Some(ack)) = (step.seq, step.ack)
    {
        let _ = write!(
            filter,
            " && tcp.seq=={seq} && tcp.ack=={ack} && tcp.flags.syn==0"
        );
    }
    filter
}
