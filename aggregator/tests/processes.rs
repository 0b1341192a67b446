//! Several processes behind one page: each has a share of the load, each repeats it, or one is over
//! and has left its numbers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helper fails by panicking"
)]

use std::time::{Duration, Instant};
use trimtab_aggregator::page::{Page, Processes, read_on};
use trimtab_estimate::Sample;

/// One process: number, waiting, running, KV usage.
type Shown = (u32, u32, u32, f64);

fn page(processes: &[Shown]) -> String {
    let lines = |(pid, waiting, running, used): &Shown| {
        let labels = format!("{{model_name=\"m\",pid=\"{pid}\"}}");
        format!(
            "trtllm_num_requests_waiting{labels} {waiting}\ntrtllm_num_requests_running{labels} {running}\n\
             trtllm_kv_cache_utilization{labels} {used}\ntrtllm_max_num_active_requests{labels} 128\n\
             trtllm_kv_cache_max_blocks{labels} 1000\ntrtllm_prompt_tokens_total{labels} 500\n"
        )
    };
    processes.iter().map(lines).collect()
}

/// A server whose page is read every 200 ms.
struct Server {
    processes: Processes,
    now: Instant,
}

impl Server {
    fn new() -> Self {
        Self {
            processes: Processes::default(),
            now: Instant::now(),
        }
    }

    fn shows(&mut self, processes: &[Shown]) -> Sample {
        self.now += Duration::from_millis(200);
        let page = page(processes);
        let reading = read_on(
            Page::whole(page.as_bytes()),
            None,
            &mut self.processes,
            self.now,
        );
        reading.expect("a page with load").sample
    }

    /// Reads five pages a second for some seconds; `at` gives the processes of each. Returns the
    /// last sample.
    fn runs(&mut self, seconds: u32, at: impl Fn(u32) -> Vec<Shown>) -> Sample {
        let pages = (0..seconds * 5).map(|step| self.shows(&at(step)));
        pages.last().expect("a page")
    }
}

/// Returns waiting, running, KV usage and batch limit.
fn load(sample: &Sample) -> (f64, f64, f64, f64) {
    (
        sample.waiting.unwrap(),
        sample.running.unwrap(),
        sample.kv_used.unwrap(),
        sample.batch_limit.unwrap(),
    )
}

fn moving(pid: u32, running: u32, step: u32) -> Shown {
    (pid, 1, running, 0.4 + f64::from(step % 7) / 100.0)
}

#[test]
fn what_each_process_has_adds_up_and_the_fullest_cache_counts() {
    let mut server = Server::new();
    // The process with the larger `pid` is idle. Its 0 % must not hide the other's 65 %.
    let first = server.shows(&[(9, 4, 10, 0.65), (12, 0, 0, 0.0)]);
    assert_eq!(load(&first), (4.0, 10.0, 0.65, 256.0));
    let later = server.runs(60, |step| {
        vec![moving(9, 10, step), moving(12, 3, step + 3)]
    });
    assert_eq!((later.waiting, later.running), (Some(2.0), Some(13.0)));
    assert_eq!(later.kv_blocks, Some(2_000.0));
    assert_eq!(later.counters.prompt_tokens, Some(1_000.0));
}

#[test]
fn copies_count_once_also_while_one_is_behind() {
    let mut server = Server::new();
    let copies = |step| vec![moving(9, 10, step), moving(12, 10, step)];
    let first = server.shows(&copies(0));
    assert_eq!(load(&first), (1.0, 10.0, 0.4, 128.0));
    let later = server.runs(5, copies);
    assert_eq!(
        (later.running, later.batch_limit),
        (Some(10.0), Some(128.0))
    );
    assert_eq!(later.counters.prompt_tokens, Some(500.0));
    let behind = server.shows(&[moving(9, 11, 3), moving(12, 10, 2)]);
    assert!(behind.running < Some(20.0), "{behind:?}");
}

#[test]
fn idle_processes_that_show_the_same_nothing_are_no_copies() {
    let mut server = Server::new();
    let idle = server.runs(20, |_| vec![(9, 0, 0, 0.0), (12, 0, 0, 0.0)]);
    assert_eq!(load(&idle), (0.0, 0.0, 0.0, 256.0));
    let busy = server.shows(&[(9, 0, 1, 0.1), (12, 0, 2, 0.2)]);
    assert_eq!(load(&busy), (0.0, 3.0, 0.2, 256.0));
}

#[test]
fn what_a_process_that_is_over_left_is_no_load_once_another_moves_without_it() {
    let mut server = Server::new();
    let left = (9, 7, 50, 0.9);
    let first = server.shows(&[left, moving(12, 2, 0)]);
    assert_eq!(first.running, Some(52.0), "not known yet");
    let soon = server.runs(9, |step| vec![left, moving(12, 2, step)]);
    assert_eq!(soon.running, Some(52.0));
    let later = server.runs(3, |step| vec![left, moving(12, 2, step)]);
    assert_eq!(
        (later.waiting, later.running, later.batch_limit),
        (Some(1.0), Some(2.0), Some(128.0))
    );
    assert!(later.kv_used < Some(0.5));
    assert_eq!(
        later.counters.prompt_tokens,
        Some(1_000.0),
        "a total that fell would be a restart"
    );
    // The process was not over, but slow.
    let back = server.shows(&[moving(9, 3, 0), moving(12, 2, 0)]);
    assert_eq!(back.running, Some(5.0));
}

#[test]
fn a_process_that_takes_another_ones_place_speaks_at_once() {
    let mut server = Server::new();
    let _ = server.runs(5, |step| vec![moving(9, 50, step)]);
    let _ = server.runs(11, |_| vec![(9, 7, 50, 0.9)]);
    let new = server.shows(&[(9, 7, 50, 0.9), (12, 0, 0, 0.0)]);
    assert_eq!(load(&new), (0.0, 0.0, 0.0, 128.0));
}

#[test]
fn what_was_left_before_we_came_goes_also_beside_a_process_without_load() {
    let mut server = Server::new();
    let still = |_| vec![(9, 7, 50, 0.9), (12, 0, 0, 0.0)];
    assert_eq!(server.runs(29, still).running, Some(50.0));
    assert_eq!(server.runs(3, still).running, Some(0.0));
}

#[test]
fn a_process_alone_counts_however_still_it_stands() {
    let mut server = Server::new();
    let alone = server.runs(90, |_| vec![(9, 7, 50, 0.9)]);
    assert_eq!(load(&alone), (7.0, 50.0, 0.9, 128.0));
    let both = server.runs(90, |_| vec![(9, 7, 50, 0.9), (12, 1, 5, 0.2)]);
    assert_eq!(
        both.running,
        Some(55.0),
        "both hang, and neither is known to be over"
    );
}

#[test]
fn a_page_with_very_many_processes_is_read() {
    let mut server = Server::new();
    let many: Vec<Shown> = (0..1_000).map(|pid| (pid, 0, 1, 0.0)).collect();
    assert_eq!(server.shows(&many).waiting, Some(0.0));
}
