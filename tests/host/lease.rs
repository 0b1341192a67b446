//! Tests that one VM of a proxy syncs, whatever happens to it.

use std::time::Duration;

use trimtab_loadtable::Report;
use trimtab_wasmhost::{CallAnswer, LogLevel, Status, Vm};

use crate::support::{first_host, module, started, table, table_with};

#[test]
fn the_main_thread_syncs_although_the_canary_was_first_and_the_workers_stay_silent() {
    let mut proxy = started(3);
    proxy.run_for(Duration::from_secs(3));
    let calls = proxy.take_calls();
    assert_eq!(calls.len(), 1, "one long poll is under way: {calls:?}");
    let (vm, call) = &calls[0];
    assert_eq!(*vm, 0, "the main thread's VM made it");
    assert_eq!(
        (call.cluster.as_str(), call.headers.text(":path")),
        ("trimtab_aggregator", Some("/v1/pools/chat/sync"))
    );
    let report = Report::decode(&call.body).expect("a report");
    assert_eq!(
        (report.pool.as_str(), report.sequence, report.have),
        ("chat", 1, None)
    );
}

#[test]
fn every_worker_takes_up_the_table_that_one_of_them_fetched() {
    let mut proxy = started(3);
    assert!(proxy.deliver(&table().encode()));
    for number in 0..3 {
        let exchange = crate::support::ask(&mut proxy.worker(number).vm);
        assert!(first_host(&exchange).is_some(), "worker {number}");
    }
    assert!(proxy.failures().is_empty());
}

#[test]
fn a_leader_that_dies_is_followed_by_one_other_which_goes_on_counting() {
    let mut proxy = started(2);
    proxy.run_for(Duration::from_secs(1));
    let first = proxy.take_calls();
    let before = Report::decode(&first[0].1.body).expect("a report");
    // The main thread's VM is gone: from here on it neither ticks nor answers.
    let script = proxy.main.script.clone();
    let mut followers = Vec::new();
    for _ in 0..60 {
        script.advance(Duration::from_millis(100));
        for (number, worker) in proxy.workers.iter_mut().enumerate() {
            worker.vm.tick();
            followers.extend(
                worker
                    .script
                    .take_calls()
                    .into_iter()
                    .map(|call| (number, call)),
            );
        }
    }
    assert_eq!(followers.len(), 1, "one follower, one call: {followers:?}");
    let after = Report::decode(&followers[0].1.body).expect("a report");
    assert_eq!(after.proxy, before.proxy, "it is still the same proxy");
    assert!(after.sequence > before.sequence);
}

#[test]
fn a_leader_that_comes_back_late_does_not_make_a_second_one() {
    let mut proxy = started(1);
    proxy.run_for(Duration::from_secs(1));
    let _ = proxy.take_calls();
    let script = proxy.main.script.clone();
    for _ in 0..50 {
        script.advance(Duration::from_millis(100));
        proxy.workers[0].vm.tick();
    }
    let (number, call) = proxy.take_calls().pop().expect("the worker took over");
    assert_eq!(number, 1);
    // The old lease holder's call ends here, with a table. It may use the table but must not call
    // again.
    let token = proxy.main.vm.open_calls()[0];
    proxy.answer(0, token, Some(CallAnswer::new(200, table().encode())));
    proxy.run_for(Duration::from_secs(1));
    assert!(
        proxy.take_calls().iter().all(|(number, _)| *number == 1),
        "only the new leader calls"
    );
    proxy.answer(
        1,
        call.token,
        Some(CallAnswer::new(200, table_with(2, &[0]).encode())),
    );
    assert!(proxy.failures().is_empty());
}

#[test]
fn a_leader_whose_lease_was_taken_a_moment_ago_sends_no_report_of_the_same_number() {
    let mut proxy = started(1);
    // Another worker writes between this worker's look at the lease and its call.
    let script = proxy.main.script.clone();
    script.every("proxy_set_shared_data", Status::CAS_MISMATCH);
    proxy.run_for(Duration::from_secs(1));
    assert_eq!(proxy.take_calls().len(), 0, "{:?}", script.logs());
    script.clear_faults();
    proxy.run_for(Duration::from_secs(1));
    assert_eq!(proxy.take_calls().len(), 1, "it is its own after all");
    assert!(proxy.failures().is_empty());
}

