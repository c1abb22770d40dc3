//! Resumable uploads by tuspy.

use std::fs;

use crate::{
    programs::{python, run, script},
    proxy::Proxy,
    test_server::TestServer,
};

#[tokio::test]
async fn stores_what_tuspy_sends() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address, [400_000, 700_000, 100_000]).await;
    let folder = server.path("../sent");
    fs::create_dir(&folder).unwrap();
    let mut client = python();
    client
        .arg(script("server/tus_python.py"))
        .arg(format!("http://{}/tus", server.address))
        .arg(format!("http://{}/tus/", proxy.address))
        .arg(&folder);
    let output = run(&mut client).await;
    let mut names = Vec::new();
    for line in output.lines() {
        let (name, sent) = line.split_once('\t').unwrap();
        let stored = fs::read(server.path(name)).unwrap();
        assert!(stored == fs::read(folder.join(sent)).unwrap(), "{name}");
        names.push(name.to_owned());
    }
    names.sort();
    let mut stored = server.names();
    stored.retain(|name| !name.starts_with('.'));
    assert_eq!(stored, names);
    assert_eq!(names.len(), 7);
}
