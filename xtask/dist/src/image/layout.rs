//! An image as one file: the layout of the OCI image specification 1.1, and beside it the list that Docker before 25.0
//! reads instead.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, Descriptor, DescriptorBuilder, ImageConfiguration,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder,
    SCHEMA_VERSION, Sha256Digest,
};
use serde_json::{Value, json};
use tar::{Builder, EntryType};

use crate::{archive::header, release::sha256};

/// Under which containerd keeps the image.
const NAME_FOR_CONTAINERD: &str = "io.containerd.image.name";

pub(super) struct Image {
    /// With a tag.
    pub(super) name: String,
    pub(super) architecture: Arch,
    /// Compressed.
    pub(super) layer: Vec<u8>,
    pub(super) configuration: ImageConfiguration,
}

impl Image {
    pub(super) fn archive(self, epoch: u64) -> Result<Vec<u8>> {
        let mut files = Files {
            archive: Builder::new(Vec::new()),
            epoch,
        };
        let configuration = bytes(serde_json::to_value(&self.configuration)?);
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(descriptor(MediaType::ImageConfig, &configuration)?)
            .layers([descriptor(MediaType::ImageLayerGzip, &self.layer)?])
            .build()?;
        let manifest = bytes(serde_json::to_value(manifest)?);
        let platform = PlatformBuilder::default()
            .architecture(self.architecture)
            .os(Os::Linux)
            .build()?;
        let mut listed = descriptor(MediaType::ImageManifest, &manifest)?;
        listed.set_platform(Some(platform));
        let names = [ANNOTATION_REF_NAME, NAME_FOR_CONTAINERD];
        let names = names.map(|key| (key.to_owned(), self.name.clone()));
        listed.set_annotations(Some(HashMap::from(names)));
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([listed])
            .build()?;
        let layout = OciLayoutBuilder::default()
            .image_layout_version("1.0.0")
            .build()?;
        let of_docker = json!([{
            "Config": blob(&configuration),
            "RepoTags": [self.name],
            "Layers": [blob(&self.layer)],
        }]);
        files.add("oci-layout", &bytes(serde_json::to_value(layout)?))?;
        files.add("index.json", &bytes(serde_json::to_value(index)?))?;
        files.add("manifest.json", &bytes(of_docker))?;
        for content in [&configuration, &manifest, &self.layer] {
            files.add(&blob(content), content)?;
        }
        Ok(files.archive.into_inner()?)
    }
}

/// JSON whose fields are in the order of their names, whatever order they had in a `HashMap`.
fn bytes(mut value: Value) -> Vec<u8> {
    value.sort_all_objects();
    value.to_string().into_bytes()
}

fn descriptor(kind: MediaType, content: &[u8]) -> Result<Descriptor> {
    let digest: Sha256Digest = sha256(content).parse()?;
    let size = u64::try_from(content.len())?;
    let descriptor = DescriptorBuilder::default()
        .media_type(kind)
        .digest(digest)
        .size(size);
    Ok(descriptor.build()?)
}

/// Where a layout has it.
fn blob(content: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(content))
}

struct Files {
    archive: Builder<Vec<u8>>,
    epoch: u64,
}

impl Files {
    fn add(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let mut header = header(EntryType::Regular, 0o644, 0, self.epoch);
        header.set_size(u64::try_from(content.len())?);
        let added = self.archive.append_data(&mut header, path, content);
        added.with_context(|| path.to_owned())
    }
}
