//! Nothing scripted: model servers and aggregator as processes of their own, with the deployed files.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use trimtab::process::Child;

use super::client::bare;
use super::config;
use super::stage::{Stage, StageOptions};
use super::wait::eventually;

/// The program under test.
const TRIMTAB: &str = env!("CARGO_BIN_EXE_trimtab");

/// A model server in a process of its own, so that it can be killed.
#[derive(Debug)]
pub(crate) struct ModelServer {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl ModelServer {
    /// Lets the process stand still: connections are taken, and nothing answers.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Starts one. `speed`: relative to its hardware.
    pub(crate) async fn start(dir: &Path, name: &str, speed: f64) -> Self {
        let mut command = Command::new(TRIMTAB);
        command.arg("model-server").args([
            "--model",
            "m",
            "--server",
            &format!("name={name},profile=a100,speed={speed}"),
        ]);
        let child = Child::spawn(name, &command, &dir.join(format!("{name}.log"))).unwrap();
        let address = eventually("the model server says where it listens", async || {
            let log = child.log_tail(50);
            let (_, rest) = log.split_once("address=")?;
            rest.split_whitespace().next()?.parse().ok()
        })
        .await;
        Self { child, address }
    }
}

/// Model servers, aggregator and Envoy.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) servers: Vec<ModelServer>,
    pub(crate) stage: Stage,
    pub(crate) aggregator: Option<Child>,
    aggregator_address: SocketAddr,
    /// Servers of the test itself.
    others: Vec<SocketAddr>,
    draining: Option<SocketAddr>,
    dir: TempDir,
}

impl Fleet {
    /// Starts everything and waits until requests are placed.
    pub(crate) async fn start(speeds: &[f64]) -> Self {
        Self::start_with(speeds, "", StageOptions::default()).await
    }

    /// The same with further settings of the aggregator's pool, as lines of YAML, and of the proxy.
    pub(crate) async fn start_with(speeds: &[f64], pool: &str, proxy: StageOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = Vec::new();
        for (n, speed) in speeds.iter().enumerate() {
            servers.push(ModelServer::start(dir.path(), &format!("server-{n}"), *speed).await);
        }
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        // The aggregator comes back on the same port when a test restarts it, so it cannot be left to port 0.
        let aggregator_address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut text = config::aggregator(aggregator_address, &dir.path().join("pool.yaml"));
        text.push('\n');
        text.push_str(pool);
        std::fs::write(dir.path().join("aggregator.yaml"), text).unwrap();
        write_pool(dir.path(), &addresses, None);
        let aggregator = Some(start_aggregator(dir.path()));
        let stage = Stage::start(&addresses, aggregator_address, proxy).await;
        stage.placing().await;
        Self {
            servers,
            stage,
            aggregator,
            aggregator_address,
            others: Vec::new(),
            draining: None,
            dir,
        }
    }

    /// Another proxy of the same pool, which has a table.
    pub(crate) async fn another_proxy(&self, options: StageOptions) -> Stage {
        let stage = Stage::start(&self.addresses(), self.aggregator_address, options).await;
        stage.placing().await;
        stage
    }

    /// The newest table, in the form for people.
    pub(crate) async fn table(&self) -> serde_json::Value {
        let json = [("accept", "application/json")];
        let path = "/v1/pools/default/table";
        let answer = bare(self.aggregator_address, Method::GET, path, &json).await;
        serde_json::from_slice(&answer.unwrap().ok().body).unwrap()
    }

    /// The aggregator's own metrics.
    pub(crate) async fn metrics(&self) -> String {
        let answer = bare(self.aggregator_address, Method::GET, "/metrics", &[]).await;
        String::from_utf8(answer.unwrap().ok().body.to_vec()).unwrap()
    }

