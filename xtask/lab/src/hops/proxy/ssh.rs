//! A tunnel of ssh: all uploads share the connection between ssh and sshd.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use super::{Between, Start};
use crate::bench::process::{Process, finish};

/// How long ssh-keygen may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

impl Start<'_> {
    /// sshd with keys of its own, and an ssh that stays connected: `L` listens itself, `R` lets sshd listen.
    pub(super) fn ssh(&self, direction: char) -> Result<Vec<Process>> {
        let Between { listen, to, tunnel } = self.at;
        let (host, user) = (self.key("host")?, self.key("user")?);
        // Where sshd locks itself in until a client is known.
        fs::create_dir_all("/run/sshd")?;
        let configuration = self.write(
            "sshd.conf",
            &format!(
                "ListenAddress 127.0.0.1:{tunnel}\nHostKey {}\nAuthorizedKeysFile {}.pub\n\
                 StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\n",
                host.display(),
                user.display()
            ),
        )?;
        // It starts itself again for each client, and so wants its full path.
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(configuration);
        let sshd = self.listening(sshd, tunnel)?;
        let mut ssh = Command::new("ssh");
        ssh.args(["-N", "-F", "none", "-i"])
            .arg(user)
            .args(["-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "ExitOnForwardFailure=yes"])
            .arg(format!("-{direction}"))
            .arg(format!("127.0.0.1:{listen}:127.0.0.1:{to}"))
            .args(["-p", &tunnel.to_string(), "root@127.0.0.1"]);
        Ok(vec![self.listening(ssh, listen)?, sshd])
    }

    fn key(&self, name: &str) -> Result<PathBuf> {
        let file = self.home.join(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
        finish("ssh-keygen", keygen.arg(&file), PATIENCE, self.stop)?;
        Ok(file)
    }
}
