//! Tests deploy/gateway/envoy.yaml: endpoints by DNS, the way into it for the kubelet, and the end
//! of a pod.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use trimtab::process::envoy::{Envoy, Options};

use crate::support::client::{DESTINATION, bare, chat_body};
use crate::support::dns::Dns;
use crate::support::stage::filter;
use crate::support::{
    Answer, Backend, RELEASES, Release, ScriptedAggregator, chat, config, eventually, post, row,
    severe, table,
};

const SERVERS: &str = "trimtab-model-servers";
const ASKS_WHY: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    ("x-trimtab-explain", "1"),
];

/// Envoy as a pod of the gateway has it, and the name server of the cluster.
struct Gateway {
    envoy: Envoy,
    /// Address for clients.
    address: SocketAddr,
    /// Address for the kubelet and Prometheus.
    stats: SocketAddr,
    admin_port: u16,
    dns: Dns,
    _dir: TempDir,
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gateway");
    std::fs::read_to_string(path.join(name)).unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Gateway {
    /// Starts it with these model servers, which have one port. `mode`: text in place of
    /// `"observe"`.
    async fn start(
        release: Release,
        servers: &[&Backend],
        aggregator: SocketAddr,
        mode: &str,
    ) -> Self {
        let dns = Dns::start().await;
        dns.set("trimtab-aggregator", &[Ipv4Addr::LOCALHOST]);
        dns.set(SERVERS, &ips(servers));
        let (admin_port, port) = (free_port(), servers[0].address.port());
        let mut text = read("envoy.yaml");
        for (from, to) in [
            (
                "\"pool\": \"vllm\"",
                "\"pool\": \"default\", \"table_max_age\": \"60s\"".to_owned(),
            ),
            ("\"mode\": \"observe\"", format!("\"mode\": {mode}")),
            (
                "0.0.0.0, port_value: 8080",
                "127.0.0.1, port_value: 0".to_owned(),
            ),
            (
                "0.0.0.0, port_value: 9902",
                "127.0.0.1, port_value: 0".to_owned(),
            ),
            ("port_value: 9901", format!("port_value: {admin_port}")),
            ("port_value: 8000", format!("port_value: {port}")),
            (
                "port_value: 9190",
                format!("port_value: {}", aggregator.port()),
            ),
            ("/etc/trimtab/plugin.wasm", filter().display().to_string()),
        ] {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, &to);
        }
        let mut envoy: Value = serde_saphyr::from_str(&text).unwrap();
        envoy["typed_dns_resolver_config"] = json!({
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": dns.address.port()}}],
                "dns_resolver_options": {"no_default_search_domain": true},
            },
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("envoy.json");
        std::fs::write(&path, envoy.to_string()).unwrap();
        let options = Options::new(release.binary(), path, dir.path().to_owned());
        let envoy = Envoy::start(&options).await;
        let envoy = envoy.unwrap_or_else(|error| panic!("{error:#}"));
        Self {
            address: envoy.listener("completions").await.unwrap(),
            stats: envoy.listener("stats").await.unwrap(),
            envoy,
            admin_port,
            dns,
            _dir: dir,
        }
    }

    /// Waits until a run of requests goes to this server alone.
    async fn all_go_to(&self, server: &Backend) {
        eventually("all go to one", async || {
            for n in 0..24 {
                let asked = chat_body(&format!("question {n}"));
                let answer = post(self.address, "/v1/chat/completions", &ASKS_WHY, asked).await;
                let answer = answer.unwrap().ok();
                if answer.endpoint() != server.name() {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    async fn get(&self, method: &str, path: &str) -> (u16, String) {
        let method = method.parse().unwrap();
        let answer = bare(self.stats, method, path, &[]).await.unwrap();
        (answer.status, String::from_utf8_lossy(&answer.body).into())
    }
}

fn ips(servers: &[&Backend]) -> Vec<Ipv4Addr> {
    let ip = |server: &&Backend| match server.address.ip() {
        std::net::IpAddr::V4(ip) => ip,
        std::net::IpAddr::V6(ip) => panic!("{ip}"),
    };
    servers.iter().map(ip).collect()
}

/// Servers at one port of several addresses, as pods have it.
async fn servers() -> [Backend; 3] {
    let at = |last, port| SocketAddr::from(([127, 0, 0, last], port));
    let first = Backend::start_at(at(2, 0)).await;
    let port = first.address.port();
    [
        first,
        Backend::start_at(at(3, port)).await,
        Backend::start_at(at(4, port)).await,
    ]
}

async fn publish(waits: &[(&Backend, u32)]) -> ScriptedAggregator {
    let rows = waits
        .iter()
        .map(|(server, wait)| row(&server.name(), *wait));
    ScriptedAggregator::start(Answer::Table(table(1, rows.collect()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_dns_names_is_chosen_and_so_is_one_that_comes_later() {
    for release in RELEASES {
        let [a, b, c] = servers().await;
        let aggregator = publish(&[(&a, 20_000), (&b, 0)]).await;
        let gateway = Gateway::start(release, &[&a, &b], aggregator.address, "\"enforce\"").await;
        gateway.all_go_to(&b).await;
        assert!(
            b.seen()
                .iter()
                .rev()
                .take(24)
                .all(|seen| seen.headers.contains_key(DESTINATION))
        );
        assert_eq!(severe(&gateway.envoy.log_text()), Vec::<&str>::new());
        // The table knows the pod first, as in a cluster.
        let rows = [(&a, 20_000), (&b, 20_000), (&c, 0)];
        let rows = rows
            .map(|(server, wait)| row(&server.name(), wait))
            .to_vec();
        aggregator.publish(Answer::Table(table(2, rows)));
        gateway.dns.set(SERVERS, &ips(&[&a, &b, &c]));
        let before = c.count();
        gateway.all_go_to(&c).await;
        eventually("the new pod has them", async || {
            chat(gateway.address, "hello").await.unwrap().ok();
            (c.count() >= before + 24).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_shipped_it_observes_and_chooses_nothing() {
    let [a, b, _c] = servers().await;
    let aggregator = publish(&[(&a, 20_000), (&b, 0)]).await;
    let gateway = Gateway::start(
        Release::Newest,
        &[&a, &b],
        aggregator.address,
        "\"observe\"",
    )
    .await;
    let observed = "trimtab_observed_total";
    eventually("it is counted what it would have done", async || {
        for n in 0..10 {
            let answer = chat(gateway.address, &format!("question {n}")).await;
            assert_eq!(answer.unwrap().ok().header("x-trimtab-decision"), "");
        }
        let (status, page) = gateway.get("GET", "/stats/prometheus").await;
        assert_eq!(status, 200);
        let counted = |choice: &str| {
            page.lines().any(|line| {
                line.contains(observed) && line.contains(&format!("choice=\"{choice}\""))
            })
        };
        (counted("other") && counted("same")).then_some(())
    })
    .await;
    assert!(a.count() > 0 && b.count() > 0);
    let seen = [a.seen(), b.seen()].concat();
    assert!(
        !seen
            .iter()
            .any(|seen| seen.headers.contains_key(DESTINATION))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_the_kubelet_shows_readiness_and_statistics_and_stops_nothing() {
    let [a, ..] = servers().await;
    let aggregator = publish(&[(&a, 0)]).await;
    let gateway = Gateway::start(Release::Newest, &[&a], aggregator.address, "\"enforce\"").await;
    assert_eq!(
        gateway.get("GET", "/ready").await,
        (200, "LIVE\n".to_owned())
    );
    for (method, path) in [
        ("POST", "/quitquitquit"),
        ("GET", "/config_dump"),
        ("POST", "/ready"),
        ("GET", "/"),
    ] {
        assert_eq!(gateway.get(method, path).await.0, 404, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_ends_answers_what_it_has_begun() {
    let [a, ..] = servers().await;
    let aggregator = publish(&[(&a, 0)]).await;
    let gateway = Gateway::start(Release::Newest, &[&a], aggregator.address, "\"enforce\"").await;
    gateway.all_go_to(&a).await;
    a.hold();
    let address = gateway.address;
    let long = tokio::spawn(async move { chat(address, "a long answer").await.unwrap() });
    eventually("it has begun", async || (a.open() == 1).then_some(())).await;
    let script = read("drain.sh").replace("9901", &gateway.admin_port.to_string());
    let mut drain = Command::new("bash").arg("-c").arg(script).spawn().unwrap();
    let began = Instant::now();
    // Longer than the script waits without looking.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(
        drain.try_wait().unwrap(),
        None,
        "an answer is still to come"
    );
    a.release();
    long.await.unwrap().ok();
    let status = eventually("the script ends", async || drain.try_wait().unwrap()).await;
    assert!(status.success() && began.elapsed() < Duration::from_secs(60));
}

#[test]
fn envoy_takes_the_arguments_of_the_deployment() {
    let deployment: Value = serde_saphyr::from_str(&read("deployment.yaml")).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], json!(["envoy"]));
    let args = container["args"].as_array().unwrap().iter();
    let args: Vec<&str> = args.map(|arg| arg.as_str().unwrap()).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("envoy.yaml");
    let module = filter().display().to_string();
    let text = read("envoy.yaml").replace("/etc/trimtab/plugin.wasm", &module);
    std::fs::write(&path, text).unwrap();
    let own = |arg: &&str| match *arg {
        "/etc/envoy/envoy.yaml" => path.display().to_string(),
        other => other.to_owned(),
    };
    for release in RELEASES {
        let mut envoy = Command::new(release.binary());
        envoy
            .args(["--mode", "validate"])
            .args(args.iter().map(own));
        let output = envoy.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("OK"), "{said}");
    }
}

/// The listener for clients is the one of deploy/envoy, but for what the head of the file names.
#[test]
fn the_listener_for_clients_is_the_one_that_is_tested_elsewhere() {
    let listener = |text: &str| {
        let envoy: Value = serde_saphyr::from_str(text).unwrap();
        let mut listener = envoy["static_resources"]["listeners"][0].clone();
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let log = &mut manager["access_log"][0]["typed_config"]["log_format"];
        log["json_format"]["decision"].take();
        let plugin = &mut manager["http_filters"][0]["typed_config"]["config"];
        plugin["configuration"]["value"].take();
        plugin["vm_config"]["code"].take();
        listener
    };
    assert_eq!(listener(&read("envoy.yaml")), listener(&config::deployed()));
}
