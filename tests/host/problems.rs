//! Tests what the log says when the sync does not work: every kind of problem, once each, and its
//! end. All of it at the level that Istio's proxies show by default, warning.

use std::time::Duration;

use trimtab_wasmhost::{CallAnswer, LogLevel, ScriptedProxy};

use crate::support::{counter, started, table, table_with};

/// Returns how many lines of the main thread's log, at warning or above, say this.
fn told(proxy: &ScriptedProxy, what: &str) -> usize {
    let log = proxy.main.script.log_text(LogLevel::Warn);
    log.lines().filter(|line| line.contains(what)).count()
}

/// Answers the poll under way with this status; 0: the call is reset. Waits for the next poll.
fn polled(proxy: &mut ScriptedProxy, status: u16) {
    for token in proxy.main.vm.open_calls() {
        let answer = (status > 0).then(|| CallAnswer::new(status, "RBAC: access denied"));
        proxy.answer(0, token, answer);
    }
    proxy.run_for(Duration::from_secs(6));
}

#[test]
fn a_problem_that_follows_another_is_told_too_and_each_once_until_it_is_over() {
    let mut proxy = started(1);
    proxy.run_for(Duration::from_secs(1));
    for _ in 0..2 {
        polled(&mut proxy, 0);
    }
    assert_eq!(told(&proxy, "sync failed: no_answer"), 1);
    proxy.main.script.remove_cluster("trimtab_aggregator");
    polled(&mut proxy, 0);
    assert_eq!(told(&proxy, "define that cluster"), 1);
    proxy.main.script.add_cluster("trimtab_aggregator");
    proxy.run_for(Duration::from_secs(6));
    for status in [403, 403, 503, 0] {
        polled(&mut proxy, status);
    }
    assert_eq!(told(&proxy, "sync failed: forbidden (status 403)"), 1);
    assert_eq!(told(&proxy, "AuthorizationPolicy"), 1, "and what helps");
    assert_eq!(told(&proxy, "sync failed: unreachable"), 1);
    assert_eq!(told(&proxy, "sync failed: no_answer"), 1, "told before");
    let forbidden = counter(&proxy, "trimtab_sync_errors_total", "reason", "forbidden");
    assert_eq!(forbidden, 2);
    assert_eq!(told(&proxy, "works again"), 0);
    assert!(proxy.deliver(&table().encode()));
    assert_eq!(told(&proxy, "works again"), 1);
    polled(&mut proxy, 0);
    assert_eq!(told(&proxy, "sync failed: no_answer"), 2, "a new one");
    let all = proxy.main.script.log_text(LogLevel::Warn);
    assert_eq!(all.lines().count(), 6, "and nothing else: {all}");
}

#[test]
fn a_table_that_another_workers_has_overtaken_is_no_refusal() {
    let mut proxy = started(1);
    proxy.run_for(Duration::from_secs(1));
    let late = proxy.main.vm.open_calls()[0];
    // The main thread stands still, as while its plugin is replaced. A worker takes over and gets a
    // newer table than the one that is on its way to the main thread.
    for _ in 0..50 {
        proxy.main.script.advance(Duration::from_millis(100));
        proxy.workers[0].vm.tick();
    }
    let token = proxy.workers[0].vm.open_calls()[0];
    let newer = table_with(5, &[0, 0]).encode();
    assert!(proxy.answer(1, token, Some(CallAnswer::new(200, newer))));
    proxy.main.vm.tick();
    let older = table_with(3, &[0, 0]).encode();
    assert!(proxy.answer(0, late, Some(CallAnswer::new(200, older))));
    proxy.run_for(Duration::from_secs(1));
    let count = |name, tag, value| counter(&proxy, name, tag, value);
    let refused = count("trimtab_table_refusals_total", "reason", "not_newer");
    assert_eq!(refused, 0);
    assert_eq!(count("trimtab_syncs_total", "answer", "same_table"), 1);
    assert_eq!(told(&proxy, ""), 0);
}
