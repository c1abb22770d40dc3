//! Uploads within something else: proxies, WebSockets, HTTP/2.

use std::fs;

use super::scene::{Running, SIZES, Scene, files};
use crate::lab::run;

const SINK: &str = include_str!("sink.py");
const URL: &str = "http://127.0.0.1:8090/in/";

/// `curl` through a proxy, once for each file.
fn check_proxy(
    client: &str,
    program: &str,
    start: impl FnOnce(&Scene) -> Running,
    arguments: &[&str],
) {
    let Some(scene) = Scene::new(client, &["python", "curl", program]) else {
        return;
    };
    let server = scene.python_server(SINK, &["sink", "8090"]);
    let _proxy = start(&scene);
    let watch = scene.watch();
    for file in files(&SIZES) {
        let mut curl = scene.client("curl");
        curl.args(["--silent", "--show-error", "--fail", "--upload-file", &file]);
        run(curl.args(arguments).arg(URL));
    }
    let lines = server.end();
    watch.stop(&scene).assert_tunnelled(client, 8090, &lines);
}

fn tinyproxy(scene: &Scene) -> Running {
    let config = scene.lab.dir.path().join("tinyproxy.conf");
    let text = "Port 8888\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nConnectPort 8090\nLogLevel Error\n";
    fs::write(&config, text).unwrap();
    let mut tinyproxy = scene.server("tinyproxy");
    tinyproxy.args(["-d", "-c"]).arg(&config);
    scene.listening(tinyproxy, 8888)
}

#[test]
fn through_connect() {
    let arguments = ["--proxytunnel", "--proxy", "http://127.0.0.1:8888"];
    check_proxy("curl through CONNECT", "tinyproxy", tinyproxy, &arguments);
}

#[test]
fn through_socks() {
    let start = |scene: &Scene| {
        let mut microsocks = scene.server("microsocks");
        microsocks.args(["-i", "127.0.0.1", "-p", "1080"]);
        scene.listening(microsocks, 1080)
    };
    let arguments = ["--proxy", "socks5://127.0.0.1:1080"];
    check_proxy("curl through SOCKS5", "microsocks", start, &arguments);
}

fn check_websocket(client: &str, way: &str, sizes: &[usize]) {
    let Some(scene) = Scene::new(client, &["python"]) else {
        return;
    };
    let server = scene.python_server(include_str!("websocket_server.py"), &["8094"]);
    let watch = scene.watch();
    let text = include_str!("websocket_client.py");
    scene.python_client(text, &[way, "ws://127.0.0.1:8094/in"], &files(&SIZES));
    let lines = server.end();
    assert_eq!(lines.len(), SIZES.len());
    watch.stop(&scene).assert_inferred(client, sizes);
}

#[test]
fn websockets() {
    check_websocket("WebSocket, each its own", "each", &SIZES);
}

/// What goes over one connection is one upload: nobody else knows where a file ends.
#[test]
fn one_websocket() {
    check_websocket("WebSocket, one", "one", &[SIZES.iter().sum()]);
}

/// nginx for HTTP/2 with prior knowledge, and one client for all files or one for each.
fn check_http2(client: &str, program: &str, sizes: &[usize], act: impl FnOnce(&Scene)) {
    let Some(scene) = Scene::new(client, &[program, "nginx"]) else {
        return;
    };
    let dir = scene.lab.dir.path();
    let stored = dir.join("stored");
    fs::create_dir(&stored).unwrap();
    let config = format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n access_log off;\n client_body_temp_path {0}/body;\n server {{\n listen 127.0.0.1:8095 http2;\n root {1};\n client_max_body_size 0;\n dav_methods PUT;\n }}\n}}\n",
        dir.display(),
        stored.display()
    );
    fs::write(dir.join("nginx.conf"), config).unwrap();
    let mut nginx = scene.server("nginx");
    nginx
        .arg("-p")
        .arg(dir)
        .arg("-c")
        .arg(dir.join("nginx.conf"));
    let _server = scene.listening(nginx, 8095);
    let watch = scene.watch();
    act(&scene);
    let story = watch.stop(&scene);
    for size in SIZES {
        let length = fs::metadata(stored.join(format!("f-{size}")))
            .unwrap()
            .len();
        assert_eq!(length, size as u64);
    }
    story.assert_inferred(client, sizes);
}

#[test]
fn http2() {
    check_http2("curl, HTTP/2 in clear text", "curl", &SIZES, |scene| {
        for file in files(&SIZES) {
            let mut curl = scene.client("curl");
            curl.args([
                "--silent",
                "--show-error",
                "--fail",
                "--http2-prior-knowledge",
            ]);
            run(curl.args(["--upload-file", &file, "http://127.0.0.1:8095/"]));
        }
    });
}

/// Its requests are compressed: the connection is told by its volume.
#[test]
fn one_http2() {
    let client = "node, one connection of HTTP/2 in clear text";
    check_http2(client, "node", &[SIZES.iter().sum()], |scene| {
        let mut node = scene.client("node");
        node.args([
            "--input-type=module",
            "--eval",
            include_str!("http2_client.mjs"),
        ]);
        run(node
            .args(["--", "http://127.0.0.1:8095"])
            .args(files(&SIZES)));
    });
}
