//! A busy pool and its requests, for measuring decisions.

use trimtab_pick::{
    Adapter, Conversation, EndpointId, EndpointLoad, PoolFacts, Prefix, Request, Rng, State,
};

/// Rows with every signal.
pub(crate) fn rows(count: u64) -> Vec<EndpointLoad> {
    let mut rng = Rng::new(count);
    let row = |_| EndpointLoad {
        id: EndpointId(rng.next_u64()),
        state: State::Ready,
        wait_s: Some((rng.unit() * 0.5) as f32),
        waiting: Some(2),
        running: Some(40),
        kv_used: Some(0.6),
        kv_tokens: Some(400_000.0),
        batch_limit: Some(256),
        ends_per_s: Some(3.0),
        prefill_tokens_per_s: Some(11_000.0),
        decode_s_per_sequence: Some(0.005),
        speed: Some(1.0),
        adapters: Some(vec![0, 3, 7]),
        adapter_room: None,
        age_ms: 100,
        ..EndpointLoad::default()
    };
    (0..count).map(row).collect()
}

/// Three requests per second for each endpoint, and many pickers that report.
pub(crate) fn facts(count: u64) -> PoolFacts {
    PoolFacts {
        arrival_rate: Some(3.0 * count as f32),
        prompt_tokens: Some(5_000.0),
        output_tokens: Some(150.0),
        uncached_tokens: Some(2_500.0),
        cached_share: Some(0.5),
        adapter_load_s: None,
        kept_s: Some(60.0),
        reported: true,
        alone: false,
    }
}

/// Requests with every key.
pub(crate) fn requests() -> Vec<Request> {
    let mut rng = Rng::new(9);
    let request = |_| Request {
        held: None,
        client: 0,
        prompt_tokens: Some(2_500),
        opening: None,
        streams: Some(true),
        prefix: Some(Prefix {
            key: rng.next_u64(),
            tokens: 1_000,
            ..Prefix::default()
        }),
        conversation: Some(Conversation {
            is_named: false,
            is_cut: false,
            key: rng.next_u64(),
            history_tokens: 2_000,
        }),
        adapter: Some(Adapter {
            key: rng.next_u64(),
            index: Some(3),
        }),
    };
    (0..1_024).map(request).collect()
}
