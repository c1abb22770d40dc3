//! What an answer about each connection costs: the processor time of the tracer, and of the programs that are put
//! together for it otherwise. The connections come one after another, so that no program has to leave one out.

use anyhow::{Result, bail};

use self::pipeline::{Pipeline, RunningPipeline};
use super::{
    Bench,
    interleave::Spread,
    load::Load,
    peer::Peer,
    report::Row,
    tracer_under_test::{DEFAULT, Running, TracerUnderTest},
};
use xtask::command::{is_installed, log};

mod pipeline;

const PART: &str = "answer";
/// Connections in each run.
const CONNECTIONS: u32 = 5000;

/// Who answers.
enum Subject {
    One(TracerUnderTest),
    Pipeline(Pipeline),
}

/// One that runs.
enum Answering {
    One(Running),
    Pipeline(RunningPipeline),
}

pub(super) fn answer(bench: &mut Bench) -> Result<()> {
    let load = Load::start(bench)?;
    let mut subjects = vec![
        Subject::One(DEFAULT),
        Subject::One(TracerUnderTest::Tracer(&["--all", "-o", "ndjson"])),
    ];
    for pipeline in Pipeline::ALL {
        match pipeline
            .programs()
            .iter()
            .find(|program| !is_installed(program))
        {
            Some(absent) => bench.absent(format!("{}, {absent} is not installed", pipeline.name())),
            None => subjects.push(Subject::Pipeline(pipeline)),
        }
    }
    let peers = Peer::able(bench, &load)?;
    let of_connections = [Peer::Tcplife, Peer::Tcpstates];
    let peers = peers
        .into_iter()
        .filter(|peer| of_connections.contains(peer));
    subjects.extend(peers.map(|peer| Subject::One(TracerUnderTest::Peer(peer))));
    let mut taken = vec![Vec::new(); subjects.len()];
    for _ in 0..bench.rounds {
        for (subject, taken) in subjects.iter().zip(&mut taken) {
            log(&format!("answer: {}", subject.name()));
            taken.push(subject.measure(bench, &load)?);
        }
    }
    for (n, (subject, own)) in subjects.iter().zip(&taken).enumerate() {
        let unit = "ms of CPU per 1,000 connections";
        let value = Spread::of(own.iter().copied());
        let row = Row::new(PART, subject.name(), "all its processes", unit, value);
        // Each with the tracer's run of the same round.
        let ratios = own.iter().zip(&taken[0]).map(|(own, ours)| own / ours);
        let of = format!("this ÷ {}", subjects[0].name());
        bench.add_row(match n {
            0 => row,
            _ => row.map(|row| row.beside(of, Spread::of(ratios))),
        });
    }
    Ok(())
}

impl Subject {
    /// As in the table.
    fn name(&self) -> String {
        match self {
            Self::One(subject) => subject.name(),
            Self::Pipeline(pipeline) => pipeline.name().to_owned(),
        }
    }

    /// Milliseconds of CPU for 1,000 connections, without those until it traces.
    fn measure(&self, bench: &Bench, load: &Load) -> Result<f64> {
        let answering = match self {
            Self::One(subject) => Answering::One(subject.start(bench, load)?),
            Self::Pipeline(pipeline) => Answering::Pipeline(pipeline.start(bench, load)?),
        };
        let before = match &answering {
            Answering::One(running) => running.cpu()?,
            Answering::Pipeline(running) => running.cpu()?,
        };
        load.connect(CONNECTIONS)?;
        let after = match answering {
            Answering::One(running) => {
                let after = running.cpu()?;
                let ended = running.end(&bench.stop)?;
                if ended.lost > 0 {
                    bail!(
                        "{} lost {} events: its cost cannot be compared",
                        self.name(),
                        ended.lost
                    );
                }
                if let Self::One(subject) = self {
                    subject.check(&ended, CONNECTIONS.into())?;
                }
                after
            }
            Answering::Pipeline(running) => running.end(CONNECTIONS, &bench.stop)?,
        };
        let each = after.saturating_sub(before) / CONNECTIONS;
        Ok(each.as_secs_f64() * 1e6)
    }
}
