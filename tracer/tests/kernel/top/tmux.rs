//! A real terminal, which tmux has: what is typed there, and what is on it.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::lab::{Lab, run, skip, wait_until};

/// A terminal with a shell in the lab's namespace.
pub(super) struct Terminal<'a> {
    lab: &'a Lab,
    socket: PathBuf,
}

impl<'a> Terminal<'a> {
    /// `None` where tmux is missing.
    pub(super) fn open(lab: &'a Lab, (columns, rows): (u16, u16)) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip("this machine has no tmux");
            return None;
        }
        let socket = lab.dir.path().join("tmux");
        let terminal = Self { lab, socket };
        terminal.tmux(&[
            "new-session",
            "-d",
            "-x",
            &columns.to_string(),
            "-y",
            &rows.to_string(),
            "env",
            "PS1=ready$ ",
            "RUST_BACKTRACE=0",
            "bash",
            "--norc",
            "--noprofile",
        ]);
        terminal.wait_for("ready$");
        Some(terminal)
    }

    pub(super) fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = self.lab.inside("tmux");
        tmux.args(["-u", "-f", "/dev/null", "-S"])
            .arg(&self.socket)
            .args(arguments)
            .env_remove("TMUX")
            .env_remove("NO_COLOR");
        run(&mut tmux)
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What tmux knows of the terminal.
    pub(super) fn shown(&self, format: &str) -> String {
        let shown = self.tmux(&["display-message", "-p", format]);
        shown.trim().to_owned()
    }

    pub(super) fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    pub(super) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    pub(super) fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    /// The first screen for which this holds.
    pub(super) fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what} never came:\n{screen}");
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.dir.path().join(name)
    }

    /// Starts the tracer in the shell; its exit status and the modes of the terminal go to files.
    pub(super) fn start(&self, arguments: &str) {
        for name in ["before", "after", "status"] {
            let _ = fs::remove_file(self.file(name));
        }
        let dir = self.lab.dir.path().display();
        let tracer = env!("CARGO_BIN_EXE_tracer");
        self.type_line(&format!(
            "clear; stty -a >{dir}/before; {tracer} --top {arguments}; echo $? >{dir}/code; \
             stty -a >{dir}/after; mv {dir}/code {dir}/status"
        ));
    }

    /// The same, until it traces and has the terminal.
    pub(super) fn begin(&self, arguments: &str) {
        self.start(arguments);
        wait_until(|| self.shown("#{alternate_on} #{cursor_flag}") == "1 0");
        self.wait_for("attached in");
    }

    /// The process that has the terminal.
    pub(super) fn tracer(&self) -> String {
        let of_shell = self.shown("#{pane_pid}");
        let found = run(Command::new("pgrep").args(["-P", &of_shell, "-x", "tracer"]));
        found.trim().to_owned()
    }

    pub(super) fn signal(&self, signal: &str) {
        run(Command::new("kill").args([signal, &self.tracer()]));
    }

    /// Waits until the tracer has ended with this status, and holds the terminal to what it was before.
    pub(super) fn ends_with(&self, status: &str) -> String {
        wait_until(|| self.file("status").exists());
        let found = fs::read_to_string(self.file("status")).unwrap();
        let screen = self.screen();
        assert_eq!(found.trim(), status, "{screen}");
        let [before, after] = ["before", "after"].map(|name| fs::read_to_string(self.file(name)));
        // The first line has the size, which a test may have changed.
        let modes = |text: std::io::Result<String>| -> Vec<String> {
            text.unwrap().lines().skip(1).map(str::to_owned).collect()
        };
        assert_eq!(modes(before), modes(after));
        assert_eq!(
            self.shown("#{alternate_on} #{cursor_flag}"),
            "0 1",
            "{screen}"
        );
        self.wait_for("ready$")
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self
            .lab
            .inside("tmux")
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .stderr(Stdio::null())
            .status();
    }
}
