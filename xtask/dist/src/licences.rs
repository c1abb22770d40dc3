//! The licences of everything that is linked into a program: the texts that the authors of each crate put into it.
//! cargo-about would guess them by comparing every file with every known licence, which takes minutes; cargo-deny already
//! checks that each is one of those allowed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs, io,
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use xtask::command::cargo;

use crate::program::{Architecture, Program};

/// What cargo does not know of.
const BESIDE_CARGO: &str = "\
The program is made of the crates beneath, and has parts of these:

- the Rust standard library (https://www.rust-lang.org), MIT or Apache-2.0
- musl (https://musl.libc.org), MIT: Copyright © 2005-2020 Rich Felker, et al.
- LLVM's compiler-rt and libunwind (https://llvm.org), Apache-2.0 WITH LLVM-exception
";

/// How the names of files with licences begin, in lower case.
const NAMES: [&str; 5] = ["licen", "copying", "copyright", "notice", "unlicense"];

/// Each licence's text, after the names of the crates that have it.
pub(crate) fn text(program: &Program, architecture: Architecture) -> Result<String> {
    let found = cargo()
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", architecture.target()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started")?;
    ensure!(
        found.status.success(),
        "cargo does not list the dependencies"
    );
    let metadata = serde_json::from_slice(&found.stdout)?;
    let crates = linked(&metadata, program.name)?;
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut listed = BESIDE_CARGO.to_owned();
    for package in crates {
        let text = |name: &str| package[name].as_str().unwrap_or_default();
        // What has no source elsewhere is the project's own.
        if package["source"].is_null() {
            continue;
        }
        let name = format!("{} {}", text("name"), text("version"));
        writeln!(listed, "- {name}, {}", text("license"))?;
        let folder = Path::new(text("manifest_path")).parent();
        let folder = folder.with_context(|| format!("cargo does not list the folder of {name}"))?;
        for licence in files(folder).with_context(|| folder.display().to_string())? {
            texts.entry(licence).or_default().insert(name.clone());
        }
    }
    for (text, crates) in texts {
        let crates: Vec<String> = crates.into_iter().collect();
        let line = "-".repeat(72);
        write!(listed, "\n{line}\n{}\n\n{text}", crates.join(", "))?;
    }
    Ok(listed)
}

/// The packages that are linked into a program, by name and version.
fn linked<'a>(metadata: &'a Value, program: &str) -> Result<Vec<&'a Value>> {
    let packages: BTreeMap<&str, &Value> = array(&metadata["packages"])
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = array(&metadata["resolve"]["nodes"])
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let is_linked = |dependency: &&Value| {
        let kinds = array(&dependency["dep_kinds"]);
        kinds.iter().any(|kind| kind["kind"].is_null())
    };
    let root = packages
        .iter()
        .find(|(_, package)| package["name"] == program);
    let (root, _) = root.with_context(|| format!("there is no package {program}"))?;
    let mut seen = BTreeSet::from([*root]);
    let mut waiting = vec![*root];
    while let Some(id) = waiting.pop() {
        let node = nodes
            .get(id)
            .with_context(|| format!("cargo does not resolve {id}"))?;
        let dependencies = array(&node["deps"]).iter().filter(is_linked);
        waiting.extend(dependencies.filter_map(|found| {
            let id = found["pkg"].as_str()?;
            seen.insert(id).then_some(id)
        }));
    }
    let mut linked: Vec<&Value> = seen
        .iter()
        .filter_map(|id| packages.get(id).copied())
        .collect();
    linked.sort_by_key(|package| (package["name"].as_str(), package["version"].as_str()));
    Ok(linked)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The licences in a crate's folder.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        if path.is_file() && NAMES.iter().any(|beginning| name.starts_with(beginning)) {
            let text = String::from_utf8_lossy(&fs::read(&path)?).replace("\r\n", "\n");
            texts.push(format!("{}\n", text.trim_end()));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::linked;

    #[test]
    fn what_only_builds_or_tests_is_not_linked() {
        let package = |name| json!({"id": name, "name": name, "version": "1.0.0"});
        let dependency = |name, kind| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let packages = ["program", "used", "deep", "builds", "tests", "other"].map(package);
        let metadata = json!({
            "packages": packages,
            "resolve": {"nodes": [
                {"id": "program", "deps": [
                    dependency("used", None),
                    dependency("builds", Some("build")),
                    dependency("tests", Some("dev")),
                ]},
                {"id": "used", "deps": [dependency("deep", None)]},
                {"id": "deep", "deps": [dependency("used", None)]},
            ]},
        });
        let linked = linked(&metadata, "program").unwrap();
        let names: Vec<_> = linked
            .iter()
            .map(|package| package["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["deep", "program", "used"]);
    }
}
