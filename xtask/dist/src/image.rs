//! A program as a container's image: an archive with the layout of OCI images, which Podman, Docker and containerd load
//! without a registry. Nothing is in it but the program and the licences, since the program is static.

mod layer;
mod layout;

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_DESCRIPTION, ANNOTATION_LICENSES, ANNOTATION_REVISION,
    ANNOTATION_TITLE, ANNOTATION_VERSION, Arch, Config, ConfigBuilder, HistoryBuilder,
    ImageConfiguration, ImageConfigurationBuilder, Os, RootFsBuilder,
};

use crate::{
    archive::gzip,
    program::{Architecture, Built, Program},
    release::{Release, sha256},
};

/// How a program runs in a container.
pub(crate) struct Container {
    /// User and group, by number: there is no `/etc/passwd`.
    pub(crate) user: u32,
    /// The arguments where none are given.
    pub(crate) arguments: &'static [&'static str],
    /// What the program writes to. It starts in the first.
    pub(crate) volumes: &'static [Volume],
    pub(crate) environment: &'static [&'static str],
    pub(crate) ports: &'static [&'static str],
}

/// A directory of the user's, which stays writable where the root file system is not.
pub(crate) struct Volume {
    pub(crate) path: &'static str,
    pub(crate) mode: u32,
}

/// Writes the archive.
pub(crate) fn write(built: &Built<'_>, out: &Path) -> Result<()> {
    let file = file_name(built.program, built.release, built.architecture);
    let place = out.join(file);
    let archive = archive(built)?;
    fs::write(&place, archive).with_context(|| place.display().to_string())
}

pub(crate) fn file_name(
    program: &Program,
    release: &Release,
    architecture: Architecture,
) -> String {
    format!(
        "{}-{}-{}.oci.tar",
        program.name,
        release.version,
        architecture.name()
    )
}

fn archive(built: &Built<'_>) -> Result<Vec<u8>> {
    let Built {
        program,
        release,
        architecture,
        tree,
    } = built;
    let layer = layer::layer(tree, &program.container, release.epoch)?;
    let configuration = configuration(release, program, *architecture, &sha256(&layer))?;
    let image = layout::Image {
        // No host: it is not to be had from a registry.
        name: format!("localhost/{}:{}", program.name, release.version),
        architecture: go_name(*architecture),
        layer: gzip(&layer)?,
        configuration,
    };
    image.archive(release.epoch)
}

/// How the program is started, and what the layer unpacks to.
fn configuration(
    release: &Release,
    program: &Program,
    architecture: Architecture,
    layer: &str,
) -> Result<ImageConfiguration> {
    let created = Timestamp::from_second(i64::try_from(release.epoch)?)?.to_string();
    let root = RootFsBuilder::default()
        .typ("layers")
        .diff_ids([format!("sha256:{layer}")])
        .build()?;
    let history = HistoryBuilder::default()
        .created(created.clone())
        .created_by("cargo xtask dist")
        .build()?;
    let configuration = ImageConfigurationBuilder::default()
        .created(created.clone())
        .architecture(go_name(architecture))
        .os(Os::Linux)
        .config(start(release, program, created)?)
        .rootfs(root)
        .history([history])
        .build()?;
    Ok(configuration)
}

fn start(release: &Release, program: &Program, created: String) -> Result<Config> {
    let container = &program.container;
    let owned = |texts: &[&str]| -> Vec<String> {
        let texts = texts.iter();
        texts.map(|text| (*text).to_owned()).collect()
    };
    let user = container.user;
    let labels = [
        (ANNOTATION_CREATED, created),
        (ANNOTATION_DESCRIPTION, program.summary.to_owned()),
        (ANNOTATION_LICENSES, "MIT OR Apache-2.0".to_owned()),
        (ANNOTATION_REVISION, release.commit.clone()),
        (ANNOTATION_TITLE, program.name.to_owned()),
        (ANNOTATION_VERSION, release.version.to_owned()),
    ];
    let labels: HashMap<String, String> = labels
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text))
        .collect();
    let mut start = ConfigBuilder::default()
        .user(format!("{user}:{user}"))
        .entrypoint([format!("/usr/bin/{}", program.name)])
        .cmd(owned(container.arguments))
        .env(owned(container.environment))
        .exposed_ports(owned(container.ports))
        .working_dir(container.volumes.first().map_or("/", |volume| volume.path))
        .labels(labels);
    if !container.volumes.is_empty() {
        let paths = container.volumes.iter().map(|volume| volume.path);
        start = start.volumes(paths.map(str::to_owned).collect::<Vec<_>>());
    }
    Ok(start.build()?)
}

/// As Go and OCI name it.
const fn go_name(architecture: Architecture) -> Arch {
    match architecture {
        Architecture::X86_64 => Arch::Amd64,
        Architecture::Aarch64 => Arch::ARM64,
    }
}

#[cfg(test)]
mod tests;
