//! Pages of other origins (`--allow-origin`).

use std::{fs, path::Path, process::Stdio};

use axum::{Router, http::header::CONTENT_TYPE, response::Html, routing::get};
use tokio::{net::TcpListener, process::Command, task::JoinSet, time::timeout};
use upload_server::server::{AllowedOrigin, Origins, Token};

use crate::{
    browser::{LIMIT, ONE_AT_A_TIME},
    client::Response,
    process::{Running, refusal_and_status, tempdir},
    programs::{node_package, run, script},
    test_server::TestServer,
};

const TOKEN: &str = "0123456789abcdef";
const APP: &str = "https://app.example";

fn origins(allowed: &[&str]) -> Origins {
    let parse = |origin: &&str| origin.parse::<AllowedOrigin>().unwrap();
    allowed.iter().map(parse).collect()
}

async fn serve(allowed: &[&str], token: Option<&str>) -> TestServer {
    TestServer::start_with(|config| {
        config.access.origins = origins(allowed);
        config.access.token = token.map(|token| Token::new(token).unwrap());
    })
    .await
}

async fn send(server: &TestServer, request: &str, fields: &str) -> Response {
    let mut client = server.connect().await;
    let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    client.send(head).await;
    if request.starts_with("HEAD") {
        client.response_head().await
    } else {
        client.response().await
    }
}

