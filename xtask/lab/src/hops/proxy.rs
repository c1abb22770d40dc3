//! The proxies: what each is configured with, and how it is started.

mod ssh;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::place::Place;
use crate::bench::{process::Process, stop::Stop};

/// A proxy between two ports.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proxy {
    Nginx(Nginx),
    HaProxy(HaProxy),
    Caddy {
        tls: bool,
    },
    Socat,
    /// Takes TLS, and passes on what is in it.
    Stunnel,
    /// A tunnel from ssh to sshd, which connects to the next one.
    SshLocal,
    /// A tunnel from sshd back to ssh, which connects to the next one.
    SshRemote,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Nginx {
    /// After the port in `listen`.
    pub(crate) listen: &'static str,
    /// In its block `location`.
    pub(crate) location: &'static str,
    /// None: one process does everything.
    pub(crate) workers: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct HaProxy {
    /// In its section `defaults`.
    pub(crate) mode: &'static str,
    /// After the address in `bind`; PEM is the file with the certificate.
    pub(crate) bind: &'static str,
    /// After the address in `server`.
    pub(crate) server: &'static str,
    pub(crate) threads: u32,
}

/// Where a proxy is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Between {
    /// The port that it listens on.
    pub(crate) listen: u16,
    /// The port of the next one.
    pub(crate) to: u16,
    /// A port of its own, if it needs one.
    pub(crate) tunnel: u16,
}

/// What a proxy is started with.
struct Start<'a> {
    place: &'a Place,
    /// With the certificate.
    scratch: &'a Path,
    /// For what belongs to this one.
    home: PathBuf,
    at: Between,
    stop: &'a Stop,
}

impl Proxy {
    /// How many connections of an upload end at it.
    pub(crate) const fn hops(self) -> usize {
        match self {
            Self::SshLocal | Self::SshRemote => 2,
            _ => 1,
        }
    }

    /// Whether what connects to it speaks TLS.
    pub(crate) fn has_tls(self) -> bool {
        match self {
            Self::Nginx(nginx) => nginx.listen.starts_with("ssl"),
            Self::HaProxy(haproxy) => haproxy.bind.starts_with("ssl"),
            Self::Caddy { tls } => tls,
            Self::Stunnel => true,
            Self::Socat | Self::SshLocal | Self::SshRemote => false,
        }
    }

    pub(crate) const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Nginx(_) => &["nginx"],
            Self::HaProxy(_) => &["haproxy"],
            Self::Caddy { .. } => &["caddy"],
            Self::Socat => &["socat"],
            Self::Stunnel => &["stunnel"],
            Self::SshLocal | Self::SshRemote => &["ssh", "sshd", "ssh-keygen"],
        }
    }

    /// Starts it, with its files in a folder; it listens then. The processes are to be ended in this order.
    pub(crate) fn start(
        self,
        place: &Place,
        scratch: &Path,
        at: Between,
        stop: &Stop,
    ) -> Result<Vec<Process>> {
        let home = scratch.join(at.listen.to_string());
        fs::create_dir(&home)?;
        let start = Start {
            place,
            scratch,
            home,
            at,
            stop,
        };
        let command = match self {
            Self::Nginx(nginx) => start.nginx(nginx)?,
            Self::HaProxy(haproxy) => start.haproxy(haproxy)?,
            Self::Caddy { tls } => start.caddy(tls)?,
            Self::Socat => start.socat(),
            Self::Stunnel => start.stunnel()?,
            Self::SshLocal => return start.ssh('L'),
            Self::SshRemote => return start.ssh('R'),
        };
        Ok(vec![start.listening(command, at.listen)?])
    }
}

