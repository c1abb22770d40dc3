//! Requests that pages of other sites make, and those of the server's own pages behind a proxy.

use upload_server::server::{Hosts, TrustedProxies};

use crate::{
    guard::{get, put, serve},
    lan::{curl_beside, on_host},
    process::{Running, tempdir},
    test_server::TestServer,
};

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    check("Origin: http://localhost\r\n", 201).await;
    check("Origin: http://evil.example\r\n", 403).await;
    check("Origin: null\r\n", 403).await;
    check("Sec-Fetch-Site: same-origin\r\n", 201).await;
    check(
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n",
        403,
    )
    .await;
    check(
        "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\n",
        403,
    )
    .await;

    async fn check(headers: &str, status: u16) {
        let server = TestServer::start().await;
        let response = put(&server, &format!("Host: localhost\r\n{headers}")).await;
        assert_eq!(response.status, status, "{headers}");
        assert_eq!(server.names().is_empty(), status != 201, "{headers}");
    }
}

/// As nginx sends requests of a page on `http://files.lan`, or on another port of that name.
#[tokio::test]
async fn pages_behind_a_proxy_are_the_servers_own() {
    const REPLACED: &str = "Host: 127.0.0.1:5000\r\n";
    const PORTLESS: &str = "Host: files.lan\r\n";
    const PASSED_ON: &str = "Host: files.lan:8080\r\n";
    const REPORTED: &str = "Host: 127.0.0.1:5000\r\nX-Forwarded-Host: files.lan\r\n\
         X-Forwarded-Port: 8080\r\n";
    const FORWARDED: &str = "Host: 127.0.0.1:5000\r\nForwarded: host=\"files.lan:8080\"\r\n";
    let server = serve(|access| {
        access.hosts = Hosts::new(["files.lan".to_owned()]);
        access.proxies = TrustedProxies::new(["127.0.0.1/32".parse().unwrap()]);
    });
    let untrusting = serve(|access| access.hosts = Hosts::new(["files.lan".to_owned()]));
    let unnamed = serve(|access| {
        access.proxies = TrustedProxies::new(["127.0.0.1/32".parse().unwrap()]);
    });
    let servers = [server.await, untrusting.await, unnamed.await];
    let check = async |host: &str, origin: &str, expected: [u16; 3]| {
        let mut found = [0; 3];
        for (server, found) in servers.iter().zip(&mut found) {
            let answer = put(server, &format!("{host}Origin: {origin}\r\n")).await;
            if answer.status != 201 {
                let detail = answer.problem()["detail"].as_str().unwrap().to_owned();
                let says = detail.contains(origin) || answer.status == 421;
                assert!(says, "{host} {origin}: {detail}");
            }
            *found = answer.status;
        }
        assert_eq!(found, expected, "{host} {origin}");
    };
    let own = "http://files.lan:8080";
    check(REPLACED, own, [201, 201, 403]).await;
    check(PORTLESS, own, [201, 201, 421]).await;
    check(PASSED_ON, own, [201, 201, 421]).await;
    check(REPORTED, own, [201, 201, 201]).await;
    check(FORWARDED, own, [201, 201, 201]).await;
    let named_upstream = "Host: upstream\r\nX-Forwarded-Host: files.lan:8080\r\n";
    check(named_upstream, own, [201, 421, 201]).await;
    // Another port of the same name, as far as it can be told.
    let other_port = "http://files.lan:9000";
    check(PASSED_ON, other_port, [403, 403, 421]).await;
    check(REPORTED, other_port, [403, 201, 403]).await;
    check(FORWARDED, other_port, [403, 201, 403]).await;
    for evil in ["http://evil.example", "http://localhost:9000", "null"] {
        check(REPLACED, evil, [403; 3]).await;
        check(PORTLESS, evil, [403, 403, 421]).await;
        check(PASSED_ON, evil, [403, 403, 421]).await;
        check(REPORTED, evil, [403; 3]).await;
    }
    // DNS rebinding: a page of this name, which now leads to this machine, or to the proxy.
    let rebound = "http://evil.example";
    check("Host: evil.example\r\n", rebound, [421; 3]).await;
    let claims = "Host: evil.example:5000\r\nX-Forwarded-Host: evil.example:5000\r\n";
    check(claims, rebound, [421; 3]).await;
    let reported = "Host: 127.0.0.1:5000\r\nX-Forwarded-Host: evil.example\r\n";
    // Without a name of this server, names are up to the proxy.
    check(reported, rebound, [421, 403, 201]).await;
}

