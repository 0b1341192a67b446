//! Tests that the workers of a proxy are distinguished, and that a new table reaches all of them at
//! once.

use std::time::Duration;

use trimtab_wasmhost::{
    CallAnswer, Exchange, Options, Script, ScriptedProxy, Shared, Status, Vm, Worker,
};

use crate::support::{
    ENDPOINTS, ask, config, first_host, in_flight, module, only, reported, started, table,
};

/// Returns a proxy whose VMs are all configured in the same nanosecond. [`ScriptedProxy::start`]
/// avoids that.
fn started_at_once(workers: usize, prepare: impl Fn(&Script)) -> ScriptedProxy {
    let (shared, clock) = (Shared::new(), Script::new());
    let make = || {
        let script = clock.sibling();
        script.add_cluster("trimtab_aggregator");
        prepare(&script);
        let mut vm = Vm::new(module(), &shared, script.clone(), Options::default()).expect("links");
        assert!(vm.configure(config().as_bytes()).expect("no trap"));
        Worker { vm, script }
    };
    let main = make();
    let workers = (0..workers).map(|_| make()).collect();
    ScriptedProxy {
        shared,
        main,
        workers,
    }
}

#[test]
fn workers_that_are_configured_in_the_same_nanosecond_report_apart() {
    let mut proxy = started_at_once(4, |_| {});
    assert!(proxy.deliver(&table().encode()));
    let open: Vec<Exchange> = (0..4)
        .map(|number| ask(&mut proxy.worker(number).vm))
        .collect();
    assert!(open.iter().all(|exchange| first_host(exchange).is_some()));
    let report = reported(&mut proxy);
    assert_eq!((in_flight(&report), report.workers), (4, 4), "{report:?}");
}

#[test]
fn workers_that_lose_the_race_to_count_try_again() {
    let mut proxy = started_at_once(2, |script| {
        script.nth("proxy_set_shared_data", 1, Status::CAS_MISMATCH);
    });
    assert!(proxy.deliver(&table().encode()));
    for number in 0..2 {
        let _ = ask(&mut proxy.worker(number).vm);
    }
    assert_eq!(in_flight(&reported(&mut proxy)), 2);
}

#[test]
fn a_new_table_is_in_use_by_every_worker_before_any_of_them_ticks() {
    let mut proxy = started(3);
    assert!(proxy.deliver(&only(1, &[0]).encode()));
    let token = *proxy.main.vm.open_calls().last().expect("the next poll");
    let newer = CallAnswer::new(200, only(2, &[1]).encode());
    assert!(proxy.answer(0, token, Some(newer)));
    for worker in &mut proxy.workers {
        let told = worker.vm.deliver_queues();
        assert_eq!(told, 1, "one message per table");
        let host = first_host(&ask(&mut worker.vm));
        assert_eq!(host.as_deref(), Some(ENDPOINTS[1]));
    }
    assert_eq!(proxy.shared.queued_messages(), 0);
    assert!(proxy.failures().is_empty());
}

#[test]
fn a_worker_that_cannot_be_woken_takes_the_table_on_its_tick() {
    for call in [
        "proxy_register_shared_queue",
        "proxy_enqueue_shared_queue",
        "proxy_dequeue_shared_queue",
    ] {
        let mut proxy = started_at_once(2, |script| script.every(call, Status::INTERNAL_FAILURE));
        for (sequence, ready) in [(1, 0), (2, 1)] {
            assert!(proxy.deliver(&only(sequence, &[ready]).encode()), "{call}");
            let host = first_host(&ask(proxy.vm()));
            assert_eq!(host.as_deref(), Some(ENDPOINTS[ready]), "{call}");
        }
        assert!(proxy.failures().is_empty(), "{call}");
    }
}

#[test]
fn nothing_piles_up_for_a_worker_that_is_gone_or_a_canary() {
    let mut proxy = started(2);
    assert!(proxy.deliver(&only(1, &[0]).encode()));
    proxy.workers.pop();
    let mut queued = Vec::new();
    for sequence in 2..60 {
        assert!(proxy.deliver(&only(sequence, &[0]).encode()));
        proxy.run_for(Duration::from_millis(100));
        queued.push(proxy.shared.queued_messages());
    }
    // At about one table per second, messages collect for the 10 s after which a silent worker
    // counts as gone.
    assert!(queued.last() <= Some(&11), "{queued:?}");
    assert_eq!(queued.get(20), queued.last(), "{queued:?}");
}

#[test]
fn a_wake_up_that_nobody_sent_changes_nothing() {
    let mut proxy = started(1);
    assert!(proxy.deliver(&only(1, &[0]).encode()));
    let worker = proxy.worker(0);
    for queue in [0, 1, 2, 3, 99, u32::MAX] {
        worker.vm.queue_ready(queue);
    }
    assert_eq!(first_host(&ask(proxy.vm())).as_deref(), Some(ENDPOINTS[0]));
    assert!(proxy.failures().is_empty());
}
