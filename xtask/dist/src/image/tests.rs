use std::{collections::BTreeMap, fs, io::Read as _, process::Command};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tar::Archive;
use xtask::command::{target_dir, workspace};

use super::archive;
use crate::{
    program::{Architecture, Built, PROGRAMS, Program},
    release::{Release, sha256},
    tree::Tree,
};

fn made(program: &Program) -> Vec<u8> {
    let release = Release {
        version: "1.2.3",
        commit: "abc".to_owned(),
        epoch: 1_700_000_000,
        packager: "Somebody <somebody@example.org>".to_owned(),
    };
    let mut tree = Tree::default();
    tree.add("bin/program", "executable");
    tree.add("share/doc/program/LICENSE-MIT", "may be used");
    tree.add("share/man/man1/program.1", "how to use");
    let built = Built {
        program,
        release: &release,
        architecture: Architecture::Aarch64,
        tree,
    };
    archive(&built).unwrap()
}

fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    entries.collect()
}

#[test]
fn an_image_is_the_same_each_time() {
    for program in &PROGRAMS {
        assert_eq!(made(program), made(program));
    }
}

#[test]
fn each_part_names_the_next_by_its_digest() {
    let [_, server] = &PROGRAMS;
    let files = files(&made(server));
    let json = |name: &str| -> Value { serde_json::from_slice(&files[name]).unwrap() };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        let digest = digest.strip_prefix("sha256:").unwrap();
        let name = format!("blobs/sha256/{digest}");
        let content = &files[&name];
        assert_eq!(sha256(content), digest);
        assert_eq!(descriptor["size"], content.len());
        (name, content)
    };
    assert_eq!(json("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
    let listed = json("index.json")["manifests"][0].take();
    assert_eq!(
        listed["platform"],
        json!({"architecture": "arm64", "os": "linux"})
    );
    let tag = "localhost/upload-server:1.2.3";
    assert_eq!(
        listed["annotations"]["org.opencontainers.image.ref.name"],
        tag
    );
    let manifest: Value = serde_json::from_slice(blob(&listed).1).unwrap();
    let (configuration, content) = blob(&manifest["config"]);
    let (layer, compressed) = blob(&manifest["layers"][0]);
    let of_docker = json!([{"Config": configuration, "RepoTags": [tag], "Layers": [layer]}]);
    assert_eq!(json("manifest.json"), of_docker);

    let configuration: Value = serde_json::from_slice(content).unwrap();
    let mut unpacked = Vec::new();
    GzDecoder::new(&**compressed)
        .read_to_end(&mut unpacked)
        .unwrap();
    let digest = format!("sha256:{}", sha256(&unpacked));
    assert_eq!(configuration["rootfs"]["diff_ids"], json!([digest]));
    assert_eq!(configuration["created"], "2023-11-14T22:13:20Z");
    assert_eq!(configuration["config"]["User"], "65532:65532");
    assert_eq!(
        configuration["config"]["WorkingDir"],
        "/var/lib/upload-server"
    );
    let volumes = json!({"/run/upload-server": {}, "/var/lib/upload-server": {}});
    assert_eq!(configuration["config"]["Volumes"], volumes);
    let entrypoint = json!(["/usr/bin/upload-server"]);
    assert_eq!(configuration["config"]["Entrypoint"], entrypoint);
    let names: Vec<_> = self::files(&unpacked).into_keys().collect();
    assert_eq!(
        names,
        [
            "run/",
            "run/upload-server/",
            "usr/",
            "usr/bin/",
            "usr/bin/program",
            "usr/share/",
            "usr/share/doc/",
            "usr/share/doc/program/",
            "usr/share/doc/program/LICENSE-MIT",
            "var/",
            "var/lib/",
            "var/lib/upload-server/"
        ]
    );
}

#[test]
fn the_server_owns_the_directories_that_it_writes_to() {
    let [_, server] = &PROGRAMS;
    let mut tree = Tree::default();
    tree.add("bin/program", "executable");
    let layer = super::layer::layer(&tree, &server.container, 7).unwrap();
    let mut layer = Archive::new(&*layer);
    let owned = layer.entries().unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let header = entry.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let is_owned = owner == (65532, 65532);
        is_owned.then(|| {
            (
                entry.path().unwrap().display().to_string(),
                header.mode().unwrap(),
            )
        })
    });
    let owned: Vec<_> = owned.collect();
    let expected = [
        ("var/lib/upload-server/", 0o750),
        ("run/upload-server/", 0o755),
    ];
    assert_eq!(owned, expected.map(|(path, mode)| (path.to_owned(), mode)));
}

const MANIFEST: &str = "tracer/deploy/daemonset.yaml";

#[test]
fn the_daemon_set_starts_the_image() {
    let manifest = fs::read_to_string(workspace().join(MANIFEST)).unwrap();
    let image = concat!("image: localhost/tracer:", env!("CARGO_PKG_VERSION"));
    assert!(manifest.lines().any(|line| line.trim() == image), "{image}");
}

/// By the schema of its API, and without unknown fields.
#[test]
fn kubernetes_takes_the_daemon_set() {
    let validate = target_dir().join("clients-python/bin/kubernetes-validate");
    assert!(
        validate.exists(),
        "kubernetes-validate is missing: `cargo xtask test` installs it"
    );
    let validated = Command::new(validate)
        .args(["--strict", "--quiet"])
        .arg(workspace().join(MANIFEST))
        .output()
        .unwrap();
    assert!(validated.status.success(), "{validated:?}");
}