#[tokio::test]
async fn a_refusal_says_what_differs() {
    let server = serve(|access| access.hosts = Hosts::new(["files.lan".to_owned()])).await;
    let check = async |headers: &str, parts: &[&str]| {
        let answer = put(&server, headers).await;
        let problem = answer.problem();
        let detail = problem["detail"].as_str().unwrap();
        for part in parts {
            assert!(detail.contains(part), "{part}: {detail}");
        }
        assert!(detail.len() < 1_000, "{detail}");
    };
    check(
        "Host: 127.0.0.1:5000\r\nOrigin: http://nas.lan\r\n",
        &[
            "http://nas.lan (Origin)",
            "127.0.0.1:5000 (Host)",
            "--host nas.lan",
            "$http_host",
        ],
    )
    .await;
    check(
        "Host: files.lan:8080\r\nOrigin: http://files.lan\r\n",
        &[
            "http://files.lan (Origin)",
            "files.lan:8080 (Host)",
            "with its port",
        ],
    )
    .await;
    check("Host: localhost\r\nOrigin: null\r\n", &["Origin: null"]).await;
    check(
        "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nOrigin: http://evil.example\r\n",
        &["Sec-Fetch-Site: cross-site", "Origin: http://evil.example"],
    )
    .await;
    check(
        "Host: nas.lan:8080\r\n",
        &["\"nas.lan\"", "Host", "--host nas.lan"],
    )
    .await;
    check(
        "Host: localhost:81\r\nOrigin: http://localhost:82\r\n",
        &["localhost:81 (Host)", "with its port"],
    )
    .await;
    let long = format!(
        "Host: localhost\r\nOrigin: http://{}\r\n",
        "x".repeat(9_000)
    );
    check(&long, &["…"]).await;
}

/// Otherwise the page stays dead, and nobody learns why.
#[tokio::test]
async fn the_pages_script_shows_why_uploads_are_refused() {
    let server = TestServer::start().await;
    let headers = "Host: 127.0.0.1:5000\r\nOrigin: http://files.lan\r\n";
    assert_eq!(get(&server, "/page/page.js", headers).await.status, 200);
    assert_eq!(get(&server, "/", headers).await.status, 403);
    let headers = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n";
    assert_eq!(get(&server, "/page/page.js", headers).await.status, 403);
}

#[tokio::test]
async fn a_link_from_another_site_may_be_followed() {
    let server = TestServer::start().await;
    let link = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: ";
    let followed = get(&server, "/", &format!("{link}navigate\r\n")).await;
    assert_eq!(followed.status, 200);
    let read = get(&server, "/", &format!("{link}no-cors\r\n")).await;
    assert_eq!(read.status, 403);
}

/// A page of another site whose name leads to the server's address in the LAN (DNS rebinding).
#[tokio::test]
async fn a_foreign_name_for_the_address_is_refused() {
    let root = tempdir();
    let mut command = on_host("shelf", &["192.0.2.7/24"]);
    command.args(["--listen", ":0", "--public", "--host", "files.lan"]);
    let server = Running::start_as(command, root.path()).await;
    let port = server.address.port();
    for (host, expected) in [
        ("evil.example", "421"),
        ("files.lan.evil.example", "421"),
        ("files.lan", "200"),
        ("shelf.local", "200"),
        ("192.0.2.7", "200"),
        // A router may pass on what comes to its own address.
        ("198.51.100.7", "200"),
    ] {
        let to = format!("{host}:{port}:192.0.2.7:{port}");
        let url = format!("http://{host}:{port}/");
        let status = ["--no-fail", "-o", "/dev/null", "-w", "%{http_code}"];
        let arguments = [&["--connect-to", &to, &url], &status[..]].concat();
        assert_eq!(curl_beside(&server, &arguments).await, expected, "{host}");
    }
}
