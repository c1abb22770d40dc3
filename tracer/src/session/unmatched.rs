//! Why a run traced nothing, from the connections that the filter refused.

use std::fmt::Write as _;

use crate::{cli::TraceArgs, kernel::Refused};

/// The sentence for a run that reported no connection; `None` where there is nothing to explain.
pub(super) fn explain(arguments: &TraceArgs, refused: Refused) -> Option<String> {
    let chosen = Chosen::of(arguments)?;
    let (plural, nobody) = match chosen {
        Chosen::Command => ("the command and the processes it started", "the command"),
        Chosen::Processes => ("the chosen processes", "no chosen process"),
        Chosen::Sockets => {
            return Some(match refused.others {
                0 => "no TCP connection was opened meanwhile".to_owned(),
                others => format!(
                    "no TCP connection matched; {} opened meanwhile",
                    count_others(others)
                ),
            });
        }
    };
    let mut sentence = match (refused.connects, refused.accepts) {
        (0, 0) if chosen == Chosen::Command => {
            format!("{nobody}, with the processes it started, opened no TCP connection")
        }
        (0, 0) => format!("{nobody} opened or accepted a TCP connection"),
        (opened, 0) => format!("{plural} opened {}", none_of(opened, arguments)),
        (0, accepted) => format!("{plural} accepted {}", none_of(accepted, arguments)),
        (opened, accepted) => format!(
            "{plural} opened {opened} and accepted {}",
            none_of(accepted, arguments)
        ),
    };
    if refused.by_children > 0 {
        let _ = write!(
            sentence,
            "; their children, which --pid leaves out, opened {}",
            refused.by_children
        );
    }
    if refused.others > 0 && refused.connects + refused.accepts == 0 {
        let _ = write!(
            sentence,
            "; {} opened by other processes",
            count_others(refused.others)
        );
    }
    Some(sentence)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Chosen {
    Command,
    Processes,
    /// By port or by cookie, whoever has them.
    Sockets,
}

impl Chosen {
    fn of(arguments: &TraceArgs) -> Option<Self> {
        if !arguments.run.is_empty() {
            Some(Self::Command)
        } else if arguments.names_processes() {
            Some(Self::Processes)
        } else {
            arguments.filters().then_some(Self::Sockets)
        }
    }
}

fn none_of(count: u64, arguments: &TraceArgs) -> String {
    let ports: Vec<String> = arguments.port.iter().map(ToString::to_string).collect();
    let ports = ports.join(" or ");
    match count {
        1 => format!("1 TCP connection, not from or to port {ports}"),
        count => format!("{count} TCP connections, none from or to port {ports}"),
    }
}

fn count_others(count: u64) -> String {
    match count {
        1 => "1 other was".to_owned(),
        count => format!("{count} others were"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::explain;
    use crate::{cli::Cli, kernel::Refused};

    fn check(words: &str, counts: [u64; 4], expected: Option<&str>) {
        let cli = Cli::parse_from(words.split(' '));
        let [connects, accepts, by_children, others] = counts;
        let refused = Refused {
            connects,
            accepts,
            by_children,
            others,
        };
        assert_eq!(explain(&cli.trace, refused).as_deref(), expected, "{words}");
    }

    #[test]
    fn a_command() {
        check(
            "tracer -- true",
            [0; 4],
            Some("the command, with the processes it started, opened no TCP connection"),
        );
        check(
            "tracer --port 443 --port 80 -- curl",
            [1, 0, 0, 9],
            Some(
                "the command and the processes it started opened 1 TCP connection, not from or to port 443 or 80",
            ),
        );
    }

    #[test]
    fn processes() {
        check(
            "tracer --pid 7",
            [0, 0, 2, 1],
            Some(
                "no chosen process opened or accepted a TCP connection; their children, which --pid leaves out, opened 2; 1 other was opened by other processes",
            ),
        );
        check(
            "tracer --comm nginx --port 81",
            [3, 4, 0, 5],
            Some(
                "the chosen processes opened 3 and accepted 4 TCP connections, none from or to port 81",
            ),
        );
    }

    #[test]
    fn sockets() {
        check(
            "tracer --port 81",
            [0, 0, 0, 2],
            Some("no TCP connection matched; 2 others were opened meanwhile"),
        );
        check(
            "tracer --cookie sk:1",
            [0; 4],
            Some("no TCP connection was opened meanwhile"),
        );
        check("tracer --all", [0; 4], None);
        check("tracer", [0; 4], None);
    }
}
