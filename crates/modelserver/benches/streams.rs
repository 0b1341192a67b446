//! Measures the server's CPU time per streamed chunk: twelve servers, as in the demo, each with
//! thirty streams.
//!
//! Servers run on threads of their own, and the kernel counts the CPU time of these. The clients,
//! on other threads, only read and count. Prints one line. On a busy machine CPU time per chunk
//! stays meaningful, but wall time does not. Linux only (`/proc`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark that cannot go on has failed"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use trimtab_modelserver::{Profile, Server, Spec};

const SERVERS: usize = 12;
const STREAMS: usize = 30;
const TOKENS: usize = 400;

fn main() {
    // `cargo test` runs benches once with `--test`. The run is then shorter, but the results are
    // still checked.
    let tokens = if std::env::args().any(|arg| arg == "--test") {
        20
    } else {
        TOKENS
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("servers")
        .enable_all()
        .build()
        .unwrap();
    let servers: Vec<Server> = (0..SERVERS)
        .map(|place| {
            let spec = Spec {
                speed: 0.5,
                ..Spec::new(format!("s{place}"), Profile::named("h100").unwrap())
            };
            runtime.block_on(Server::start(spec)).unwrap()
        })
        .collect();
    let (cpu_before, begun) = (server_cpu(), Instant::now());
    let chunks: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = servers
            .iter()
            .flat_map(|server| (0..STREAMS).map(|place| (server.address(), place)))
            .map(|(address, place)| scope.spawn(move || stream(address, place, tokens)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    let (cpu, wall) = (server_cpu() - cpu_before, begun.elapsed());
    assert_eq!(chunks, SERVERS * STREAMS * tokens);
    println!(
        "{chunks} chunks in {:.2} s: {:.0} chunks/s, {:.1} us of server CPU per chunk, {:.2} cores",
        wall.as_secs_f64(),
        chunks as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / chunks as f64,
        cpu.as_secs_f64() / wall.as_secs_f64()
    );
}

/// Reads one streamed answer and returns the number of its chunks.
fn stream(address: SocketAddr, place: usize, tokens: usize) -> usize {
    let body = format!(
        r#"{{"prompt":"stream {place}","max_tokens":{tokens},"ignore_eos":true,"stream":true}}"#
    );
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("data: [DONE]"), "{answer}");
    answer.matches("data: {").count()
}

/// Returns the CPU time of the servers' threads so far.
fn server_cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("this benchmark needs Linux");
    let nanos = tasks.flatten().filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        (name.trim() == "servers").then(|| stat.split_whitespace().next()?.parse::<u64>().ok())?
    });
    Duration::from_nanos(nanos.sum())
}
