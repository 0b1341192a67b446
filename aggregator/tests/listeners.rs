//! Which callers each listener serves, and which answers carry the placement key.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod support;

use std::net::SocketAddr;
use support::{Fake, Running, Scenario, report, request};
use trimtab_aggregator::{App, Config, Role};
use trimtab_loadtable::{State, Table};

const KEY: &str = "00112233445566778899aabbccddeeff";
const OWN: &str = "people: {listen: 127.0.0.1:0}\nhealth: {listen: 127.0.0.1:0}\n";

fn pool(fake: &Fake) -> String {
    format!(
        "- {{name: chat, discovery: {{endpoints: [{{address: '{}'}}]}}, scrape: {{interval: 20ms}}, placement_key: {KEY}}}\n",
        fake.address
    )
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, body) = request(address, "GET", path, "", &[]).await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn the_placement_key_is_in_the_answer_to_a_report_and_nowhere_else() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::start(&pool(&fake)).await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    let (status, bytes) = app.sync(&report(1)).await;
    let synced = Table::decode(&bytes).unwrap();
    let secret = u128::from_str_radix(KEY, 16).unwrap().to_be_bytes();
    assert_eq!((status, synced.placement_key), (200, secret));
    let path = "/v1/pools/chat/table";
    for accept in [
        "",
        "accept: application/x-protobuf\r\n",
        "accept: application/json\r\n",
    ] {
        let (status, body) = request(app.address, "GET", path, accept, &[]).await;
        assert_eq!(status, 200);
        assert!(!body.windows(16).any(|bytes| bytes == secret), "{accept}");
        let text = String::from_utf8_lossy(&body).to_lowercase();
        assert!(
            !text.contains(KEY) && !text.contains("placement"),
            "{accept}"
        );
        if !accept.contains("json") {
            let table = Table::decode(&body).unwrap();
            assert_eq!(table.endpoints[0].address, fake.address.to_string());
            assert_eq!(table.placement_key, [0; 16]);
        }
    }
    for path in ["/v1/pools", "/metrics", "/readyz"] {
        assert!(!get(app.address, path).await.1.contains(KEY), "{path}");
    }
}

#[tokio::test]
async fn each_listener_serves_its_own_callers_and_tells_others_what_it_has() {
    let fake = Fake::start(Scenario::Selecting).await;
    let text = format!("listen: 127.0.0.1:0\n{OWN}pools:\n{}", pool(&fake));
    let app = App::build(Config::from_yaml(&text).unwrap()).await.unwrap();
    let at = |role| app.address_for(role);
    let (proxies, people, health) = (at(Role::Proxies), at(Role::People), at(Role::Health));
    assert_eq!(proxies, app.address());
    let task = tokio::spawn(app.run(std::future::pending()));
    support::eventually("ready", async || get(health, "/readyz").await.0 == 200).await;

    let sync = async |address| {
        let body = report(1).encode();
        request(address, "POST", "/v1/pools/chat/sync", "", &body)
            .await
            .0
    };
    assert_eq!(sync(proxies).await, 200);
    assert_eq!((sync(people).await, sync(health).await), (404, 404));
    for (path, served) in [
        ("/v1/pools/chat/table", [200, 200, 404]),
        ("/v1/pools", [404, 200, 404]),
        ("/metrics", [404, 404, 200]),
        ("/healthz", [404, 404, 200]),
    ] {
        let mut found = Vec::new();
        for address in [proxies, people, health] {
            found.push(get(address, path).await.0);
        }
        assert_eq!(found, served, "{path}");
    }
    let (_, why) = get(health, "/v1/pools").await;
    assert_eq!(
        why,
        "nothing is here; this listener has /healthz, /readyz, /metrics\n"
    );
    task.abort();
}

#[tokio::test]
async fn stopping_ends_all_listeners() {
    let fake = Fake::start(Scenario::Selecting).await;
    let text = format!("listen: 127.0.0.1:0\n{OWN}pools:\n{}", pool(&fake));
    let app = App::build(Config::from_yaml(&text).unwrap()).await.unwrap();
    let roles = [Role::Proxies, Role::People, Role::Health];
    let addresses = roles.map(|role| app.address_for(role));
    app.run(std::future::ready(())).await.unwrap();
    for address in addresses {
        assert!(std::net::TcpListener::bind(address).is_ok(), "{address}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let text = format!(
        "listen: 127.0.0.1:0\nhealth: {{listen: '{at}'}}\npools: [{{name: a, discovery: {{endpoints: []}}}}]"
    );
    let error = App::build(Config::from_yaml(&text).unwrap())
        .await
        .unwrap_err();
    let error = error.to_string();
    assert_eq!(
        error,
        format!("cannot listen on {at}; set `health.listen` to a free address of this machine")
    );
}

#[test]
fn two_listeners_at_one_address_are_refused_before_anything_starts() {
    let problems = |listeners: &str| {
        let text = format!("{listeners}\npools: [{{name: a, discovery: {{endpoints: []}}}}]");
        Config::from_yaml(&text).unwrap_err().to_string()
    };
    let same = problems("listen: 127.0.0.1:9190\npeople: {listen: 127.0.0.1:9190}");
    assert!(
        same.contains("people: listens where `listen` does"),
        "{same}"
    );
    let both = problems("people: {listen: 127.0.0.1:1}\nhealth: {listen: 127.0.0.1:1}");
    assert!(
        both.contains("`people` and `health` listen at one address"),
        "{both}"
    );
    let none = problems("people: {}");
    assert!(none.contains("people.listen: is required"), "{none}");
}
