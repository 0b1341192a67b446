use super::*;
use trimtab_loadtable::{Moved, PrefixCount, Seen};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn row(address: &str, sent: u64) -> EndpointReport {
    EndpointReport {
        address: address.to_string(),
        in_flight: 1,
        pending: 1,
        sent,
        sent_tokens: 100 * sent,
        finished: sent.saturating_sub(1),
        ..Default::default()
    }
}

/// A worker's report with lists of one entry each, under this number.
fn written(worker: u64, lists: u64) -> Written {
    let seen = vec![Seen { kind: 3, count: 1 }];
    let place = Moved {
        key: worker,
        endpoint: 0,
    };
    Written {
        worker,
        lists,
        report: Report {
            sequence: 10 * worker,
            workers: 1,
            decided: 5,
            prefixes: vec![PrefixCount { key: 1, count: 2 }],
            moved: vec![place],
            held: vec![place],
            endpoints: vec![EndpointReport {
                seen,
                ..row("a:1", 1)
            }],
            ..Report::default()
        },
    }
}

/// Returns how often the shared key was asked for, and the numbers of entries.
fn told(report: &Report) -> (u32, usize, usize, u32) {
    let asked = report.prefixes.iter().map(|prefix| prefix.count).sum();
    let seen = report.endpoints.iter().flat_map(|row| &row.seen);
    let seen = seen.map(|one| one.count).sum();
    (asked, report.moved.len(), report.held.len(), seen)
}

#[test]
fn totals_are_added_up_by_address() {
    let merged = sum([row("b:1", 2), row("a:1", 1), row("b:1", 5)]);
    let flat: Vec<_> = merged
        .iter()
        .map(|r| {
            (
                r.address.as_str(),
                r.in_flight + r.pending,
                r.sent,
                r.sent_tokens,
                r.finished,
            )
        })
        .collect();
    assert_eq!(flat, [("a:1", 2, 1, 100, 0), ("b:1", 4, 7, 700, 5)]);
}

#[test]
fn lists_are_taken_once_and_totals_each_time() {
    let both = || Merge::new(vec![written(1, 4), written(2, 9)]);
    let mut first = both();
    let taken = first.take_lists(&[(1, 3), (7, 8)]);
    assert_eq!(taken, [(1, 4), (2, 9)], "who is gone is forgotten");
    assert_eq!(first.included(), [(1, 10), (2, 20)]);
    let first = first.finish(Report::default());
    assert_eq!(told(&first), (4, 2, 2, 2));
    assert_eq!((first.workers, first.decided), (2, 10));

    let mut again = both();
    // The second worker has written since.
    again.written[1].lists = 10;
    assert_eq!(again.take_lists(&taken), [(1, 4), (2, 10)]);
    let again = again.finish(Report::default());
    assert_eq!(told(&again), (2, 1, 1, 1));
    assert_eq!((again.workers, again.decided), (2, 10));
    assert_eq!(again.endpoints[0].sent, 2);
}

#[test]
fn lists_that_another_worker_took_are_dropped_and_older_ones_than_were_taken_stay_taken() {
    let mut merge = Merge::new(vec![written(1, 4)]);
    assert_eq!(merge.take_lists(&[]), [(1, 4)]);
    merge.drop_lists();
    assert_eq!(told(&merge.finish(Report::default())), (0, 0, 0, 0));
    let mut late = Merge::new(vec![written(1, 4)]);
    assert_eq!(late.take_lists(&[(1, 6)]), [(1, 6)]);
    assert_eq!(told(&late.finish(Report::default())), (0, 0, 0, 0));
}

#[test]
fn what_was_seen_is_added_up_within_the_limit_of_a_report() {
    let seen =
        |count: u8| -> Vec<Seen> { (0..count).map(|kind| Seen { kind, count: 1 }).collect() };
    let with = |address: usize, count| EndpointReport {
        address: format!("{address:05}"),
        seen: seen(count),
        ..Default::default()
    };
    let both = sum([with(1, 5), with(1, 5)]);
    assert_eq!(both[0].seen.len(), 5);
    assert!(both[0].seen.iter().all(|one| one.count == 2));
    let full = sum((0..200).map(|address| with(address, 100)));
    assert_eq!(
        full.iter().map(|row| row.seen.len()).sum::<usize>(),
        limits::SEEN
    );
}
