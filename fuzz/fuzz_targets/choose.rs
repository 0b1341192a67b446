//! Fuzzes any pool, any requests and any order of events. Decisions must be well formed, and
//! nothing may stay in flight.
#![no_main]

use std::rc::Rc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab_pick::{
    Adapter, BLOCKS, Config, Conversation, EndpointId, EndpointLoad, Millis, Outcome, Picker,
    PoolFacts, Prefix, Request, Rng, Snapshot, State, Ticket,
};

#[derive(Debug, Arbitrary)]
struct Row {
    id: u8,
    state: u8,
    wait_s: Option<f32>,
    prefill_tokens_per_s: Option<f32>,
    decode_s_per_sequence: Option<f32>,
    speed: Option<f32>,
    waiting: Option<u32>,
    running: Option<u32>,
    kv_used: Option<f32>,
    kv_tokens: Option<f32>,
    ends_per_s: Option<f32>,
    adapters: Option<Vec<u16>>,
    age_ms: u32,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Table {
        rows: Vec<Row>,
        facts: [Option<f32>; 4],
        at: u64,
    },
    Send {
        now: u64,
        prompt: Option<u32>,
        prefix: Option<(u64, u32, [u32; BLOCKS])>,
        conversation: Option<(u64, u32)>,
        streams: Option<bool>,
        adapter: Option<(u64, Option<u16>)>,
    },
    FirstByte {
        ticket: u8,
    },
    Done {
        ticket: u8,
    },
    Outcome {
        ticket: u8,
        now: u64,
        what: u8,
        retry_after_ms: Option<u32>,
    },
}

fn endpoint(row: Row) -> EndpointLoad {
    EndpointLoad {
        id: EndpointId(u64::from(row.id)),
        state: [
            State::Ready,
            State::Draining,
            State::Suspect,
            State::NoPrompts,
        ][usize::from(row.state % 4)],
        wait_s: row.wait_s,
        waiting: row.waiting,
        running: row.running,
        kv_used: row.kv_used,
        kv_tokens: row.kv_tokens,
        batch_limit: row.running,
        ends_per_s: row.ends_per_s,
        found_share: row.kv_used,
        prefill_tokens_per_s: row.prefill_tokens_per_s,
        decode_s_per_sequence: row.decode_s_per_sequence,
        speed: row.speed,
        adapter_room: row.adapters.as_ref().map(|list| list.len() % 2 == 0),
        adapters: row.adapters,
        age_ms: row.age_ms,
        ..EndpointLoad::default()
    }
}

fuzz_target!(|input: (u64, Vec<Step>)| {
    let (seed, steps) = input;
    let (mut picker, mut rng) = (Picker::new(Config::default()), Rng::new(seed));
    let mut open: Vec<Ticket> = Vec::new();
    for step in steps {
        match step {
            Step::Table {
                rows,
                facts: [arrival_rate, uncached_tokens, adapter_load_s, kept_s],
                at,
            } => {
                let rows = rows.into_iter().map(endpoint).collect();
                let facts = PoolFacts {
                    arrival_rate,
                    prompt_tokens: uncached_tokens.map(|tokens| tokens * 2.0),
                    output_tokens: kept_s,
                    uncached_tokens,
                    cached_share: uncached_tokens.map(|tokens| tokens / 1e3),
                    adapter_load_s,
                    kept_s,
                    reported: true,
                    alone: at % 3 == 0,
                };
                let snapshot = Snapshot::new(rows, facts, Millis(at));
                let heat = vec![(at, arrival_rate.unwrap_or(0.5))];
                picker.on_told(Millis(at), at, EndpointId(at % 7));
                let reported = (at % 2 == 0).then(|| picker.sends());
                picker.on_table(Rc::new(snapshot.with_heat(heat)), reported);
            }
            Step::Send {
                now,
                prompt,
                prefix,
                conversation,
                streams,
                adapter,
            } => {
                let request = Request {
                    held: None,
                    client: prompt.unwrap_or(0) % 3,
                    prompt_tokens: prompt,
                    prefix: prefix.map(|(key, tokens, blocks)| Prefix {
                        key,
                        tokens,
                        head: key % 3,
                        blocks,
                    }),
                    conversation: conversation.map(|(key, history_tokens)| Conversation {
                        is_named: false,
                        is_cut: history_tokens % 2 == 1,
                        key,
                        history_tokens,
                    }),
                    opening: (now % 5 == 0).then_some(now % 8),
                    streams,
                    adapter: adapter.map(|(key, index)| Adapter { key, index }),
                };
                let decision = picker.choose(Millis(now), &mut rng, &request);
                let Some(first) = decision.choices.as_slice().first() else {
                    continue;
                };
                let id = picker
                    .snapshot()
                    .expect("a choice comes from a table")
                    .endpoints()[*first as usize]
                    .id;
                open.push(picker.on_sent(Millis(now), id, &decision.booking));
            }
            Step::FirstByte { ticket } if !open.is_empty() => {
                let at = usize::from(ticket) % open.len();
                picker.on_first_byte(Millis(0), &mut open[at]);
            }
            Step::Done { ticket } if !open.is_empty() => {
                let ticket = open.swap_remove(usize::from(ticket) % open.len());
                picker.on_done(ticket);
            }
            Step::Outcome {
                ticket,
                now,
                what,
                retry_after_ms,
            } if !open.is_empty() => {
                let at = usize::from(ticket) % open.len();
                let outcome = match what % 6 {
                    0 => Outcome::Ok,
                    1 => Outcome::ConnectFailure,
                    2 => Outcome::Reset,
                    3 => Outcome::ServerError,
                    4 => Outcome::Rejected,
                    _ => Outcome::Overloaded { retry_after_ms },
                };
                picker.on_outcome(Millis(now), &mut open[at], outcome);
            }
            Step::FirstByte { .. } | Step::Done { .. } | Step::Outcome { .. } => {}
        }
    }
    open.into_iter().for_each(|ticket| picker.on_done(ticket));
    assert_eq!(picker.own_work().count(), 0);
});
