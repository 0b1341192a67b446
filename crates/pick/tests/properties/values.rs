//! Any pool and any request.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use trimtab_pick::{
    Adapter, BLOCKS, Conversation, EndpointId, EndpointLoad, Outcome, PoolFacts, Prefix, Request,
    State,
};

/// Numbers of every kind, including NaN and infinities.
pub(crate) fn wild() -> impl Strategy<Value = Option<f32>> {
    of(prop_oneof![
        any::<f32>(),
        0.0_f32..10.0,
        Just(0.0),
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(-1.0)
    ])
}

pub(crate) fn state() -> impl Strategy<Value = State> {
    prop_oneof![3 => Just(State::Ready), 1 => Just(State::Draining), 1 => Just(State::Suspect), 1 => Just(State::NoPrompts)]
}

pub(crate) fn endpoint() -> impl Strategy<Value = EndpointLoad> {
    // Few identities, so that some occur twice.
    let who = (
        0..200_u64,
        state(),
        of(vec(any::<u16>(), 0..4)),
        prop_oneof![Just(0), any::<u32>()],
    );
    (
        who,
        (wild(), wild(), wild(), wild(), wild()),
        of(any::<u32>()),
        (wild(), wild(), wild()),
    )
        .prop_map(|(who, signals, count, room)| EndpointLoad {
            id: EndpointId(who.0),
            state: who.1,
            wait_s: signals.0,
            waiting: count,
            running: count,
            kv_used: signals.4,
            kv_tokens: room.0,
            batch_limit: count,
            ends_per_s: room.1,
            found_share: room.2,
            prefill_tokens_per_s: signals.1,
            decode_s_per_sequence: signals.2,
            speed: signals.3,
            adapters: who.2,
            adapter_room: None,
            age_ms: who.3,
        })
}

pub(crate) fn pool_facts() -> impl Strategy<Value = PoolFacts> {
    let tokens = (wild(), wild());
    (
        wild(),
        wild(),
        wild(),
        wild(),
        wild(),
        any::<bool>(),
        tokens,
    )
        .prop_map(
            |(
                arrival_rate,
                uncached_tokens,
                cached_share,
                adapter_load_s,
                kept_s,
                reported,
                tokens,
            )| {
                PoolFacts {
                    arrival_rate,
                    prompt_tokens: tokens.0,
                    output_tokens: tokens.1,
                    uncached_tokens,
                    cached_share,
                    adapter_load_s,
                    kept_s,
                    reported,
                    alone: false,
                }
            },
        )
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    // Few keys and digests, so that some occur twice.
    let prefix = (0..20_u64, any::<u32>(), any::<[u8; BLOCKS]>());
    let prefix = prefix.prop_map(|(key, tokens, blocks)| Prefix {
        key,
        tokens,
        head: key % 3,
        blocks: blocks.map(|block| u32::from(block % 3)),
    });
    let conversation = (0..20_u64, any::<u32>(), any::<bool>());
    let conversation = conversation.prop_map(|(key, history_tokens, is_cut)| Conversation {
        is_named: false,
        is_cut,
        key,
        history_tokens,
    });
    let adapter = (any::<u64>(), of(any::<u16>())).prop_map(|(key, index)| Adapter { key, index });
    (
        of(any::<u32>()),
        of(prefix),
        of(conversation),
        of(0..20_u64),
        of(any::<bool>()),
        of(adapter),
    )
        .prop_map(
            |(prompt_tokens, prefix, conversation, opening, streams, adapter)| Request {
                held: None,
                // Few, so that some are refused again.
                client: prompt_tokens.unwrap_or(0) % 3,
                prompt_tokens,
                streams,
                prefix,
                conversation,
                opening,
                adapter,
            },
        )
}

pub(crate) fn outcome() -> impl Strategy<Value = Option<Outcome>> {
    of(prop_oneof![
        Just(Outcome::Ok),
        Just(Outcome::Rejected),
        Just(Outcome::ConnectFailure),
        Just(Outcome::Reset),
        Just(Outcome::ServerError),
        of(any::<u32>()).prop_map(|retry_after_ms| Outcome::Overloaded { retry_after_ms }),
    ])
}
