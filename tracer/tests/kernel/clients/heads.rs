//! Heads as long as servers take, with their length last, on the first and on the hundredth request.

use super::scene::Scene;

fn check(client: &str, arguments: &[&str]) {
    let Some(scene) = Scene::new(client, &["python"]) else {
        return;
    };
    let server = scene.python_server(include_str!("sink.py"), &["sink", "8090"]);
    let watch = scene.watch();
    let arguments = [&["8090"], arguments].concat();
    scene.python_client(include_str!("heads_client.py"), &arguments, &[]);
    let lines = server.end();
    watch.stop(&scene).assert_requests(client, &lines);
}

/// How many requests, how long their bodies, in how many pieces; how long the heads.
#[test]
fn of_the_first_and_the_hundredth_request() {
    let client = "heads of 4, 8, 30 and 60 KB";
    check(
        client,
        &["100", "20000", "1", "4000", "8000", "30000", "60000"],
    );
}

#[test]
fn in_pieces() {
    let client = "heads of 4, 8, 30 and 60 KB in pieces";
    check(
        client,
        &["3", "20000", "50", "4000", "8000", "30000", "60000"],
    );
}

#[test]
fn without_much_after_them() {
    let client = "heads of 1 to 60 KB, bodies of a byte";
    check(
        client,
        &[
            "20", "1", "2", "1000", "2040", "2048", "2056", "4000", "16384", "60000",
        ],
    );
}
