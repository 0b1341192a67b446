//! Tables over time.

use super::*;
use crate::config::Config;
use crate::pool::estimator::TAKES_KEY_FOR;
use trimtab_loadtable::EndpointReport;
use trimtab_loadtable::State as RowState;

fn pool(interval: &str) -> Arc<PoolState> {
    let pool = untried(interval, "{address: '10.0.0.1:80'}");
    pool.on_scrape("10.0.0.1:80", Ok(waits(0.0)));
    pool
}

/// A pool whose endpoints have not been scraped.
fn untried(interval: &str, endpoints: &str) -> Arc<PoolState> {
    let text = format!(
        "pools: [{{name: chat, discovery: {{endpoints: [{endpoints}]}}, publish_interval: {interval}}}]"
    );
    let config = Config::from_yaml(&text).expect("valid").pools.remove(0);
    let pool = PoolState::new(&config, 10_000, 1, [0; 16]);
    pool.set_targets(&Targets {
        listed: Some(Arc::new(listed(endpoints))),
        ..Targets::default()
    });
    pool
}

fn listed(endpoints: &str) -> Vec<Target> {
    let text = format!("pools: [{{name: chat, discovery: {{endpoints: [{endpoints}]}}}}]");
    let config = Config::from_yaml(&text).expect("valid").pools.remove(0);
    let crate::members::Discovery::Static(list) = config.discovery else {
        panic!("a list")
    };
    list
}

fn waits(waiting: f64) -> Sample {
    Sample {
        waiting: Some(waiting),
        running: Some(0.0),
        ..Sample::default()
    }
}

fn report(proxy: u64, sequence: u64, pending_tokens: u32) -> Report {
    let address = "10.0.0.1:80".to_owned();
    let endpoints = vec![EndpointReport {
        address,
        in_flight: 1,
        pending_tokens,
        ..EndpointReport::default()
    }];
    Report {
        pool: "chat".into(),
        proxy,
        sequence,
        workers: 1,
        endpoints,
        ..Report::default()
    }
}

fn sequence(pool: &PoolState) -> u64 {
    pool.newest()
        .map_or(0, |published| published.version.sequence)
}

