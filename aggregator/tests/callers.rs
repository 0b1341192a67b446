//! Who may speak at a listener, on real sockets with real certificates, and clients that mean harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Authority, Fake, Running, Scenario, TlsClient, eventually, report, request, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trimtab_aggregator::{App, Config};
use trimtab_loadtable::Table;

const SYNC: &str = "/v1/pools/chat/sync";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Starts an aggregator with one server. `settings`: YAML of the listeners. Health checks have a
/// listener of their own, so that metrics are read without TLS.
async fn start(fake: &Fake, settings: &str) -> (Running, SocketAddr) {
    let text = format!(
        "listen: 127.0.0.1:0\nhealth: {{listen: 127.0.0.1:0}}\n{settings}\npools:\n- {{name: chat, discovery: {{endpoints: [{{address: '{}'}}]}}, publish_interval: 20ms, scrape: {{interval: 20ms}}}}\n",
        fake.address
    );
    let config = Config::from_yaml(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let app = App::build(config).await.unwrap();
    let (proxies, health) = (
        app.address(),
        app.address_for(trimtab_aggregator::Role::Health),
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(app.run(async move { drop(stopped.await) }));
    let app = Running {
        address: health,
        stop: Some(stop),
        task,
    };
    eventually("ready", async || app.get("/readyz").await.0 == 200).await;
    (app, proxies)
}

fn bearer(secret: &str) -> String {
    format!("authorization: Bearer {secret}\r\n")
}

/// The YAML of `tls` with the files of this folder.
fn tls(dir: &Path) -> String {
    let shown = dir.display();
    format!("tls: {{cert_file: '{shown}/tls.crt', key_file: '{shown}/tls.key'}}")
}

async fn callers(app: &Running, result: &str) -> f64 {
    let line = format!("callers_total{{listener=\"proxies\",result=\"{result}\"}}");
    app.metric(&line).await
}

#[tokio::test]
async fn a_secret_of_the_file_suffices_and_others_read_what_to_do() {
    let (fake, dir) = (
        Fake::start(Scenario::Selecting).await,
        tempfile::tempdir().unwrap(),
    );
    let path = dir.path().join("secrets");
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let (app, at) = start(
        &fake,
        &format!("allow: {{bearer_file: '{}'}}", path.display()),
    )
    .await;
    let sync = async |headers: &str| {
        let (status, body) = request(at, "POST", SYNC, headers, &report(1).encode()).await;
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    assert_eq!(sync(&bearer(SECRET)).await.0, 200);
    let (status, why) = sync("").await;
    assert!(
        status == 401 && why.contains("secret of `bearer_file`"),
        "{status} {why}"
    );
    for wrong in [
        &bearer("0123456789abcdef"),
        "authorization: Basic YTpi\r\n",
        &bearer(&"a.b.c".repeat(9_000)),
    ] {
        let (status, why) = sync(wrong).await;
        assert!(status == 401 && why.contains("oken"), "{status} {why}");
    }
    // Tables too are behind it, what a listener has is not.
    let get = async |path, headers: &str| request(at, "GET", path, headers, &[]).await.0;
    assert_eq!(get("/v1/pools/chat/table", "").await, 401);
    assert_eq!(get("/v1/pools", &bearer(SECRET)).await, 200);
    assert_eq!(get("/nothing", "").await, 404);
    assert_eq!(app.get("/healthz").await.0, 200);
    assert!(callers(&app, "bearer").await >= 2.0 && callers(&app, "nothing").await >= 2.0);
    assert!((callers(&app, "wrong").await - 3.0).abs() < 0.5);

    // One comes, then the other goes.
    let new = "fedcba9876543210fedcba9876543210";
    std::fs::write(&path, format!("{SECRET}\n{new}\n")).unwrap();
    eventually("the new one counts", async || {
        sync(&bearer(new)).await.0 == 200
    })
    .await;
    assert_eq!(sync(&bearer(SECRET)).await.0, 200);
    std::fs::write(&path, format!("{new}\n")).unwrap();
    eventually("the old one does not", async || {
        sync(&bearer(SECRET)).await.0 == 401
    })
    .await;
    // A file that cannot be used changes nothing.
    std::fs::write(&path, "short\n").unwrap();
    eventually("it is counted", async || {
        let line = "reloads_total{listener=\"proxies\",result=\"failed\"}";
        app.metric(line).await >= 1.0
    })
    .await;
    assert_eq!(sync(&bearer(new)).await.0, 200);
}

#[tokio::test]
async fn a_certificate_with_an_allowed_name_suffices_and_others_read_what_to_do() {
    let (fake, dir) = (
        Fake::start(Scenario::Selecting).await,
        tempfile::tempdir().unwrap(),
    );
    let (ca, stranger) = (Authority::new(), Authority::new());
    ca.signs("127.0.0.1").mount(dir.path(), "1");
    let file = dir.path().join("clients.crt");
    std::fs::write(&file, ca.pem()).unwrap();
    let settings = format!(
        "{}\nallow: {{client_certificates: {{ca_file: '{}', names: ['spiffe://cluster.local/ns/a/*', gateway.default.svc]}}}}",
        tls(dir.path()),
        file.display()
    );
    let (app, at) = start(&fake, &settings).await;
    let body = report(1).encode();
    for (own, expected, says) in [
        (Some(ca.signs("spiffe://cluster.local/ns/a/sa/b")), 200, ""),
        (Some(ca.signs("Gateway.default.svc")), 200, ""),
        (
            Some(ca.signs("spiffe://cluster.local/ns/c/sa/b")),
            403,
            "client_certificates.names",
        ),
        (
            Some(stranger.signs("gateway.default.svc")),
            401,
            "client_certificates.ca_file",
        ),
        (None, 401, "show a client certificate"),
    ] {
        let client = TlsClient::new(&ca, own.as_ref());
        let (status, body) = client.request(at, "POST", SYNC, "", &body).await.unwrap();
        match status {
            200 => assert_ne!(Table::decode(&body).unwrap().placement_key, [0; 16]),
            _ => assert!(
                String::from_utf8_lossy(&body).contains(says),
                "{status} {body:?}"
            ),
        }
        assert_eq!(status, expected, "{says}");
    }
    for (result, count) in [
        ("certificate", 2.0),
        ("not_allowed", 1.0),
        ("wrong", 1.0),
        ("nothing", 1.0),
    ] {
        assert!(
            (callers(&app, result).await - count).abs() < 0.5,
            "{result}"
        );
    }
    // A CA that is taken out counts no more on connections that are open.
    let own = ca.signs("gateway.default.svc");
    let mut stream = TlsClient::new(&ca, Some(&own)).connect(at).await.unwrap();
    assert_eq!(
        send(&mut stream, "POST", SYNC, "", &body).await.unwrap().0,
        200
    );
    std::fs::write(&file, stranger.pem()).unwrap();
    eventually("the open connection is refused", async || {
        send(&mut stream, "POST", SYNC, "", &body).await.unwrap().0 == 401
    })
    .await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_under_load_without_a_failed_request_and_a_broken_one_is_not() {
    let (fake, dir) = (
        Fake::start(Scenario::Selecting).await,
        tempfile::tempdir().unwrap(),
    );
    let [first, second] = [Authority::new(), Authority::new()];
    first.signs("127.0.0.1").mount(dir.path(), "1");
    let (app, at) = start(&fake, &tls(dir.path())).await;
    let (old, new) = (TlsClient::new(&first, None), TlsClient::new(&second, None));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (old, new) = (old.clone(), new.clone());
        tasks.spawn(async move {
            let mut kept = old.connect(at).await.unwrap();
            let until = Instant::now() + Duration::from_secs(4);
            let mut shown = [0, 0];
            while Instant::now() < until {
                let body = report(1).encode();
                // Half on a connection that stays, half on new ones with either CA.
                let answer = match n % 2 {
                    0 => send(&mut kept, "POST", SYNC, "", &body).await.unwrap(),
                    _ => match old.request(at, "POST", SYNC, "", &body).await {
                        Ok(answer) => answer,
                        Err(_) => {
                            shown[1] += 1;
                            new.request(at, "POST", SYNC, "", &body).await.unwrap()
                        }
                    },
                };
                shown[0] += 1;
                assert_eq!(answer.0, 200);
            }
            shown
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    second.signs("127.0.0.1").mount(dir.path(), "2");
    let (mut answers, mut by_new) = (0, 0);
    while let Some(ended) = tasks.join_next().await {
        let [all, new] = ended.unwrap();
        answers += all;
        by_new += new;
    }
    assert!(answers > 50 && by_new > 0, "{answers} {by_new}");
    // The key of another certificate.
    let broken = support::Identity {
        key: first.signs("127.0.0.1").key,
        ..second.signs("127.0.0.1")
    };
    broken.mount(dir.path(), "3");
    eventually("it is counted", async || {
        app.metric("reloads_total{listener=\"proxies\",result=\"failed\"}")
            .await
            >= 1.0
    })
    .await;
    let body = report(1).encode();
    assert_eq!(
        new.request(at, "POST", SYNC, "", &body).await.unwrap().0,
        200
    );
}

#[tokio::test]
async fn clients_that_mean_harm_cost_nobody_else_an_answer() {
    let (fake, dir) = (
        Fake::start(Scenario::Selecting).await,
        tempfile::tempdir().unwrap(),
    );
    let ca = Authority::new();
    ca.signs("127.0.0.1").mount(dir.path(), "1");
    let (app, at) = start(&fake, &tls(dir.path())).await;
    let client = TlsClient::new(&ca, None);
    // Half of a handshake, of which nothing more comes.
    let mut half = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream
            .write_all(b"\x16\x03\x01\x02\x00\x01\x00")
            .await
            .unwrap();
        half.push(stream);
    }
    // No TLS at all.
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[0; 64]] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        // It is closed, with or without an alert.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.len() < 64, "{answer:?}");
    }
    // Headers a byte at a time, and one header that is huge.
    let mut slow = client.connect(at).await.unwrap();
    slow.write_all(b"POST /v1/pools/chat/sync HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let huge = format!("x: {}\r\n", "a".repeat(1_000_000));
    let refused = client.request(at, "GET", "/v1/pools", &huge, &[]).await;
    assert!(refused.is_err() || refused.unwrap().0 == 431);
    let began = Instant::now();
    for _ in 0..20 {
        slow.write_all(b"a").await.unwrap();
        let body = report(1).encode();
        assert_eq!(
            client.request(at, "POST", SYNC, "", &body).await.unwrap().0,
            200
        );
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    eventually("half a handshake is given up", async || {
        let line = "handshakes_total{listener=\"proxies\",result=\"timeout\"}";
        app.metric(line).await >= 50.0
    })
    .await;
    assert!(
        app.metric("handshakes_total{listener=\"proxies\",result=\"failed\"}")
            .await
            >= 3.0
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_used_at_the_start_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let (cert, key) = ca.signs("127.0.0.1").mount(dir.path(), "1");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let (text, empty) = (write("text", "hello"), write("empty", ""));
    let other = write("other.key", &ca.signs("127.0.0.1").key);
    for (settings, says) in [
        (
            format!("tls: {{cert_file: /no/such, key_file: '{key}'}}"),
            "`tls.cert_file` /no/such: cannot be read",
        ),
        (
            format!("tls: {{cert_file: '{text}', key_file: '{key}'}}"),
            "holds no certificate in PEM; write",
        ),
        (
            format!("tls: {{cert_file: '{cert}', key_file: '{cert}'}}"),
            "holds no private key",
        ),
        (
            format!("tls: {{cert_file: '{cert}', key_file: '{other}'}}"),
            "do not go together",
        ),
        (
            format!("allow: {{bearer_file: '{empty}'}}"),
            "`allow.bearer_file`",
        ),
        (
            format!("people: {{listen: '127.0.0.1:0', allow: {{bearer_file: '{empty}'}}}}"),
            "`people.allow.bearer_file`",
        ),
        (
            format!(
                "tls: {{cert_file: '{cert}', key_file: '{key}'}}\nallow: {{client_certificates: {{ca_file: '{text}', names: [a]}}}}"
            ),
            "`allow.client_certificates.ca_file`",
        ),
    ] {
        let text = format!(
            "listen: 127.0.0.1:0\n{settings}\npools: [{{name: a, discovery: {{endpoints: []}}}}]"
        );
        let config = Config::from_yaml(&text).unwrap();
        let checked = trimtab_aggregator::config::check_files(&config);
        let error = App::build(config).await.unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
        let found = [checked.problems, checked.notes].concat();
        assert!(!found.is_empty(), "{says}");
    }
}
