//! Tests what happens to requests when the VM traps: Envoy's configuration decides that. The filter
//! itself never traps.

use std::io::Write as _;

use crate::support::client::{DESTINATION, ask_body};
use crate::support::{
    Answer, Backend, RELEASES, Release, ScriptedAggregator, Stage, StageOptions, post,
};

/// A module that traps at the headers of a request.
///
/// ```wat
/// (module
///   (memory (export "memory") 1)
///   (func (export "proxy_abi_version_0_2_1"))
///   (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))
///   (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))
/// ```
const TRAPS: &[u8] = b"\0asm\x01\0\0\0\x01\x10\x03`\0\0`\x01\x7f\x01\x7f`\x03\x7f\x7f\x7f\x01\x7f\x03\x04\x03\0\x01\x02\x05\x03\x01\0\x01\
    \x07Z\x04\x06memory\x02\0\x17proxy_abi_version_0_2_1\0\0\x18proxy_on_memory_allocate\0\x01\x18proxy_on_request_headers\0\x02\
    \n\r\x03\x02\0\x0b\x04\0A\0\x0b\x03\0\0\x0b";

async fn after_a_trap(release: Release) {
    const WORKERS: u32 = 2;
    const REQUESTS: usize = 90;
    let servers = [
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    ];
    let mut module = tempfile::NamedTempFile::new().unwrap();
    module.write_all(TRAPS).unwrap();
    let aggregator = ScriptedAggregator::start(Answer::Status(503)).await;
    let options = StageOptions {
        module: Some(module.path().to_owned()),
        workers: WORKERS,
        release: Some(release),
        ..StageOptions::default()
    };
    let addresses = servers.each_ref().map(|server| server.address);
    let stage = Stage::start(&addresses, aggregator.address, options).await;
    let forged = (DESTINATION, servers[0].name());
    let mut failed = 0;
    for _ in 0..REQUESTS {
        let headers = [(forged.0, forged.1.as_str())];
        let body = ask_body("to the first");
        let answer = post(stage.address, "/v1/chat/completions", &headers, body).await;
        let status = answer.unwrap().status;
        assert!(status == 200 || status == 503, "{status} on {release:?}");
        failed += u32::from(status == 503);
    }
    assert!((1..=WORKERS).contains(&failed), "{failed} on {release:?}");
    let counts = servers.each_ref().map(Backend::count);
    let fair = REQUESTS / servers.len();
    assert!(
        counts
            .iter()
            .all(|count| (fair / 2..fair * 2).contains(count)),
        "{counts:?} on {release:?}"
    );
    let log = stage.envoy.log_text();
    assert!(
        log.contains("Function: proxy_on_request_headers failed"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_costs_each_worker_one_request_and_the_later_ones_are_balanced_by_envoy() {
    for release in RELEASES {
        after_a_trap(release).await;
    }
}
