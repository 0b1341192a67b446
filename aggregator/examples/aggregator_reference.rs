//! Prints what docs/configuration.md and docs/metrics.md are generated from, as JSON: the settings
//! and the metrics page of the aggregator. `cargo xtask docs` runs it.

use anyhow::{Result, bail};
use serde_json::{Value, json};
use trimtab_aggregator::{Config, example_page};
use trimtab_settings::describe::{Setting, collect};

/// Has every object that a configuration may have, so that each is read.
const EVERYTHING: &str = "
tls: {cert_file: tls.crt, key_file: tls.key}
allow:
  client_certificates: {ca_file: ca.crt, names: [gateway]}
  bearer_file: secrets
  service_accounts: {accounts: [default/gateway]}
people:
  listen: '127.0.0.1:9191'
  tls: {cert_file: tls.crt, key_file: tls.key}
  allow:
    client_certificates: {ca_file: ca.crt, names: [gateway]}
    bearer_file: secrets
    service_accounts: {accounts: [default/gateway]}
health: {listen: '127.0.0.1:9192', tls: {cert_file: tls.crt, key_file: tls.key}}
pools:
- name: listed
  discovery: {endpoints: [{address: '10.0.0.1:80'}]}
  classes: [{name: NVIDIA-L4}]
- name: file
  discovery: {file: {path: endpoints.yaml}}
- name: dns
  discovery: {dns: {host: vllm, port: 8000}}
- name: kubernetes
  discovery: {kubernetes: {pods: {labels: {app: vllm}, ports: [8000]}}}
pools_from: {kubernetes: {}}
";

fn main() -> Result<()> {
    let mut read = Ok(());
    let settings = collect(|| read = Config::from_yaml(EVERYTHING).map(drop));
    if let Err(problems) = read {
        bail!("the example is refused: {problems}");
    }
    let settings: Vec<Value> = settings.iter().map(Setting::json).collect();
    println!("{}", json!({"settings": settings, "page": example_page()}));
    Ok(())
}
