//! Many pods that change together.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use futures_util::{StreamExt, stream};
use trimtab_loadtable::State;

use crate::cluster::{Cluster, eventually};
use crate::inference_pool::{aggregator, states};
use crate::objects::{create_pod, remove_pod, set_ready};

const PODS: u16 = 600;

/// How many calls are under way at a time.
const AT_ONCE: usize = 32;

async fn each(pods: std::ops::Range<u16>, call: impl AsyncFn(u16)) {
    let calls = stream::iter(pods).map(|number| call(number));
    calls.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_right_after_hundreds_of_pods_have_changed_at_once() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    let name = |number: u16| format!("pod-{number}");
    each(0..PODS, async |number| {
        let [high, low] = number.to_be_bytes();
        let ip = IpAddr::V4(Ipv4Addr::new(127, 1, high, low));
        create_pod(client, &name(number), ip).await;
        set_ready(client, &name(number), true).await;
    })
    .await;
    // No server answers at these addresses. Only the list matters here.
    let source = "pods: {labels: {app: vllm}, ports: [1]}";
    let app = aggregator(&cluster, "root", cluster.address().port(), source).await;
    let counted = async |rows: u16, draining: u16| {
        eventually("as many rows, and as many that drain", async || {
            let states = states(&app, "chat").await;
            let drain = states.iter().filter(|(_, state)| *state == State::Draining);
            (states.len() == usize::from(rows) && drain.count() == usize::from(draining))
                .then_some(())
        })
        .await;
    };
    counted(PODS, 0).await;
    let third = PODS / 3;
    each(0..2 * third, async |number| {
        if number < third {
            remove_pod(client, &name(number)).await;
        } else {
            set_ready(client, &name(number), false).await;
        }
    })
    .await;
    let changed = Instant::now();
    counted(PODS - third, third).await;
    println!(
        "right {:?} after the last of {} changes",
        changed.elapsed(),
        2 * third
    );
    assert!(changed.elapsed().as_secs() < 5, "{:?}", changed.elapsed());
}
