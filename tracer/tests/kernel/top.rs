//! `tracer --top` on a real terminal: tmux has it, and shows what is on it.

mod tmux;

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Instant,
};

use tracer::internals::terminal;

use self::tmux::Terminal;
use crate::{
    churn::{churn_at, port},
    lab::{Lab, Script, report_figures, run, wait_until},
};

/// An upload that goes on until its stdin ends: about a megabyte a second.
const SLOW_UPLOAD: &str = r"
import socket, sys, threading, time
listener = socket.create_server(('127.0.0.1', 5006))
client = socket.create_connection(('127.0.0.1', 5006))
server, _ = listener.accept()
client.sendall(b'PUT /slow.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000000\r\n\r\n')
def read():
    while server.recv(1 << 16): pass
threading.Thread(target=read, daemon=True).start()
ended = threading.Event()
def write():
    while not ended.wait(0.01): client.sendall(b'x' * 10000)
    client.close()
threading.Thread(target=write).start()
print('ready')
sys.stdin.read()
ended.set()
";

/// A process whose name acts on a terminal, with a connection.
const HOSTILE: &str = r"
import socket, sys
open('/proc/self/comm', 'wb').write(b'\x1b[2J\x1b]0;own\x07')
listener = socket.create_server(('127.0.0.1', 5006))
client = socket.create_connection(('127.0.0.1', 5006))
server, _ = listener.accept()
client.sendall(b'PUT /red HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nx')
print('ready')
sys.stdin.read()
";

/// The number before this word on the screen.
fn number(screen: &str, word: &str) -> Option<usize> {
    let (before, _) = screen.split_once(word)?;
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The number after this word.
fn number_after(screen: &str, word: &str) -> Option<usize> {
    let (_, after) = screen.split_once(word)?;
    let digits = after.trim_start().split(|c: char| !c.is_ascii_digit());
    digits.into_iter().next()?.parse().ok()
}

/// The rows between the headings of the two lists.
fn rows_under_way(screen: &str) -> Vec<&str> {
    let lines = screen.lines().skip(3);
    let lines = lines.take_while(|line| !line.starts_with("Ended lately"));
    lines.filter(|line| !line.trim().is_empty()).collect()
}

/// Whether the counts belong to each other and to the rows.
fn agree(screen: &str) -> bool {
    let counts = [" shown,", " more", " under way,"].map(|word| number(screen, word));
    let [Some(shown), Some(more), Some(all)] = counts else {
        return false;
    };
    shown + more == all && rows_under_way(screen).len() == shown
}

/// The first screen with lists for which this holds, whose counts agree: what is read while the tracer writes has a part
/// of the frame before.
fn listed(terminal: &Terminal<'_>, what: &str, holds: impl Fn(&str) -> bool) -> String {
    terminal.wait_until(what, |screen| agree(screen) && holds(screen))
}

/// Ends the load, also where the test fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_under_way_while_thousands_come_and_go() {
    let lab = Lab::new();
    let Some(terminal) = Terminal::open(&lab, (80, 24)) else {
        return;
    };
    // Not those of other tests, which run meanwhile.
    let churned = port() + 1;
    terminal.begin(&format!("--port 5006 --port {churned}"));
    let upload = Script::start(lab.inside("python3"), SLOW_UPLOAD);
    let row = listed(&terminal, "the upload", |screen| {
        let rows = rows_under_way(screen);
        rows.iter()
            .any(|row| row.contains("/s") && row.contains('%'))
    });
    assert_eq!(number(&row, " uploading"), Some(1), "{row}");
    let (stop, made) = (AtomicBool::new(false), AtomicU32::new(0));
    let (stop, made) = (&stop, &made);
    let lab = &lab;
    thread::scope(|scope| {
        let ending = Ending(stop);
        let load = scope.spawn(move || {
            let started = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let before = made.load(Ordering::Relaxed);
                // Addresses of its own each time: a program that is being started may still have the listener before.
                let from = 10 * before;
                churn_at(lab, &(from..from + 1_000), 2, churned);
                made.store(before + 1_000, Ordering::Relaxed);
            }
            f64::from(2 * made.load(Ordering::Relaxed)) / started.elapsed().as_secs_f64()
        });
        let ended = |screen: &str| number_after(screen, "ended");
        let narrow = listed(&terminal, "5,000 ended", |screen| {
            ended(screen) >= Some(5_000)
        });
        assert!(narrow.lines().count() <= 24, "{narrow}");
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 80),
            "{narrow}"
        );
        // The one with a rate comes first.
        listed(&terminal, "a rate first", |screen| {
            let rows = rows_under_way(screen);
            rows.first().is_some_and(|row| row.contains("kB/s"))
        });
        terminal.tmux(&["resize-window", "-x", "200", "-y", "50"]);
        let wide = listed(&terminal, "a wide screen", |screen| {
            screen.contains("STATE") && screen.contains("PUT /slow.bin")
        });
        assert!(rows_under_way(&wide)[0].contains("ESTABLISHED"), "{wide}");
        let more = ended(&wide).unwrap() + 5_000;
        listed(&terminal, "5,000 more", |screen| {
            ended(screen) >= Some(more)
        });
        // Their order is another one, and one alone is left by the filter.
        terminal.press(&["s"]);
        terminal.wait_for("by bytes, most first");
        terminal.press(&["/", "s", "l", "o", "w", "Enter"]);
        terminal.wait_until("one row", |screen| {
            let is_filtered = screen.contains("1 shown, 0 more · filter: slow");
            is_filtered && rows_under_way(screen).len() == 1
        });
        terminal.press(&["Enter"]);
        let opened = terminal.wait_for("its timeline so far");
        let opened = if opened.contains("initiation") {
            opened
        } else {
            terminal.wait_for("initiation")
        };
        assert!(opened.contains("PUT /slow.bin"), "{opened}");
        upload.end();
        let over = terminal.wait_until("its end", |screen| {
            screen.contains("termination") && !screen.contains("so far")
        });
        assert!(over.contains("FIN"), "{over}");
        terminal.press(&["Escape"]);
        terminal.wait_for("Ended lately");
        drop(ending);
        let per_second = load.join().unwrap();
        report_figures(&format!(
            "{per_second:.0} connections a second came and went\n{narrow}\n{wide}"
        ));
    });
    let all = usize::try_from(2 * made.load(Ordering::Relaxed)).unwrap() + 1;
    let last = listed(&terminal, "the last of them", |screen| {
        number(screen, " under way,") == Some(0) || screen.contains("records lost")
    });
    if last.contains("nothing lost") {
        let ended = terminal.wait_until("all of them", |screen| {
            number_after(screen, "ended") >= Some(all)
        });
        assert_eq!(number_after(&ended, "ended"), Some(all), "{ended}");
    }
    terminal.press(&["q"]);
    let after = terminal.ends_with("0");
    assert!(after.contains(" connections, "), "{after}");
}

