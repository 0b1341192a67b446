//! Tests that proxies measure what clients measure: times and errors of answers, in the metrics of
//! a real aggregator.

use std::time::Duration;

use crate::support::fleet::Fleet;
use crate::support::load::Load;
use crate::support::{client, eventually};

/// One histogram of the aggregator.
#[derive(Debug, PartialEq)]
struct Histogram {
    /// Upper bounds in seconds, with the number of observations up to each.
    buckets: Vec<(f64, u64)>,
    sum: f64,
    count: u64,
}

/// Returns the value of the series that begins with `begin`.
fn series(page: &str, begin: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(begin))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

impl Histogram {
    async fn read(fleet: &Fleet, name: &str) -> Self {
        let page = fleet.metrics().await;
        let name = format!("trimtab_aggregator_{name}");
        let begin = format!("{name}_bucket{{pool=\"default\",le=\"");
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(&begin)?.split_once("\"} ")?;
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().ok()?
            };
            Some((bound, count.parse().ok()?))
        };
        Self {
            buckets: page.lines().filter_map(bucket).collect(),
            sum: series(&page, &format!("{name}_sum")).unwrap(),
            count: series(&page, &format!("{name}_count")).unwrap() as u64,
        }
    }

    /// Returns the observations since `before`.
    fn since(&self, before: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&before.buckets);
        Self {
            buckets: buckets
                .map(|(now, before)| (now.0, now.1 - before.1))
                .collect(),
            sum: self.sum - before.sum,
            count: self.count - before.count,
        }
    }

    /// Returns the bounds of the bucket with the median, in seconds.
    fn median(&self) -> (f64, f64) {
        let at = self
            .buckets
            .iter()
            .position(|bucket| 2 * bucket.1 >= self.count)
            .unwrap();
        let below = at.checked_sub(1).map_or(0.0, |at| self.buckets[at].0);
        (below, self.buckets[at].0)
    }
}

/// Compares with what clients measured. Clients wait a little longer than the proxy: up to `slack`
/// seconds for the way there and back.
fn agrees(histogram: &Histogram, mut clients: Vec<Duration>, slack: f64) {
    clients.sort();
    let count = clients.len();
    assert_eq!(histogram.count as usize, count);
    assert_eq!(
        histogram.buckets.last(),
        Some(&(f64::INFINITY, count as u64))
    );
    let mean = clients.iter().map(Duration::as_secs_f64).sum::<f64>() / count as f64;
    let found = histogram.sum / count as f64;
    assert!(
        found <= mean + 0.002,
        "{found} s on average, and {mean} s for clients"
    );
    assert!(
        found >= mean - slack,
        "{found} s on average, and {mean} s for clients"
    );
    // The middle value; the number of values is odd.
    let median = clients[count / 2].as_secs_f64();
    let (from, to) = histogram.median();
    assert!(
        median > from && median - slack <= to,
        "{median} s in {from} to {to} s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aggregators_histograms_say_what_clients_measured_over_both_workers() {
    // The servers are so slow that delays of a busy machine hardly matter.
    let fleet = Fleet::start(&[0.4, 0.4]).await;
    let read = async || {
        (
            Histogram::read(&fleet, "ttft_seconds").await,
            Histogram::read(&fleet, "duration_seconds").await,
        )
    };
    let before = eventually("what was seen of the start has been told", async || {
        let once = read().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let again = read().await;
        (once == again && again.0.count > 0).then_some(again)
    })
    .await;
    let address = fleet.stage.address;
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..15 {
        clients.spawn(async move {
            tokio::time::sleep(Duration::from_millis(150 * n)).await;
            client::timed(address, &format!("{n} words ").repeat(500)).await
        });
    }
    let times = clients.join_all().await;
    let after = eventually("all are told", async || {
        let after = read().await;
        // The two are read one after the other. A report may come in between.
        let all_told = after.0.count >= before.0.count + 15 && after.1.count >= before.1.count + 15;
        all_told.then_some(after)
    })
    .await;
    let (first, end) = times.into_iter().unzip();
    agrees(&after.0.since(&before.0), first, 0.1);
    agrees(&after.1.since(&before.1), end, 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_server_that_dies_under_load_are_counted_by_kind_and_endpoint() {
    let mut fleet = Fleet::start(&[1.0, 1.0]).await;
    let load = Load::start(fleet.stage.address, 12);
    load.more(50).await;
    let dead = fleet.servers[0].address;
    fleet.servers[0].child.kill().unwrap();
    load.more(50).await;
    // Requests in flight broke off. Later ones were moved to the other server, as long as the dead
    // one was tried.
    let begin =
        format!("trimtab_aggregator_endpoint_errors_total{{pool=\"default\",endpoint=\"{dead}\",");
    let page = eventually("the dead one is named", async || {
        let page = fleet.metrics().await;
        page.contains(&begin).then_some(page)
    })
    .await;
    let sum = |begin: &str| -> f64 {
        let lines = page.lines().filter(|line| line.starts_with(begin));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    };
    let all = sum("trimtab_aggregator_errors_total{pool=\"default\",");
    assert!(sum(&begin) >= 1.0);
    assert!(
        (sum(&begin) - all).abs() < 0.5,
        "the other one had none: {page}"
    );
    load.stop().await;
}
