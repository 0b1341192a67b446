//! A fleet without scripted parts: model servers and aggregator are processes, with the deployed
//! files.

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

/// A model server in its own process, so that it can be killed.
#[derive(Debug)]
pub(crate) struct ModelServer {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl ModelServer {
    /// Suspends the process. The kernel accepts connections, and nothing answers.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the process.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Starts a model server. `speed` is relative to its hardware.
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
    /// Addresses of the test's own servers.
    others: Vec<SocketAddr>,
    draining: Option<SocketAddr>,
    dir: TempDir,
}

impl Fleet {
    /// Starts everything and waits until requests are placed.
    pub(crate) async fn start(speeds: &[f64]) -> Self {
        Self::start_with(speeds, "", StageOptions::default()).await
    }

    /// Does the same as [`Self::start`], with more settings.
    ///
    /// - `speeds`: speed of each model server.
    /// - `pool`: further settings of the aggregator's pool, as lines of YAML.
    /// - `proxy`: options of the proxy.
    pub(crate) async fn start_with(speeds: &[f64], pool: &str, proxy: StageOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = Vec::new();
        for (n, speed) in speeds.iter().enumerate() {
            servers.push(ModelServer::start(dir.path(), &format!("server-{n}"), *speed).await);
        }
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        // The aggregator must use the same port when a test restarts it, so port 0 is not possible.
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

    /// Starts another proxy of the same pool and waits until it has a table.
    pub(crate) async fn another_proxy(&self, options: StageOptions) -> Stage {
        let stage = Stage::start(&self.addresses(), self.aggregator_address, options).await;
        stage.placing().await;
        stage
    }

    /// Returns the newest table, as JSON.
    pub(crate) async fn table(&self) -> serde_json::Value {
        let json = [("accept", "application/json")];
        let path = "/v1/pools/default/table";
        let answer = bare(self.aggregator_address, Method::GET, path, &json).await;
        serde_json::from_slice(&answer.unwrap().ok().body).unwrap()
    }

    /// Returns the aggregator's own metrics.
    pub(crate) async fn metrics(&self) -> String {
        let answer = bare(self.aggregator_address, Method::GET, "/metrics", &[]).await;
        String::from_utf8(answer.unwrap().ok().body.to_vec()).unwrap()
    }

    /// Returns the aggregator's log.
    pub(crate) fn aggregator_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("aggregator.log")).unwrap()
    }

    /// Returns a server's row of the table.
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

    /// Starts the aggregator again on its old port.
    pub(crate) fn start_aggregator(&mut self) {
        self.aggregator = Some(start_aggregator(self.dir.path()));
    }

    /// Starts a server and adds it to both lists, as an operator would.
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

    /// Adds one of the test's own servers to both lists.
    pub(crate) fn add_address(&mut self, address: SocketAddr) {
        self.others.push(address);
        self.write_lists();
    }

    /// Marks the server as draining in the aggregator's list.
    pub(crate) fn set_draining(&mut self, address: SocketAddr) {
        self.draining = Some(address);
        write_pool(self.dir.path(), &self.addresses(), self.draining);
    }

    fn write_lists(&self) {
        let addresses = self.addresses();
        self.stage.set_endpoints(&addresses);
        write_pool(self.dir.path(), &addresses, self.draining);
    }

    /// Removes the last server from both lists and returns it, still running.
    pub(crate) fn remove_server(&mut self) -> ModelServer {
        let server = self.servers.pop().unwrap();
        let addresses = self.addresses();
        write_pool(self.dir.path(), &addresses, self.draining);
        self.stage.set_endpoints(&addresses);
        server
    }

    /// Returns the number of requests that Envoy has sent to an endpoint.
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
        // Envoy leaves out a value of 0.
        let sent = total["value"].as_str().unwrap_or("0");
        sent.parse().unwrap()
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
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