/// However the tracer ends, the terminal is what it was.
#[test]
fn the_terminal_is_given_back() {
    let lab = Lab::new();
    let Some(terminal) = Terminal::open(&lab, (80, 24)) else {
        return;
    };
    for key in ["q", "C-c"] {
        terminal.begin("--port 5006");
        terminal.press(&[key]);
        let after = terminal.ends_with("0");
        // Lines for stderr came then.
        assert!(after.contains("attached in"), "{after}");
        assert!(after.contains("0 connections, 0 uploads"), "{after}");
    }
    terminal.begin("--port 5006 --duration 3");
    terminal.ends_with("0");
    for signal in ["-TERM", "-INT", "-HUP"] {
        terminal.begin("--port 5006");
        terminal.signal(signal);
        terminal.ends_with("0");
    }
}

/// A terminal that answers no question, as a serial console or `script`: nobody knows where its cursor is.
const MUTE_TERMINAL: &str = r#"
import fcntl, os, pty, struct, subprocess, sys, termios
screen, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
tracer = subprocess.Popen([sys.argv[1], "--top", "--port", "5006"], stdin=terminal, stdout=terminal)
os.close(terminal)
drawn = b""
while b"under way" not in drawn:
    drawn += os.read(screen, 65536)
fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
os.write(screen, b"\x0cq")
try:
    while True: drawn += os.read(screen, 65536)
except OSError: pass
sys.exit(tracer.wait() or b"\x1b[6n" in drawn)
"#;

#[test]
fn a_terminal_may_be_mute() {
    let lab = Lab::new();
    let tracer = env!("CARGO_BIN_EXE_tracer");
    run(lab
        .inside("python3")
        .args(["-c", MUTE_TERMINAL, tracer])
        .env("TERM", "xterm"));
}

