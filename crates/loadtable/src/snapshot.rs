//! Makes a [`pick::Snapshot`](trimtab_pick::Snapshot) of a table: the one place where wire columns
//! become decision inputs.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;
use trimtab_pick::{EndpointId, EndpointLoad, Millis, PoolFacts, Snapshot, State as PickState};

use crate::{Class, Endpoint, Hot, Role, State, Table, limits};

/// Indexes `table` for decisions. Index `i` of the snapshot is row `i` of the table. Cost: see
/// [`Snapshot::new`].
///
/// The snapshot keeps the ages that table and rows had when the table was sent ([`Table::age_ms`]).
/// So a table that was already old stays old.
///
/// - `arrived_at`: when the table came, on the caller's clock.
#[must_use]
pub fn snapshot(table: &Table, arrived_at: Millis) -> Snapshot {
    snapshot_after(table, arrived_at, None)
}

/// Returns the same as [`snapshot`], but computes less: what has not changed is taken from
/// `previous`. Where members changed, the snapshot also remembers for a while where keys belonged
/// before. Cost: see [`Snapshot::with_previous`].
///
/// - `previous`: the snapshot of the table before.
#[must_use]
pub fn snapshot_after(table: &Table, arrived_at: Millis, previous: Option<&Snapshot>) -> Snapshot {
    let rows = table
        .endpoints
        .iter()
        .map(|endpoint| load(table, endpoint))
        .collect();
    let pool = PoolFacts {
        arrival_rate: table.demand.arrival_rate,
        uncached_tokens: table.demand.uncached_tokens,
        prompt_tokens: table.demand.prompt_tokens,
        output_tokens: table.demand.output_tokens,
        cached_share: cached_share(table),
        adapter_load_s: table.demand.adapter_load_s,
        kept_s: kept_s(table),
        reported: table.moved.is_some(),
        alone: table.deciders == Some(1),
    };
    let snapshot = Snapshot::with_previous(rows, pool, arrived_at, previous);
    let share = |hot: &Hot| (hot.key, hot.share_ppm as f32 / limits::WHOLE_PPM as f32);
    match &table.heat {
        Some(heat) => snapshot.with_heat(heat.iter().map(share).collect()),
        None => snapshot,
    }
}

/// Returns the identity of the endpoint at `address` under a pool's placement key.
///
/// It is a SipHash-1-3. A client who can guess addresses cannot compute where a prefix goes.
#[must_use]
pub fn endpoint_id(placement_key: &[u8; 16], address: &str) -> EndpointId {
    let mut hasher = SipHasher13::new_with_key(placement_key);
    hasher.write(address.as_bytes());
    EndpointId(hasher.finish())
}

/// Returns the share of a mean prompt that endpoints have in their caches.
fn cached_share(table: &Table) -> Option<f32> {
    let demand = &table.demand;
    let share = 1.0 - demand.uncached_tokens? / demand.prompt_tokens?;
    share.is_finite().then(|| share.clamp(0.0, 1.0))
}

/// Returns the seconds that a cache keeps unused blocks: until requests have filled the blocks that
/// live requests leave free. `None`: the table does not have the signals for it.
fn kept_s(table: &Table) -> Option<f32> {
    let demand = &table.demand;
    let new_tokens = demand.uncached_tokens? + demand.output_tokens?;
    let free = |endpoint: &Endpoint| {
        let blocks = endpoint.kv_blocks? as f32 * endpoint.kv_block_tokens? as f32;
        Some(blocks * (1.0 - endpoint.kv_used?))
    };
    let (mut tokens, mut known) = (0.0, 0.0);
    for free in table.endpoints.iter().filter_map(free) {
        tokens += free;
        known += 1.0;
    }
    let per_endpoint_s = demand.arrival_rate? / table.endpoints.len() as f32;
    let kept_s = tokens / known / (per_endpoint_s * new_tokens);
    kept_s.is_finite().then_some(kept_s)
}

fn load(table: &Table, endpoint: &Endpoint) -> EndpointLoad {
    let class: Option<&Class> = endpoint
        .class
        .and_then(|index| table.classes.get(usize::from(index)));
    let blocks = endpoint.kv_blocks.zip(endpoint.kv_block_tokens);
    let (prefill, decode) = (
        relative(endpoint.prefill_permille),
        relative(endpoint.decode_permille),
    );
    EndpointLoad {
        id: endpoint_id(&table.placement_key, &endpoint.address),
        state: match (endpoint.role, endpoint.state) {
            // Half of a disaggregated pair does not answer whole prompts.
            (Role::Prefill | Role::Decode, _) => PickState::NoPrompts,
            (Role::Both, State::Ready) => PickState::Ready,
            (Role::Both, State::Draining) => PickState::Draining,
            (Role::Both, State::Suspect) => PickState::Suspect,
        },
        wait_s: endpoint.wait_ms.map(|wait_ms| wait_ms as f32 / 1_000.0),
        waiting: endpoint.waiting,
        // Where the page does not say, at least the requests of the proxies run there.
        running: endpoint.running.or(endpoint.in_flight),
        kv_used: endpoint.kv_used,
        kv_tokens: blocks.map(|(blocks, tokens)| blocks as f32 * tokens as f32),
        batch_limit: endpoint.batch_limit,
        ends_per_s: endpoint.ends_per_1000_s.map(|ends| ends as f32 / 1e3),
        found_share: endpoint.found_permille.map(|found| found as f32 / 1e3),
        prefill_tokens_per_s: class
            .and_then(|class| class.prefill_tokens_per_s)
            .map(|speed| speed * prefill),
        decode_s_per_sequence: class
            .and_then(|class| class.decode_s_per_sequence)
            .map(|cost_s| cost_s / decode),
        speed: class
            .and_then(|class| class.speed)
            .map(|speed| speed * (prefill * decode).sqrt()),
        adapters: endpoint.adapters.clone(),
        adapter_room: endpoint.adapter_room,
        age_ms: table.age_ms.saturating_add(endpoint.age_ms),
    }
}

/// Returns a speed relative to the class's. 1 where there is none.
fn relative(permille: Option<u32>) -> f32 {
    permille
        .filter(|permille| *permille > 0)
        .map_or(1.0, |permille| permille as f32 / 1e3)
}
