//! The two programs, and what comes with each.

use std::path::Path;

use anyhow::Result;
pub(crate) use xtask::architecture::Architecture;

use crate::{
    image::{Container, Volume},
    pages,
    release::Release,
    tree::Tree,
};

/// A program, and how packages describe it.
pub(crate) struct Program {
    /// Of the package, the crate and the file.
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) summary: &'static str,
    /// What it is for, in one paragraph.
    pub(crate) description: &'static str,
    /// Its command line.
    pub(crate) command: fn() -> clap::Command,
    /// Its services.
    pub(crate) units: &'static [Unit],
    /// `sysusers.d(5)`: the user of its services.
    pub(crate) user: Option<&'static str>,
    /// What a shell does after the package was purged.
    pub(crate) purge: Option<&'static str>,
    /// Why something that lintian reports is meant, and what it reports.
    pub(crate) lintian: &'static [(&'static str, &'static str)],
    /// How it runs in a container.
    pub(crate) container: Container,
}

/// A program that was built, with everything that is installed.
pub(crate) struct Built<'a> {
    pub(crate) program: &'a Program,
    pub(crate) release: &'a Release,
    pub(crate) architecture: Architecture,
    pub(crate) tree: Tree,
}

/// A service.
pub(crate) struct Unit {
    /// Of the file.
    pub(crate) name: &'static str,
    content: &'static str,
    /// Whether installing the package enables and starts it.
    pub(crate) starts: bool,
}

const STATIC: (&str, &str) = (
    "One program for every distribution: it depends on no other package's libraries.",
    "statically-linked-binary *",
);
const NOT_OF_DEBIAN: (&str, &str) = (
    "The package is the project's own.",
    "initial-upload-closes-no-bugs *",
);

/// In the order in which they are built.
pub(crate) const PROGRAMS: [Program; 2] = [
    Program {
        name: "tracer",
        summary: "show what TCP did for an upload",
        description: "The tracer shows how a connection was opened, used and closed, as the kernel \
            saw it: one timeline for each upload, and what held it back. It observes with eBPF, and \
            reads the captures of tcpdump and Wireshark.",
        command: pages::tracer,
        units: &[
            Unit {
                name: "tracer.service",
                content: include_str!("../../../tracer/tracer.service"),
                starts: false,
            },
            Unit {
                name: "tracer-uploads.service",
                content: include_str!("../../../tracer/tracer-uploads.service"),
                starts: true,
            },
        ],
        user: None,
        purge: None,
        lintian: &[
            STATIC,
            NOT_OF_DEBIAN,
            (
                "It starts with the server, and never without.",
                "systemd-service-file-refers-to-unusual-wantedby-target *",
            ),
        ],
        // Capabilities that a runtime grants are root's alone. The tracer drops them once it is attached.
        container: Container {
            user: 0,
            arguments: &[],
            volumes: &[],
            environment: &[],
            ports: &[],
        },
    },
    Program {
        name: "upload-server",
        summary: "receive uploads over HTTP, and record how each arrived",
        description: "The server takes files by PUT, by form and by resumable upload (tus), keeps \
            them whole or not at all, and records when and how each one arrived. Where the tracer \
            runs, the page of an upload also shows what TCP did for it.",
        command: pages::upload_server,
        units: &[Unit {
            name: "upload-server.service",
            content: include_str!("../../../upload-server/upload-server.service"),
            starts: true,
        }],
        user: Some(include_str!("../../../upload-server/sysusers.conf")),
        purge: Some(include_str!("../../../upload-server/purge.sh")),
        lintian: &[
            STATIC,
            NOT_OF_DEBIAN,
            ("SQLite is within it, too.", "embedded-library *"),
        ],
        container: Container {
            user: 65532,
            // Other machines can reach it, as the point of a container's port is: so it asks for a token.
            arguments: &["--listen", ":5000", "--token-file", "token"],
            volumes: &[
                Volume {
                    path: "/var/lib/upload-server",
                    mode: 0o750,
                },
                // The control socket in it is open to the user alone. Its owner can be seen, as with systemd.
                Volume {
                    path: "/run/upload-server",
                    mode: 0o755,
                },
            ],
            // As systemd sets them for the service.
            environment: &[
                "RUNTIME_DIRECTORY=/run/upload-server",
                "STATE_DIRECTORY=/var/lib/upload-server",
            ],
            ports: &["5000/tcp"],
        },
    },
];

const LICENCES: [(&str, &str); 2] = [
    ("LICENSE-APACHE", include_str!("../../../LICENSE-APACHE")),
    ("LICENSE-MIT", include_str!("../../../LICENSE-MIT")),
];

impl Program {
    /// Everything that is installed, beneath `/usr`. `binary` is the built program.
    pub(crate) fn tree(&self, release: &Release, binary: &Path, licences: String) -> Result<Tree> {
        let mut tree = Tree::default();
        let command = (self.command)();
        tree.add_program(&format!("bin/{}", self.name), binary)?;
        for (name, page) in pages::manual(&command, release)? {
            tree.add(&format!("share/man/man1/{name}"), page);
        }
        for (place, completion) in pages::completions(&command) {
            tree.add(&place, completion);
        }
        for unit in self.units {
            tree.add(&format!("lib/systemd/system/{}", unit.name), unit.content);
        }
        if let Some(user) = self.user {
            tree.add(&format!("lib/sysusers.d/{}.conf", self.name), user);
        }
        let documents = format!("share/doc/{}", self.name);
        for (name, text) in LICENCES {
            tree.add(&format!("{documents}/{name}"), text);
        }
        tree.add(&format!("{documents}/DEPENDENCIES"), licences);
        Ok(tree)
    }
}