impl Start<'_> {
    fn nginx(&self, nginx: Nginx) -> Result<Command> {
        let (home, pem) = (self.home.display(), self.pem());
        let Between { listen, to, .. } = self.at;
        let Nginx {
            listen: options,
            location,
            workers,
        } = nginx;
        let processes = match workers {
            0 => "master_process off;".to_owned(),
            _ => format!("master_process on; worker_processes {workers};"),
        };
        let tls = match options.starts_with("ssl") {
            true => format!("ssl_certificate {pem}; ssl_certificate_key {pem};"),
            false => String::new(),
        };
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {home}/{name};\n"))
            .concat();
        let file = self.write(
            "nginx.conf",
            &format!(
                "user root; daemon off; {processes} pid {home}/pid; error_log stderr;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{ access_log off; client_max_body_size 0;\n{paths}\
                 upstream next {{ server 127.0.0.1:{to}; keepalive 32; }}\n\
                 server {{ listen 127.0.0.1:{listen} {options}; {tls}\n\
                 location / {{ proxy_pass http://next; proxy_set_header Host localhost;\n\
                 {location} }} }} }}\n"
            ),
        )?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&self.home);
        command.args(["-e", "stderr", "-c"]).arg(file);
        Ok(command)
    }

    fn haproxy(&self, haproxy: HaProxy) -> Result<Command> {
        let Between { listen, to, .. } = self.at;
        let HaProxy {
            mode,
            bind,
            server,
            threads,
        } = haproxy;
        let bind = bind.replace("PEM", &self.pem());
        let file = self.write(
            "haproxy.cfg",
            &format!(
                "global\n nbthread {threads}\n\
                 defaults\n {mode}\n\
                 timeout connect 9s\n timeout client 99s\n timeout server 99s\n\
                 listen proxy\n bind 127.0.0.1:{listen} {bind}\n\
                 server next 127.0.0.1:{to} {server}\n"
            ),
        )?;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-q", "-f"]).arg(file);
        Ok(command)
    }

    fn caddy(&self, tls: bool) -> Result<Command> {
        let Between { listen, to, .. } = self.at;
        let (scheme, certificate) = match tls {
            true => ("https", format!("tls {pem} {pem}", pem = self.pem())),
            false => ("http", String::new()),
        };
        let file = self.write(
            "Caddyfile",
            &format!(
                "{{\nadmin off\nauto_https disable_redirects\n}}\n\
                 {scheme}://localhost:{listen} {{\nbind 127.0.0.1\n{certificate}\n\
                 reverse_proxy 127.0.0.1:{to}\n}}\n"
            ),
        )?;
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]);
        command.arg(file);
        for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, &self.home);
        }
        Ok(command)
    }

    fn socat(&self) -> Command {
        let Between { listen, to, .. } = self.at;
        let mut command = Command::new("socat");
        command.args(["-t", "99"]).args([
            format!("TCP4-LISTEN:{listen},bind=127.0.0.1,reuseaddr,fork,backlog=256"),
            format!("TCP4:127.0.0.1:{to}"),
        ]);
        command
    }

    fn stunnel(&self) -> Result<Command> {
        let (Between { listen, to, .. }, pem) = (self.at, self.pem());
        let file = self.write(
            "stunnel.conf",
            &format!(
                "foreground = yes\npid =\n[proxy]\naccept = 127.0.0.1:{listen}\n\
                 connect = 127.0.0.1:{to}\ncert = {pem}\n"
            ),
        )?;
        let mut command = Command::new("stunnel");
        command.arg(file);
        Ok(command)
    }

    /// The file with the certificate and its key.
    fn pem(&self) -> String {
        self.scratch.join("pem").display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.home.join(name);
        fs::write(&file, text)?;
        Ok(file)
    }

    /// Starts a program, and waits until it listens.
    fn listening(&self, mut command: Command, port: u16) -> Result<Process> {
        let name = command.get_program().to_string_lossy().into_owned();
        let messages = self.home.join(format!("messages-{port}"));
        command
            .stdout(File::create(&messages)?)
            .stderr(File::options().append(true).open(&messages)?);
        let process = self.place.start(&name, &mut command)?;
        let listens = self.place.wait_until_it_listens(&process, port, self.stop);
        listens.with_context(|| fs::read_to_string(messages).unwrap_or_default())?;
        Ok(process)
    }
}
