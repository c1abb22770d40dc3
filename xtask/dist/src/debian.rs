//! A program as a package of Debian's.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;
use xtask::{
    command::{cargo, run},
    setup::dist::Tools,
};

use crate::{
    manifest::{self, Asset, put},
    program::{Architecture, Built, Program},
    release::Release,
    tree::{File, Tree},
};

/// Before the texts of the licences.
const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: upload tracer
Comment: DEPENDENCIES, beside this file, has the licences of what is linked into the program.

Files: *
Copyright: The upload tracer's authors
License: Apache-2.0 or Expat

License: Apache-2.0
 On Debian systems, the full text is in /usr/share/common-licenses/Apache-2.0.

License: Expat
";

/// Makes the package.
pub(crate) fn write(built: &Built<'_>, tools: &Tools, out: &Path) -> Result<()> {
    let &Built {
        program,
        release,
        architecture,
        ..
    } = built;
    let tree = as_debian_has_it(&built.tree, program);
    let table = table(&tree, program, &release.packager)?;
    let folder = manifest::write(&tree, release, program, "deb", &table)?;
    put(&folder.join("description"), program.description)?;
    put(&folder.join("changelog"), &changelog(release, program)?)?;
    let scripts = folder.join("scripts");
    fs::create_dir_all(&scripts)?;
    if let Some(purge) = program.purge {
        put(&scripts.join("postrm"), purge)?;
    }
    let file = file_name(program, release, architecture);
    run(cargo()
        .args(["deb", "--no-build", "--no-strip"])
        .args(["--target", architecture.target()])
        .arg("--output")
        .arg(out.join(file))
        .current_dir(folder)
        .env("PATH", tools.first_in_path()?)
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string()))
}

/// Of the package.
pub(crate) fn file_name(
    program: &Program,
    release: &Release,
    architecture: Architecture,
) -> String {
    format!(
        "{}_{}-1_{}.deb",
        program.name,
        release.version,
        architecture.of_debian()
    )
}

/// Licences in one file, zsh's completions in Debian's folder, and what lintian should not report.
fn as_debian_has_it(tree: &Tree, program: &Program) -> Tree {
    let mut debian = Tree::default();
    let documents = format!("share/doc/{}/", program.name);
    let mut copyright = COPYRIGHT.to_owned();
    for (path, file) in &tree.files {
        let text = String::from_utf8_lossy(&file.content);
        match path.strip_prefix(&documents) {
            Some("LICENSE-MIT") => indent(&mut copyright, &text),
            Some("LICENSE-APACHE") => {}
            _ => {
                let path = path.replace("zsh/site-functions", "zsh/vendor-completions");
                let file = File {
                    content: file.content.clone(),
                    is_program: file.is_program,
                };
                debian.files.insert(path, file);
            }
        }
    }
    debian.add(&format!("{documents}copyright"), copyright);
    let lintian = program.lintian.iter().map(|(reason, found)| {
        let name = program.name;
        format!("# {reason}\n{name}: {found}\n")
    });
    debian.add(
        &format!("share/lintian/overrides/{}", program.name),
        lintian.collect::<String>(),
    );
    debian
}

/// As a field in several lines: indented, and a dot for an empty line.
fn indent(field: &mut String, text: &str) {
    for line in text.lines() {
        field.push(' ');
        field.push_str(if line.trim().is_empty() { "." } else { line });
        field.push('\n');
    }
}

fn table(tree: &Tree, program: &Program, packager: &str) -> Result<String> {
    let mut table = format!(
        "\n[package.metadata.deb]\nmaintainer = {packager:?}\nsection = \"net\"\npriority = \"optional\"\n\
         extended-description-file = \"description\"\nchangelog = \"changelog\"\n"
    );
    // The programs are static: these are of the scripts. What makes the user is a part of systemd, or alone.
    let depends = match program.user {
        Some(_) => {
            "init-system-helpers (>= 1.54), systemd | systemd-standalone-sysusers | systemd-sysusers"
        }
        None => "init-system-helpers (>= 1.54)",
    };
    writeln!(table, "depends = {depends:?}")?;
    writeln!(table, "maintainer-scripts = \"scripts/\"")?;
    table.push_str("systemd-units = [\n");
    for unit in program.units {
        let name = unit.name.trim_end_matches(".service");
        writeln!(
            table,
            "  {{ unit-name = {name:?}, enable = {starts}, start = {starts} }},",
            starts = unit.starts,
        )?;
    }
    table.push_str("]\n");
    table.push_str(&manifest::assets(tree, |asset| {
        let Asset { from, to, mode } = asset;
        let to = to.trim_start_matches('/');
        format!("[{from:?}, {to:?}, \"{mode:o}\"]")
    }));
    Ok(table)
}

/// Debian's own form of a changelog, with the one entry that is true of a package that nobody else built.
fn changelog(release: &Release, program: &Program) -> Result<String> {
    let date = xtask::command::output(std::process::Command::new("date").args([
        "--utc",
        "--rfc-email",
        &format!("--date=@{}", release.epoch),
    ]));
    Ok(format!(
        "{} ({}-1) unstable; urgency=medium\n\n  * See the project's CHANGELOG.md; this is commit {}.\n\n -- {}  {}\n",
        program.name,
        release.version,
        release.commit,
        release.packager,
        date.unwrap_or_default().trim(),
    ))
}