#[test]
fn a_clock_that_steps_back_an_hour_stops_neither_sync_nor_table() {
    let mut proxy = started(1);
    assert!(proxy.deliver(&table().encode()));
    let _ = proxy.take_calls();
    proxy.main.script.step_back(Duration::from_secs(3600));
    let mut calls = Vec::new();
    for _ in 0..40 {
        for token in proxy.main.vm.open_calls() {
            proxy.answer(0, token, None);
        }
        proxy.run_for(Duration::from_secs(1));
        calls.extend(proxy.take_calls());
    }
    assert!(!calls.is_empty(), "the sync goes on");
    assert!(first_host(&crate::support::ask(proxy.vm())).is_some());
}

#[test]
fn answers_to_calls_that_nobody_made_are_ignored() {
    let mut proxy = started(1);
    proxy.run_for(Duration::from_secs(1));
    for token in [0, 1, 999, u32::MAX] {
        proxy
            .main
            .vm
            .answer_unknown_call(token, Some(CallAnswer::new(200, "x")));
        proxy.workers[0].vm.answer_unknown_call(token, None);
    }
    assert!(proxy.failures().is_empty(), "{:?}", proxy.failures());
}

#[test]
fn failures_are_retried_with_growing_gaps_and_said_once() {
    let mut proxy = started(1);
    let mut gaps_ms = Vec::new();
    let mut since_ms = 0;
    while gaps_ms.len() < 10 {
        proxy.run_for(Duration::from_millis(100));
        since_ms += 100;
        assert!(since_ms <= 10_000, "calls go on for ever: {gaps_ms:?}");
        for (number, call) in proxy.take_calls() {
            proxy.answer(
                number,
                call.token,
                Some(CallAnswer::new(503, "upstream connect error")),
            );
            gaps_ms.push(std::mem::take(&mut since_ms));
        }
    }
    let (early, late): (u32, u32) = (gaps_ms[1..4].iter().sum(), gaps_ms[7..].iter().sum());
    assert!(late > 3 * early, "{gaps_ms:?}");
    let log = proxy.main.script.log_text(LogLevel::Warn);
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_cluster_that_does_not_exist_is_named_in_the_log_and_counted() {
    let mut proxy = started(1);
    proxy.main.script.remove_cluster("trimtab_aggregator");
    proxy.run_for(Duration::from_secs(5));
    let log = proxy.main.script.log_text(LogLevel::Warn);
    assert!(
        log.contains("trimtab_aggregator") && log.lines().count() == 1,
        "{log}"
    );
    assert!(
        crate::support::counter(&proxy, "trimtab_sync_errors_total", "reason", "no_cluster") > 1
    );
    // The cluster is found as soon as it is there.
    proxy.main.script.add_cluster("trimtab_aggregator");
    assert!(proxy.deliver(&table().encode()));
}

#[test]
fn a_vm_made_while_the_others_run_takes_up_the_table_and_leaves_the_lease() {
    let mut proxy = started(1);
    assert!(proxy.deliver(&table().encode()));
    let script = proxy.main.script.sibling();
    script.add_cluster("trimtab_aggregator");
    let mut vm = Vm::new(
        module(),
        &proxy.shared,
        script.clone(),
        trimtab_wasmhost::Options::default(),
    )
    .expect("links");
    assert!(
        vm.configure(crate::support::config().as_bytes())
            .expect("no trap")
    );
    script.advance(Duration::from_millis(100));
    vm.tick();
    assert!(first_host(&crate::support::ask(&mut vm)).is_some());
    assert!(script.take_calls().is_empty());
}

#[test]
fn a_call_that_is_reset_is_said_and_counted_and_followed_by_another() {
    let mut proxy = started(1);
    proxy.run_for(Duration::from_secs(1));
    for (number, call) in proxy.take_calls() {
        assert!(proxy.answer(number, call.token, None));
    }
    proxy.run_for(Duration::from_millis(500));
    let counted =
        crate::support::counter(&proxy, "trimtab_sync_errors_total", "reason", "no_answer");
    assert_eq!(counted, 1, "{:?}", proxy.shared.all_metrics());
    assert_eq!(
        proxy.main.script.log_text(LogLevel::Warn).lines().count(),
        1
    );
    assert!(proxy.deliver(&table().encode()));
}

#[test]
fn a_proxy_that_takes_no_metrics_still_syncs() {
    for call in [
        "proxy_define_metric",
        "proxy_record_metric",
        "proxy_increment_metric",
    ] {
        for status in [0, 2, 10] {
            let mut proxy = started(1);
            for worker in proxy.all() {
                worker.script.every(call, Status(status));
            }
            assert!(proxy.deliver(&table().encode()), "{call} answers {status}");
            let host = first_host(&crate::support::ask(proxy.vm()));
            assert!(host.is_some(), "{call} answers {status}");
        }
    }
}