/// While the tracer is stopped, the shell has the terminal.
#[test]
fn stopped_and_continued() {
    let lab = Lab::new();
    let Some(terminal) = Terminal::open(&lab, (80, 24)) else {
        return;
    };
    terminal.begin("--port 5006");
    let pid = terminal.tracer();
    let state = || {
        let stat = fs::read_to_string(Path::new("/proc").join(&pid).join("stat")).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next()
    };
    let of_shell = |terminal: &Terminal<'_>| {
        terminal.wait_until("the shell", |screen| screen.trim_end().ends_with("ready$"));
        assert_eq!(terminal.shown("#{alternate_on} #{cursor_flag}"), "0 1");
    };
    let back = |terminal: &Terminal<'_>| {
        terminal.type_line("fg");
        terminal.wait_for("Under way, by rate");
        wait_until(|| terminal.shown("#{alternate_on} #{cursor_flag}") == "1 0");
    };
    terminal.press(&["C-z"]);
    wait_until(|| state() == Some('T'));
    of_shell(&terminal);
    back(&terminal);
    run(Command::new("kill").args(["-TSTP", &pid]));
    wait_until(|| state() == Some('T'));
    of_shell(&terminal);
    back(&terminal);
    // This one leaves no time to give it back.
    run(Command::new("kill").args(["-STOP", &pid]));
    wait_until(|| state() == Some('T'));
    back(&terminal);
    terminal.press(&["q"]);
    wait_until(|| !Path::new("/proc").join(&pid).exists());
    of_shell(&terminal);
    terminal.type_line("stty -a | tr ' ;' '\\n\\n' | grep -x -e echo -e icanon -e isig | wc -l");
    terminal.wait_for("\n3\n");
}

/// What the test after this one runs in the terminal.
#[test]
fn a_panic_on_a_screen() {
    if env::var("TOP_PANICS").is_err() {
        return;
    }
    tracer::stderr::report_panics();
    terminal::take().unwrap();
    panic!("the screen is full");
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let lab = Lab::new();
    let Some(terminal) = Terminal::open(&lab, (80, 24)) else {
        return;
    };
    let (dir, own) = (lab.dir.path().display(), env::current_exe().unwrap());
    terminal.type_line(&format!(
        "stty -a >{dir}/before; TOP_PANICS=1 {} --exact --nocapture top::a_panic_on_a_screen; \
         echo $? >{dir}/code; stty -a >{dir}/after; mv {dir}/code {dir}/status",
        own.display()
    ));
    let after = terminal.ends_with("101");
    assert!(after.contains("the screen is full"), "{after}");
}

/// Names of processes and requests do nothing there, and nothing is coloured where nobody wants colours.
#[test]
fn hostile_names_on_a_screen() {
    let lab = Lab::new();
    let Some(terminal) = Terminal::open(&lab, (200, 50)) else {
        return;
    };
    let title = terminal.shown("#{pane_title}");
    terminal.begin("--port 5006");
    let hostile = Script::start(lab.inside("python3"), HOSTILE);
    let screen = listed(&terminal, "the name", |screen| {
        screen.contains("\\u{1b}[2J")
    });
    assert!(screen.contains("Under way, by rate"), "{screen}");
    assert_eq!(terminal.shown("#{pane_title}"), title);
    let coloured = |terminal: &Terminal<'_>| {
        let cells = terminal.tmux(&["capture-pane", "-p", "-e"]);
        cells.contains("38;5;2m")
    };
    wait_until(|| coloured(&terminal));
    terminal.press(&["Enter"]);
    terminal.wait_for("initiation");
    assert_eq!(terminal.shown("#{pane_title}"), title);
    terminal.press(&["q"]);
    terminal.ends_with("0");
    hostile.end();
    terminal.type_line("export NO_COLOR=1");
    terminal.begin("--port 5006");
    let hostile = Script::start(lab.inside("python3"), HOSTILE);
    terminal.wait_for("\\u{1b}[2J");
    assert!(!coloured(&terminal));
    hostile.end();
    terminal.press(&["q"]);
    terminal.ends_with("0");
}

/// One sentence, where it cannot be.
#[test]
fn where_there_is_no_screen() {
    let lab = Lab::new();
    let refused = |arguments: &[&str], code: i32, sentence: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tracer"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(sentence), "{stderr}");
        assert!(output.stdout.is_empty());
    };
    refused(
        &["--top", "--port", "5006"],
        1,
        "--top needs a terminal, and stdout is none",
    );
    refused(
        &["--top", "--", "true"],
        2,
        "would tear the screen of --top",
    );
    refused(
        &["record", "/dev/null", "--top", "--", "true"],
        2,
        "would tear the screen",
    );
    refused(&["--top", "-o", "ndjson"], 2, "cannot be used with");
    refused(&["--top", "--segments"], 2, "cannot be used with");
    refused(
        &["replay", "no.trace", "--top"],
        2,
        "unexpected argument '--top'",
    );
    let Some(terminal) = Terminal::open(&lab, (80, 24)) else {
        return;
    };
    terminal.type_line("export TERM=dumb");
    terminal.start("--port 5006");
    let after = terminal.ends_with("1");
    assert!(after.contains("TERM is dumb"), "{after}");
}