#[tokio::test(start_paused = true)]
async fn a_table_comes_every_interval_while_something_happens_and_else_each_half_second() {
    let pool = pool("100ms");
    let task = tokio::spawn(Arc::clone(&pool).publish_forever());
    let mut published = pool.subscribe();
    let mut count = async |ms| {
        let (end, mut tables) = (Instant::now() + Duration::from_millis(ms), 0);
        while tokio::time::timeout_at(end, published.changed())
            .await
            .is_ok()
        {
            tables += 1;
        }
        tables
    };
    assert_eq!(count(2_050).await, 5, "one at once and one each 500 ms");
    for waiting in 1..=20 {
        pool.on_scrape("10.0.0.1:80", Ok(waits(f64::from(waiting))));
        assert_eq!(count(100).await, 1, "with {waiting} more");
    }
    assert_eq!(count(2_000).await, 4);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn urgent_reports_of_one_burst_make_one_table_within_a_moment() {
    let pool = pool("10s");
    let task = tokio::spawn(Arc::clone(&pool).publish_forever());
    tokio::time::sleep(Duration::from_millis(1)).await;
    for proxy in 0..10 {
        pool.on_report(&report(proxy, 1, 0)).expect("taken in");
    }
    assert_eq!(sequence(&pool), 1);
    for proxy in 0..10 {
        pool.on_report(&report(proxy, 2, 50_000)).expect("taken in");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(sequence(&pool), 2);
    let newest = pool.newest().expect("published");
    assert_eq!(
        newest
            .table
            .endpoints
            .first()
            .and_then(|row| row.pending_tokens),
        Some(500_000)
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        sequence(&pool),
        2,
        "no urgent report, no table before its time"
    );
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_table_says_which_report_of_each_proxy_it_has_taken_in() {
    let pool = pool("1s");
    for (proxy, sequence) in [(7, 1), (7, 5), (8, 2)] {
        pool.on_report(&report(proxy, sequence, 0)).expect("new");
    }
    assert_eq!(pool.on_report(&report(7, 3, 0)), Ok(Accepted::Late));
    assert_eq!(pool.on_report(&report(7, 3, 0)), Err(Refusal::Old));
    let _ = pool.publish(&Pace::new(pool.interval));
    let first = pool.newest().expect("published");
    pool.on_report(&report(7, 6, 0)).expect("new");
    assert_eq!(first.included, HashMap::from([(7, 5), (8, 2)]));
    let _ = pool.publish(&Pace::new(pool.interval));
    let second = pool.newest().expect("published");
    assert_eq!(second.included, HashMap::from([(7, 6), (8, 2)]));
}

/// A report of a proxy that has a table and the key of the aggregator with this epoch.
fn coming_from(epoch: u64, key: u8) -> Report {
    Report {
        have: Some(Version { epoch, sequence: 9 }),
        placement_key: Some([key; 16]),
        ..report(7, u64::from(key), 0)
    }
}

fn key(pool: &PoolState) -> Option<u8> {
    Some(pool.newest()?.table.placement_key[0])
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_drawn_gives_way_once_to_that_of_the_aggregator_before() {
    let pool = pool("10s");
    let task = tokio::spawn(Arc::clone(&pool).publish_forever());
    tokio::time::sleep(Duration::from_millis(1)).await;
    pool.on_report(&report(8, 1, 0)).expect("new");
    pool.on_report(&coming_from(1, 3)).expect("new");
    assert_eq!(
        key(&pool),
        Some(0),
        "the keys of its own proxies are its own"
    );
    pool.on_report(&coming_from(2, 4)).expect("new");
    assert_eq!(key(&pool), None, "no table under the old key any more");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(key(&pool), Some(4));
    pool.on_report(&coming_from(3, 5)).expect("new");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(key(&pool), Some(4));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_key_is_not_taken_over_later_or_when_it_was_set() {
    let late = pool("1s");
    let set = pool("1s, placement_key: '00000000000000000000000000000000'");
    set.on_report(&coming_from(2, 4)).expect("new");
    tokio::time::advance(TAKES_KEY_FOR + Duration::from_secs(1)).await;
    late.on_report(&coming_from(2, 4)).expect("new");
    for pool in [late, set] {
        let _ = pool.publish(&Pace::new(pool.interval));
        assert_eq!(key(&pool), Some(0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_refused_brings_no_key() {
    let pool = pool("1s");
    pool.on_report(&report(7, 4, 0)).expect("new");
    let _ = pool.publish(&Pace::new(pool.interval));
    assert_eq!(pool.on_report(&coming_from(2, 4)), Err(Refusal::Old));
    assert_eq!(key(&pool), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_pool_says_what_it_lacks() {
    let pool = pool("100ms");
    assert_eq!(
        pool.missing().as_deref(),
        Some("pool chat: no table published yet")
    );
    let _ = pool.publish(&Pace::new(pool.interval));
    assert_eq!(pool.missing(), None);
}

#[tokio::test(start_paused = true)]
async fn the_first_table_waits_until_each_endpoint_was_scraped_or_for_one_round() {
    let endpoints = "{address: '10.0.0.1:80'}, {address: '10.0.0.2:80'}";
    // Also with long intervals between tables.
    let pool = untried("10s", endpoints);
    let task = tokio::spawn(Arc::clone(&pool).publish_forever());
    pool.on_scrape("10.0.0.1:80", Ok(waits(0.0)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(sequence(&pool), 0, "the second is still tried");
    pool.on_scrape("10.0.0.2:80", Err(Missed::Unreachable));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(sequence(&pool), 1, "it was, in vain");
    task.abort();

    let pool = untried("50ms", endpoints);
    let task = tokio::spawn(Arc::clone(&pool).publish_forever());
    // Interval and timeout, by default 0.2 and 1 s.
    tokio::time::sleep(Duration::from_millis(1_140)).await;
    assert_eq!(sequence(&pool), 0);
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(sequence(&pool), 1, "whatever is still missing");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_at_the_address_of_a_former_one_starts_from_nothing() {
    let pool = untried("1s", "{address: '10.0.0.1:80'}, {address: '10.0.0.2:80'}");
    let pods = |first: &str| {
        let target = |address: &str, id: &str| {
            let mut target = listed(&format!("{{address: '{address}'}}")).remove(0);
            target.id = Some(id.to_owned());
            target
        };
        Targets {
            listed: Some(Arc::new(vec![
                target("10.0.0.1:80", first),
                target("10.0.0.2:80", "b"),
            ])),
            ..Targets::default()
        }
    };
    let waiting = || {
        let _ = pool.publish(&Pace::new(pool.interval));
        let table = pool.newest().expect("published");
        let rows = table.table.endpoints.iter();
        rows.map(|row| row.waiting).collect::<Vec<_>>()
    };
    pool.set_targets(&pods("a"));
    for address in ["10.0.0.1:80", "10.0.0.2:80"] {
        pool.on_scrape(address, Ok(waits(7.0)));
    }
    assert_eq!(waiting(), [Some(7), Some(7)]);
    for address in ["10.0.0.1:80", "10.0.0.2:80"] {
        pool.reasons.set(address, "status 401");
    }
    pool.set_targets(&pods("a"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(waiting(), [Some(7), Some(7)]);
    pool.set_targets(&pods("c"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(waiting(), [None, Some(7)]);
    let reasons: Vec<String> = pool.reasons.first(9).into_keys().collect();
    assert_eq!(reasons, ["10.0.0.2:80"]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_or_drains_is_out_of_the_next_table_at_once() {
    let pool = untried("10s", "{address: '10.0.0.1:80'}, {address: '10.0.0.2:80'}");
    for address in ["10.0.0.1:80", "10.0.0.2:80"] {
        pool.on_scrape(address, Ok(waits(0.0)));
    }
    let task = tokio::spawn(Arc::clone(&pool).publish_forever());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let states = || {
        let table = pool.newest().expect("published");
        let rows = table.table.endpoints.iter();
        rows.map(|row| row.state).collect::<Vec<_>>()
    };
    assert_eq!(states(), [RowState::Ready; 2]);
    let list = |endpoints: &str| Targets {
        listed: Some(Arc::new(listed(endpoints))),
        ..Targets::default()
    };
    pool.set_targets(&list(
        "{address: '10.0.0.1:80', draining: true}, {address: '10.0.0.2:80'}",
    ));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(states(), [RowState::Draining, RowState::Ready]);
    pool.set_targets(&list("{address: '10.0.0.2:80'}"));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(states(), [RowState::Ready]);
    task.abort();
}
