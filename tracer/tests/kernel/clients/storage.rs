//! Clients of S3, WebDAV and git.

use std::fs;

use super::scene::{SIZES, Scene, files, folder, sizes_of_slow_clients};
use crate::lab::{Script, run};

const MOTO: &str = include_str!("moto_server.py");
const PORT: &str = "8091";
const URL: &str = "http://127.0.0.1:8091";

fn moto(scene: &Scene) -> Script {
    scene.python_server(MOTO, &[PORT])
}

#[test]
fn boto3() {
    let client = "boto3, a session token, parts";
    let Some(scene) = Scene::new(client, &["python"]) else {
        return;
    };
    let server = moto(&scene);
    let watch = scene.watch();
    scene.python_client(include_str!("boto3_client.py"), &[URL], &files(&SIZES));
    let lines = server.end();
    watch.stop(&scene).assert_requests(client, &lines);
}

#[test]
fn rclone_s3() {
    let client = "rclone to S3";
    let Some(scene) = Scene::new(client, &["python", "rclone"]) else {
        return;
    };
    let server = moto(&scene);
    let watch = scene.watch();
    let remote = format!(
        ":s3,provider=Other,endpoint='{URL}',access_key_id=A,secret_access_key=S,session_token={},force_path_style=true:bucket",
        "t".repeat(3000)
    );
    rclone(&scene, &remote);
    let lines = server.end();
    watch.stop(&scene).assert_requests(client, &lines);
}

#[test]
fn rclone_webdav() {
    let client = "rclone to WebDAV";
    let Some(scene) = Scene::new(client, &["rclone"]) else {
        return;
    };
    let folder = scene.lab.dir.path().join("dav");
    fs::create_dir(&folder).unwrap();
    let mut serve = scene.server("rclone");
    serve.args([
        "serve",
        "webdav",
        "--config",
        "",
        "--addr",
        "127.0.0.1:8092",
    ]);
    serve.arg(&folder);
    let _server = scene.listening(serve, 8092);
    let watch = scene.watch();
    let token = "t".repeat(4000);
    let remote = format!(":webdav,url='http://127.0.0.1:8092',vendor=other,bearer_token={token}:");
    rclone(&scene, &remote);
    let story = watch.stop(&scene);
    for size in SIZES {
        let stored = fs::metadata(folder.join(format!("f-{size}"))).unwrap();
        assert_eq!(stored.len(), size as u64);
    }
    story.assert_puts(client, &SIZES, 201);
}

fn rclone(scene: &Scene, remote: &str) {
    files(&SIZES);
    let mut rclone = scene.client("rclone");
    run(rclone
        .args(["copy", "--config", "", "--retries", "1"])
        .arg(folder())
        .arg(remote));
}

#[test]
fn git_push() {
    let client = "git push";
    let Some(scene) = Scene::new(client, &["python", "git"]) else {
        return;
    };
    let root = scene.lab.dir.path().join("repositories");
    let bare = root.join("all.git");
    let work = scene.lab.dir.path().join("work");
    let git = |arguments: &[&str]| {
        let mut git = scene.client("git");
        git.args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "gc.auto=0",
        ]);
        git.args(["-c", "init.defaultBranch=main"])
            .arg("-C")
            .arg(&work);
        run(git.args(arguments));
    };
    fs::create_dir_all(&work).unwrap();
    git(&["init", "--quiet"]);
    git(&["init", "--quiet", "--bare", bare.to_str().unwrap()]);
    git(&[
        "-C",
        bare.to_str().unwrap(),
        "config",
        "http.receivepack",
        "true",
    ]);
    let root = root.to_str().unwrap();
    let server = scene.python_server(include_str!("git_server.py"), &["8093", root]);
    let watch = scene.watch();
    let url = "http://127.0.0.1:8093/all.git";
    for file in files(sizes_of_slow_clients()) {
        fs::copy(file, work.join("file")).unwrap();
        git(&["add", "file"]);
        git(&["commit", "--quiet", "--message", "change"]);
        git(&["push", "--quiet", url, "HEAD:main"]);
    }
    let lines = server.end();
    watch.stop(&scene).assert_requests(client, &lines);
}