    /// What the aggregator has logged.
    pub(crate) fn aggregator_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("aggregator.log")).unwrap()
    }

    /// A server's row of it.
    pub(crate) async fn row(&self, address: SocketAddr) -> serde_json::Value {
        let table = self.table().await;
        let rows = table["endpoints"].as_array().unwrap();
        let name = address.to_string();
        let row = rows.iter().find(|row| row["address"] == name.as_str());
        row.unwrap().clone()
    }

    /// Kills the aggregator, as a crash would.
    pub(crate) fn kill_aggregator(&mut self) {
        let mut child = self.aggregator.take().unwrap();
        child.kill().unwrap();
    }

    /// Starts it again on its old port.
    pub(crate) fn start_aggregator(&mut self) {
        self.aggregator = Some(start_aggregator(self.dir.path()));
    }

    /// Adds a server to the lists of both, as an operator would.
    pub(crate) async fn add_server(&mut self, speed: f64) {
        let server = ModelServer::start(
            self.dir.path(),
            &format!("server-{}", self.servers.len()),
            speed,
        )
        .await;
        self.servers.push(server);
        self.write_lists();
    }

    /// Adds a server of the test's own to the lists of both.
    pub(crate) fn add_address(&mut self, address: SocketAddr) {
        self.others.push(address);
        self.write_lists();
    }

    /// Says in the aggregator's list that the server drains.
    pub(crate) fn set_draining(&mut self, address: SocketAddr) {
        self.draining = Some(address);
        write_pool(self.dir.path(), &self.addresses(), self.draining);
    }

    fn write_lists(&self) {
        let addresses = self.addresses();
        self.stage.set_endpoints(&addresses);
        write_pool(self.dir.path(), &addresses, self.draining);
    }

    /// Takes the last server out of both lists and gives it to the caller, still running.
    pub(crate) fn remove_server(&mut self) -> ModelServer {
        let server = self.servers.pop().unwrap();
        let addresses = self.addresses();
        write_pool(self.dir.path(), &addresses, self.draining);
        self.stage.set_endpoints(&addresses);
        server
    }

    /// Requests that Envoy has sent to an endpoint.
    pub(crate) async fn sent_to(&self, address: SocketAddr) -> u64 {
        let page: serde_json::Value = serde_json::from_str(
            &self
                .stage
                .envoy
                .page("/clusters?format=json")
                .await
                .unwrap(),
        )
        .unwrap();
        let hosts = page["cluster_statuses"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|cluster| cluster["name"] == "model_servers");
        let hosts = hosts.flat_map(|cluster| cluster["host_statuses"].as_array().unwrap().clone());
        let port = address.port();
        let host = hosts
            .into_iter()
            .find(|host| host["address"]["socket_address"]["port_value"] == port);
        let host = host.unwrap_or_else(|| panic!("Envoy has no host {address}: {page}"));
        let mut stats = host["stats"].as_array().unwrap().iter();
        let total = stats.find(|stat| stat["name"] == "rq_total");
        let total = total.unwrap_or_else(|| panic!("no rq_total of {address}: {host}"));
        // A value of 0 is left out.
        let sent = total["value"].as_str().unwrap_or("0");
        sent.parse().unwrap()
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let servers = self.servers.iter().map(|server| server.address);
        servers.chain(self.others.iter().copied()).collect()
    }
}

fn start_aggregator(dir: &Path) -> Child {
    let mut command = Command::new(TRIMTAB);
    command
        .args(["aggregator", "--config"])
        .arg(dir.join("aggregator.yaml"));
    Child::spawn("aggregator", &command, &dir.join("aggregator.log")).unwrap()
}

fn write_pool(dir: &Path, addresses: &[SocketAddr], draining: Option<SocketAddr>) {
    let row = |address: &SocketAddr| {
        let drains = draining == Some(*address);
        format!("- address: {address}\n  draining: {drains}\n")
    };
    let rows: String = addresses.iter().map(row).collect();
    let partial = dir.join("pool.partial");
    std::fs::write(&partial, format!("endpoints:\n{rows}")).unwrap();
    std::fs::rename(&partial, dir.join("pool.yaml")).unwrap();
}
