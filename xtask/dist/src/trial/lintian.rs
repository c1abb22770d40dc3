//! What Debian's own tool reports of packages: each error and each warning is a failure.

use std::{path::Path, process::Command};

use anyhow::Result;
use xtask::command::run;

use crate::{
    debian,
    program::{Architecture, PROGRAMS},
    release::Release,
};

pub(super) fn check(release: &Release, architectures: &[Architecture], out: &Path) -> Result<()> {
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--allow-root", "--fail-on", "error,warning"])
        // Who builds names the address.
        .args(["--suppress-tags", "bogus-mail-host"]);
    for &architecture in architectures {
        let packages = PROGRAMS
            .iter()
            .map(|program| out.join(debian::file_name(program, release, architecture)));
        lintian.args(packages);
    }
    run(&mut lintian)
}
