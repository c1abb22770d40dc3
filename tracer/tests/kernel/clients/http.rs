//! Clients of HTTP/1.1 in clear text.

use super::scene::{SIZES, Scene, files};
use crate::lab::{Script, run};

const SINK: &str = include_str!("sink.py");
const PORT: &str = "8090";
const URL: &str = "http://127.0.0.1:8090/in/";
/// Within 8 KB, the head that every server takes.
const TOKEN: &str = "7000";

fn sink(scene: &Scene) -> Script {
    scene.python_server(SINK, &["sink", PORT])
}

fn token(bytes: &str) -> String {
    format!(
        "Authorization: Bearer {}",
        "t".repeat(bytes.parse().unwrap())
    )
}

/// Runs a client of 20 uploads, and compares.
fn check(client: &str, programs: &[&str], act: impl FnOnce(&Scene)) {
    let Some(scene) = Scene::new(client, &[&["python"], programs].concat()) else {
        return;
    };
    let server = sink(&scene);
    let watch = scene.watch();
    act(&scene);
    let lines = server.end();
    assert!(lines.len() >= SIZES.len(), "{client}: {lines:#?}");
    watch.stop(&scene).assert_requests(client, &lines);
}

/// `curl` once for each file.
fn curl(scene: &Scene, arguments: &[&str]) {
    for file in files(&SIZES) {
        let mut curl = scene.client("curl");
        curl.args(["--silent", "--show-error", "--fail", "--upload-file", &file]);
        run(curl.args(arguments).arg(URL));
    }
}

#[test]
fn curl_put() {
    check("curl -T", &["curl"], |scene| curl(scene, &[]));
}

#[test]
fn curl_with_a_long_token() {
    check("curl -T, a long token", &["curl"], |scene| {
        curl(scene, &["--header", &token(TOKEN)]);
    });
}

#[test]
fn curl_of_many_files() {
    check("curl of 20 files, a long cookie", &["curl"], |scene| {
        let mut curl = scene.client("curl");
        curl.args(["--silent", "--show-error", "--fail"]);
        curl.args(["--cookie", &format!("session={}", "c".repeat(8000))]);
        for file in files(&SIZES) {
            curl.args(["--upload-file", &file, URL]);
        }
        run(&mut curl);
    });
}

#[test]
fn curl_post() {
    check("curl --data-binary", &["curl"], |scene| {
        for file in files(&SIZES) {
            let mut curl = scene.client("curl");
            curl.args(["--silent", "--show-error", "--fail", "--data-binary"]);
            run(curl.arg(format!("@{file}")).arg(URL));
        }
    });
}

#[test]
fn curl_in_chunks() {
    check("curl -T, in chunks", &["curl"], |scene| {
        curl(scene, &["--header", "Transfer-Encoding: chunked"]);
    });
}

fn wget(scene: &Scene, arguments: impl Fn(&str) -> Vec<String>) {
    for file in files(&SIZES) {
        let name = file.rsplit('/').next().unwrap();
        let mut wget = scene.client("wget");
        wget.args(["--quiet", "--output-document=/dev/null"]);
        wget.args(["--header", &token(TOKEN)])
            .args(arguments(&file));
        run(wget.arg(format!("{URL}{name}")));
    }
}

#[test]
fn wget_post() {
    check("wget --post-file", &["wget"], |scene| {
        wget(scene, |file| vec![format!("--post-file={file}")]);
    });
}

#[test]
fn wget_put() {
    check("wget --method=PUT", &["wget"], |scene| {
        wget(scene, |file| {
            vec!["--method=PUT".to_owned(), format!("--body-file={file}")]
        });
    });
}

#[test]
fn requests() {
    check("requests", &[], |scene| {
        scene.python_client(
            include_str!("requests_client.py"),
            &[URL, TOKEN],
            &files(&SIZES),
        );
    });
}

#[test]
fn aiohttp() {
    check("aiohttp", &[], |scene| {
        scene.python_client(
            include_str!("aiohttp_client.py"),
            &[URL, TOKEN],
            &files(&SIZES),
        );
    });
}

fn node(scene: &Scene, way: &str) {
    let mut node = scene.client("node");
    node.args([
        "--input-type=module",
        "--eval",
        include_str!("node_client.mjs"),
    ]);
    run(node.args(["--", way, URL, TOKEN]).args(files(&SIZES)));
}

#[test]
fn node_fetch() {
    check("node fetch", &["node"], |scene| node(scene, "fetch"));
}

#[test]
fn node_http() {
    check("node http", &["node"], |scene| node(scene, "http"));
}

#[test]
fn docker_like_registry() {
    let client = "a registry's PATCHes";
    let Some(scene) = Scene::new(client, &["python"]) else {
        return;
    };
    let server = scene.python_server(SINK, &["registry", PORT]);
    let watch = scene.watch();
    let text = include_str!("registry_client.py");
    scene.python_client(text, &["127.0.0.1", PORT], &files(&SIZES));
    let lines = server.end();
    watch.stop(&scene).assert_requests(client, &lines);
}
