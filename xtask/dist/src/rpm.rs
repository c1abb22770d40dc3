//! A program as a package of rpm's.

use std::{fmt::Write as _, path::Path};

use anyhow::Result;
use xtask::command::{cargo, run};

use crate::{
    manifest::{self, source},
    program::{Architecture, Program},
    release::Release,
    tree::Tree,
};

/// `NAME-VERSION-1.ARCHITECTURE.rpm`
pub(crate) fn write(
    tree: &Tree,
    release: &Release,
    program: &Program,
    architecture: Architecture,
    out: &Path,
) -> Result<()> {
    let folder = manifest::write(tree, release, program, "rpm", &table(tree, program)?)?;
    let file = format!(
        "{}-{}-1.{}.rpm",
        program.name,
        release.version,
        architecture.name()
    );
    run(cargo()
        .args(["generate-rpm", "--auto-req", "disabled"])
        .args(["--arch", architecture.name()])
        .arg("--output")
        .arg(out.join(file))
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .current_dir(folder))
}

fn table(tree: &Tree, program: &Program) -> Result<String> {
    let mut table = format!(
        "\n[package.metadata.generate-rpm]\nsummary = {:?}\n",
        program.summary
    );
    for (name, script) in scripts(program) {
        writeln!(table, "{name} = {script:?}")?;
    }
    table.push_str("assets = [\n");
    for (path, file) in &tree.files {
        let (from, to) = (source(path), format!("/usr/{path}"));
        let is_document = path.starts_with("share/doc/");
        writeln!(
            table,
            "  {{ source = {from:?}, dest = {to:?}, mode = \"{:o}\", doc = {is_document} }},",
            file.mode()
        )?;
    }
    table.push_str("]\n");
    Ok(table)
}

/// What the macros of systemd's for packages do: its presets decide whether a service starts.
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
                 if [ \"$1\" -ge 1 ]; then systemctl try-restart {units} || :; fi\n"
            ),
        ),
    ]
}