/// The names in a field that is a list.
fn list(response: &Response, field: &str) -> Vec<String> {
    let list = response.field(field).unwrap_or_default();
    let names = list.split(',').map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// With a token, too: a browser sends none with a preflight.
#[tokio::test]
async fn a_preflight_is_answered_on_every_route() {
    let asked = "Authorization, Content-Type, Tus-Resumable, Upload-Length, X-Of-The-App";
    let fields = format!(
        "Origin: {APP}\r\nAccess-Control-Request-Method: PATCH\r\n\
         Access-Control-Request-Headers: {asked}\r\n"
    );
    for token in [None, Some(TOKEN)] {
        let server = serve(&[APP], token).await;
        for path in [
            "/",
            "/cat.png",
            "/files/cat.png",
            "/tus/",
            "/tus/7",
            "/t/7",
            "/events",
            "/else/where",
        ] {
            let response = send(&server, &format!("OPTIONS {path}"), &fields).await;
            assert_eq!(response.status, 204, "{path}");
            assert_eq!(response.field("access-control-allow-origin"), Some(APP));
            assert_eq!(response.field("access-control-allow-headers"), Some(asked));
            assert_eq!(response.field("access-control-max-age"), Some("7200"));
            let methods = list(&response, "access-control-allow-methods");
            for method in ["get", "head", "post", "put", "patch", "delete", "options"] {
                assert!(methods.contains(&method.to_owned()), "{methods:?}");
            }
            assert_eq!(list(&response, "vary"), ["origin"]);
            assert_eq!(response.field("access-control-allow-credentials"), None);
            assert_eq!(response.field("access-control-allow-private-network"), None);
        }
    }
}

#[tokio::test]
async fn nobody_else_gets_an_answer_to_a_preflight() {
    for (origin, token) in [
        ("https://evil.example", None),
        ("https://evil.example", Some(TOKEN)),
        ("null", None),
        ("https://app.example:8443", None),
        ("http://app.example", None),
    ] {
        for allowed in [&[APP][..], &[]] {
            let server = serve(allowed, token).await;
            let fields = format!("Origin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n");
            for site in ["", "Sec-Fetch-Site: cross-site\r\n"] {
                let fields = format!("{fields}{site}");
                let response = send(&server, "OPTIONS /cat.png", &fields).await;
                let detail = response.problem()["detail"].to_string();
                let advice = format!("--allow-origin {origin}");
                assert_eq!(detail.contains(&advice), origin != "null", "{detail}");
            }
            let response = send(&server, "OPTIONS /cat.png", &fields).await;
            assert_eq!(response.status, 403, "{origin}");
            assert!(
                !response.head.contains("access-control-"),
                "{}",
                response.head
            );
            let vary = if allowed.is_empty() {
                vec![]
            } else {
                vec!["origin"]
            };
            assert_eq!(list(&response, "vary"), vary);
        }
    }
}

/// A plain `OPTIONS` is a client's of tus, which asks what the server supports.
#[tokio::test]
async fn options_of_tus_are_no_preflight() {
    let server = serve(&[APP], None).await;
    for fields in [String::new(), format!("Origin: {APP}\r\n")] {
        let response = send(&server, "OPTIONS /tus/", &fields).await;
        assert_eq!(response.status, 204);
        assert_eq!(response.field("tus-version"), Some("1.0.0"));
        assert!(
            response
                .field("tus-extension")
                .unwrap()
                .contains("creation")
        );
        let exposed = list(&response, "access-control-expose-headers");
        let is_exposed = exposed.contains(&"tus-extension".to_owned());
        assert_eq!(is_exposed, !fields.is_empty(), "{exposed:?}");
    }
}

/// A page that the operator does not name may reach into a LAN only with a token.
#[tokio::test]
async fn a_private_network_is_for_those_who_are_named() {
    check(&[APP], None, true).await;
    check(&[APP], Some(TOKEN), true).await;
    check(&["*"], Some(TOKEN), true).await;
    check(&["*"], None, false).await;
    check(&["*", APP], None, true).await;

    async fn check(allowed: &[&str], token: Option<&str>, expected: bool) {
        let server = serve(allowed, token).await;
        let fields = format!(
            "Origin: {APP}\r\nAccess-Control-Request-Method: PUT\r\n\
             Access-Control-Request-Private-Network: true\r\n"
        );
        let response = send(&server, "OPTIONS /cat.png", &fields).await;
        let allows = response.field("access-control-allow-private-network");
        assert_eq!(allows, expected.then_some("true"), "{allowed:?} {token:?}");
    }
}

#[tokio::test]
async fn every_answer_can_be_read_with_all_its_fields() {
    let server = serve(&[APP], None).await;
    fs::write(server.path("file"), "content").unwrap();
    let origin = format!("Origin: {APP}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n");
    let with = |fields: &str| format!("{origin}{fields}");
    let tus = "Tus-Resumable: 1.0.0\r\n";
    for (request, fields, status, exposed) in [
        ("GET /", String::new(), 200, vec!["content-type"]),
        (
            "GET /files/file",
            "Want-Repr-Digest: sha-256=1\r\n".to_owned(),
            200,
            vec!["repr-digest", "content-disposition"],
        ),
        (
            "HEAD /files/file",
            String::new(),
            200,
            vec!["content-disposition"],
        ),
        (
            "PUT /new",
            "Content-Length: 0\r\n".to_owned(),
            201,
            vec!["location", "link"],
        ),
        (
            "PUT /.hidden",
            "Content-Length: 0\r\n".to_owned(),
            400,
            vec![],
        ),
        ("GET /files/missing", String::new(), 404, vec![]),
        ("DELETE /files/file", String::new(), 405, vec!["allow"]),
        (
            "POST /tus/",
            format!(
                "{tus}Upload-Length: 9\r\nUpload-Metadata: filename Y2F0\r\nContent-Length: 0\r\n"
            ),
            201,
            vec![
                "location",
                "upload-offset",
                "upload-expires",
                "tus-resumable",
            ],
        ),
        ("HEAD /tus/none", tus.to_owned(), 404, vec!["tus-resumable"]),
    ] {
        let response = send(&server, request, &with(&fields)).await;
        assert_eq!(response.status, status, "{request}");
        assert_eq!(
            response.field("access-control-allow-origin"),
            Some(APP),
            "{request}"
        );
        assert_eq!(
            response.field("cross-origin-resource-policy"),
            Some("cross-origin")
        );
        assert!(
            list(&response, "vary").contains(&"origin".to_owned()),
            "{request}"
        );
        assert_eq!(response.field("access-control-allow-credentials"), None);
        let found = list(&response, "access-control-expose-headers");
        for field in exposed {
            assert!(
                found.iter().any(|name| name == field),
                "{request}: {field} {found:?}"
            );
        }
    }
    // Without that origin, the answer is as ever, and a cache keeps both apart.
    let response = send(&server, "GET /files/file", "").await;
    assert!(
        !response.head.contains("access-control-"),
        "{}",
        response.head
    );
    assert_eq!(
        response.field("cross-origin-resource-policy"),
        Some("same-origin")
    );
    assert!(list(&response, "vary").contains(&"origin".to_owned()));
}

/// The browser's stored password must not make it a tool of any site.
#[tokio::test]
async fn any_origin_shows_a_bearer_token() {
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    // The same token as password.
    let basic = "Authorization: Basic OjAxMjM0NTY3ODlhYmNkZWY=\r\n";
    let (page, own) = (
        "Origin: https://some.example\r\n",
        "Origin: http://localhost\r\n",
    );
    let app = &format!("Origin: {APP}\r\n");
    check(&["*"], page, &bearer, 201).await;
    check(&["*"], page, basic, 403).await;
    check(&["*"], page, "", 401).await;
    check(&["*"], page, "Authorization: Basic Ondyb25n\r\n", 401).await;
    check(&["*"], "Origin: null\r\n", basic, 403).await;
    check(&["*"], own, basic, 201).await;
    check(&["*", APP], app, basic, 201).await;
    check(&[APP], app, &bearer, 201).await;
    check(&[APP], app, "", 401).await;
    check(&[APP], page, &bearer, 403).await;

    async fn check(allowed: &[&str], origin: &str, authorization: &str, status: u16) {
        let server = serve(allowed, Some(TOKEN)).await;
        let fields = format!("{origin}{authorization}Content-Length: 0\r\n");
        let response = send(&server, "PUT /file", &fields).await;
        assert_eq!(response.status, status, "{allowed:?} {fields}");
        assert_eq!(server.names().is_empty(), status != 201);
    }
}

/// The name of the server counts for allowed origins, too (DNS rebinding).
#[tokio::test]
async fn an_allowed_origin_does_not_rename_the_server() {
    let server = serve(&[APP, "*"], None).await;
    let mut client = server.connect().await;
    let head = format!("PUT /file HTTP/1.1\r\nHost: evil.example\r\nOrigin: {APP}\r\n");
    client.send(head + "Content-Length: 0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.status, 421);
    assert_eq!(response.field("access-control-allow-origin"), Some(APP));
    assert_eq!(server.names(), [""; 0]);
}

#[tokio::test]
async fn the_option_names_origins() {
    for (arguments, expected) in [
        (&["--allow-origin", "app.example"][..], "give a scheme"),
        (
            &["--allow-origin", "https://app.example/page"],
            "give a scheme",
        ),
        (&["--allow-origin", "https://*.example"], "'*' alone"),
        (&["--allow-origin", "null"], "null"),
        (
            &["--allow-origin", "*"],
            "require a token with --token-file",
        ),
    ] {
        let (status, stderr) = refusal_and_status(arguments).await;
        assert_eq!(status, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
    let root = tempdir();
    let token = root.path().join("token");
    let any = [
        "--allow-origin",
        "*",
        "--token-file",
        token.to_str().unwrap(),
    ];
    Running::start_with(&any, root.path()).await;
    Running::start_with(&["--allow-origin", "*", "--public"], root.path()).await;
    let two = [
        "--allow-origin",
        APP,
        "--allow-origin",
        "http://localhost:3000/",
    ];
    Running::start_with(&two, root.path()).await;
}

/// Serves the page with Uppy until it is dropped. Returns the port.
async fn page(root: &Path) -> (u16, JoinSet<()>) {
    let bundle = root.join("page.js");
    let mut bundler = Command::new("node");
    bundler
        .arg(node_package("esbuild").join("node_modules/esbuild/bin/esbuild"))
        .arg(script("browser/uppy_page.mjs"))
        .args(["--bundle", "--format=iife", "--global-name=uppy"])
        .arg(format!("--outfile={}", bundle.display()))
        .env("NODE_PATH", node_package("uppy").join("node_modules"))
        .stdin(Stdio::null());
    run(&mut bundler).await;
    let bundle = fs::read_to_string(bundle).unwrap();
    let html = "<!doctype html><meta charset=utf-8><title>App</title><link rel=icon href=data:,>\
                <script src=page.js></script>";
    let script = async move || ([(CONTENT_TYPE, "text/javascript")], bundle);
    let router = Router::new()
        .route("/", get(Html(html)))
        .route("/page.js", get(script));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut task = JoinSet::new();
    task.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (port, task)
}

#[tokio::test]
async fn uppy_uploads_from_a_page_of_another_origin() {
    let root = tempdir();
    let (port, _task) = page(root.path()).await;
    let (allowed, other) = (
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}"),
    );
    let named = serve(&[&allowed], None).await;
    let guarded = serve(&["*"], Some(TOKEN)).await;
    let _turn = ONE_AT_A_TIME.lock().await;
    let target = node_package("playwright-core");
    let target = target.parent().unwrap();
    let mut browser = Command::new("node");
    browser
        .arg(script("browser/uppy.mjs"))
        .args([target, &target.join("browser")])
        .args([format!("{allowed}/"), format!("{other}/")])
        .args([&named, &guarded].map(|server| format!("http://{}/", server.address)))
        .arg(TOKEN)
        .kill_on_drop(true);
    let output = timeout(LIMIT, browser.output()).await.unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");

    let folders = [
        ("two", 20, &named),
        ("one", 1_000, &named),
        ("forms", 20, &named),
        ("form", 20, &named),
    ];
    let guarded_folders = [("tus", 3, &guarded), ("forms", 3, &guarded)];
    for (folder, count, server) in folders.into_iter().chain(guarded_folders) {
        for number in 0..count {
            let stored = fs::read_to_string(server.path(format!("{folder}-{number}.txt"))).unwrap();
            assert_eq!(stored, content(number));
        }
    }
    let visible = |server: &TestServer| {
        let names = server.names().into_iter();
        names.filter(|name| !name.starts_with('.')).count()
    };
    // The folders, and what the page's own script sent.
    assert_eq!((visible(&named), visible(&guarded)), (1_060 + 2, 6 + 2));
}

/// As in `uppy.mjs`.
fn content(number: usize) -> String {
    let mut content = format!("{number}\n");
    while content.len() < 1_000 {
        content += &format!("{number} ");
    }
    content.truncate(1_000);
    content
}
