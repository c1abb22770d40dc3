//! A program as a package of rpm's.

use std::{fmt::Write as _, path::Path};

use anyhow::Result;
use xtask::{
    command::{cargo, run},
    setup::dist::Tools,
};

use crate::{
    manifest::{self, Asset},
    program::{Architecture, Built, Program},
    release::Release,
    tree::Tree,
};

/// Makes the package.
pub(crate) fn write(built: &Built<'_>, tools: &Tools, out: &Path) -> Result<()> {
    let &Built {
        program,
        release,
        architecture,
        ref tree,
    } = built;
    let folder = manifest::write(tree, release, program, "rpm", &table(tree, program)?)?;
    run(cargo()
        .args(["generate-rpm", "--auto-req", "disabled"])
        .args(["--arch", architecture.name()])
        .arg("--output")
        .arg(out.join(file_name(program, release, architecture)))
        .env("PATH", tools.first_in_path()?)
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .current_dir(folder))
}

/// `NAME-VERSION-1.ARCHITECTURE.rpm`
pub(crate) fn file_name(
    program: &Program,
    release: &Release,
    architecture: Architecture,
) -> String {
    format!(
        "{}-{}-1.{}.rpm",
        program.name,
        release.version,
        architecture.name()
    )
}

fn table(tree: &Tree, program: &Program) -> Result<String> {
    let mut table = format!(
        "\n[package.metadata.generate-rpm]\nsummary = {:?}\n",
        program.summary
    );
    for (name, script) in scripts(program) {
        writeln!(table, "{name} = {script:?}")?;
    }
    table.push_str(&manifest::assets(tree, |asset| {
        let Asset { from, to, mode } = &asset;
        let is_document = asset.is_document();
        format!("{{ source = {from:?}, dest = {to:?}, mode = \"{mode:o}\", doc = {is_document} }}")
    }));
    Ok(table)
}

/// What the macros of systemd's for packages do: its presets decide whether a service starts. The folder of documents is
/// removed by hand: cargo-generate-rpm 0.21 cannot pack a folder.
fn scripts(program: &Program) -> [(&'static str, String); 3] {
    let names: Vec<&str> = program.units.iter().map(|unit| unit.name).collect();
    let units = names.join(" ");
    let user = match program.user {
        Some(_) => format!("systemd-sysusers {}.conf || :\n", program.name),
        None => String::new(),
    };
    [
        (
            "post_install_script",
            format!(
                "{user}if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi\n\
                 if [ \"$1\" -eq 1 ]; then systemctl --no-reload preset {units} || :; fi\n"
            ),
        ),
        (
            "pre_uninstall_script",
            format!(
                "if [ \"$1\" -eq 0 ]; then systemctl --no-reload disable --now {units} || :; fi\n"
            ),
        ),
        (
            "post_uninstall_script",
            format!(
                "if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi\n\
                 if [ \"$1\" -ge 1 ]; then systemctl try-restart {units} || :; \
                 else rmdir /usr/share/doc/{name} || :; fi\n",
                name = program.name,
            ),
        ),
    ]
}
