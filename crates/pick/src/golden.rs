//! A scripted run of 10,000 decisions with the same outcome natively, in wasm and on every machine.
//!
//! The stored outcome proves only that nothing differs between targets and over time. Other tests
//! check that decisions are right. After a deliberate change of the policy: `TRIMTAB_BLESS=1 cargo
//! test -p trimtab-pick --lib golden`.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::request::{BLOCK_TOKENS, BLOCKS};
use crate::rng::mix;
use crate::{
    Adapter, Config, Conversation, EndpointId, EndpointLoad, Millis, Outcome, Picker, PoolFacts,
    Prefix, Reason, Request, Rng, Snapshot, State, Ticket,
};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const DECISIONS: u32 = 10_000;
const EXPECTED: &str = include_str!("../tests/golden/decisions.txt");

/// One letter per chosen index, and `-` for no opinion. Pools have at most 60 endpoints.
const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn below(rng: &mut Rng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

/// Absent one time in eight.
fn maybe<T>(rng: &mut Rng, value: T) -> Option<T> {
    (below(rng, 8) > 0).then_some(value)
}

fn endpoint(rng: &mut Rng, number: u64) -> EndpointLoad {
    let state = match below(rng, 12) {
        0 => State::Draining,
        1 => State::Suspect,
        _ => State::Ready,
    };
    let fast = number.is_multiple_of(3);
    let wait_s = below(rng, 3_000) as f32 / 1_000.0;
    let (waiting, running) = (below(rng, 3) as u32, below(rng, 14) as u32);
    let kv_used = below(rng, 100) as f32 / 100.0;
    let resident = (0..6).filter(|_| below(rng, 3) == 0).collect();
    EndpointLoad {
        id: EndpointId(mix(number)),
        state,
        wait_s: maybe(rng, wait_s),
        waiting: maybe(rng, waiting),
        running: maybe(rng, running),
        kv_used: maybe(rng, kv_used),
        kv_tokens: maybe(rng, 40_000.0),
        batch_limit: maybe(rng, 12),
        ends_per_s: maybe(rng, 3.0),
        found_share: maybe(rng, 0.7),
        prefill_tokens_per_s: maybe(rng, if fast { 23_000.0 } else { 11_000.0 }),
        decode_s_per_sequence: maybe(rng, 0.006),
        speed: maybe(rng, if fast { 2.1 } else { 1.0 }),
        adapters: maybe(rng, resident),
        adapter_room: None,
        age_ms: below(rng, 250) as u32,
    }
}

/// An endpoint with only an identity and a state.
pub(crate) fn idle(number: u64) -> EndpointLoad {
    EndpointLoad {
        id: EndpointId(mix(number)),
        state: State::Ready,
        wait_s: None,
        waiting: None,
        running: None,
        kv_used: None,
        prefill_tokens_per_s: None,
        decode_s_per_sequence: None,
        speed: None,
        adapters: None,
        adapter_room: None,
        age_ms: 0,
        ..EndpointLoad::default()
    }
}

fn table(rng: &mut Rng, now: Millis) -> Rc<Snapshot> {
    let size = below(rng, 61);
    let first = below(rng, 10);
    let mut rows: Vec<EndpointLoad> = (first..first + size)
        .map(|number| endpoint(rng, number))
        .collect();
    // One table in eight has no ready endpoint.
    if below(rng, 8) == 0 {
        rows.iter_mut()
            .filter(|row| row.state == State::Ready)
            .for_each(|row| row.state = State::Suspect);
    }
    let pool = PoolFacts {
        arrival_rate: maybe(rng, 20.0),
        prompt_tokens: maybe(rng, 2_000.0),
        output_tokens: maybe(rng, 150.0),
        uncached_tokens: Some(700.0),
        cached_share: Some(0.5),
        adapter_load_s: Some(0.2),
        kept_s: maybe(rng, 10.0),
        reported: below(rng, 2) == 0,
        alone: false,
    };
    let snapshot = Snapshot::new(rows, pool, now);
    let mut keys: Vec<u64> = (0..40).map(mix).collect();
    keys.sort_unstable();
    let share = |(rank, key): (usize, u64)| (key, 0.2 / (rank + 1) as f32);
    Rc::new(match below(rng, 2) {
        0 => snapshot,
        _ => snapshot.with_heat(keys.into_iter().enumerate().map(share).collect()),
    })
}

/// Digests of a prompt. It shares up to three blocks with all prompts that begin in the same way,
/// and the others with one in thirty.
fn blocks(rng: &mut Rng, prompt: u32, key: u64) -> [u32; BLOCKS] {
    let (shared, own) = ((key % 4) as usize, 1_000 * (1 + below(rng, 30) as u32));
    let digest = |at: usize| at as u32 + if at < shared { 1 } else { own };
    core::array::from_fn(|at| {
        if BLOCK_TOKENS[at] <= prompt {
            digest(at)
        } else {
            0
        }
    })
}

fn request(rng: &mut Rng) -> Request {
    let prompt = 50 + below(rng, 6_000) as u32;
    let key = below(rng, 40);
    Request {
        held: (below(rng, 50) == 0).then(|| below(rng, 3)),
        client: prompt % 3,
        prompt_tokens: maybe(rng, prompt),
        prefix: (below(rng, 2) == 0).then(|| Prefix {
            key: mix(key),
            tokens: prompt / 2,
            head: 0,
            blocks: blocks(rng, prompt, key),
        }),
        streams: maybe(rng, true),
        opening: (below(rng, 8) == 0).then(|| below(rng, 30)),
        conversation: (below(rng, 2) == 0).then(|| Conversation {
            is_named: false,
            is_cut: below(rng, 4) == 0,
            key: mix(!key),
            history_tokens: prompt / 3 * 2,
        }),
        adapter: (below(rng, 4) == 0).then(|| Adapter {
            key: mix(key << 8),
            index: Some((key % 6) as u16),
        }),
    }
}

/// FNV-1a over everything that a decision says.
fn digest(state: u64, values: impl IntoIterator<Item = u64>) -> u64 {
    let bytes = values.into_iter().flat_map(u64::to_le_bytes);
    bytes.fold(state, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns the outcome, and the reasons that came up.
fn run() -> (String, Vec<Reason>) {
    let mut reasons = Vec::new();
    let mut script = Rng::new(20);
    let mut rng = Rng::new(4);
    let mut picker = Picker::new(Config::default());
    let mut now = Millis(1_000_000);
    let mut running: Vec<Ticket> = Vec::new();
    let (mut chosen, mut state) = (String::new(), 0xcbf2_9ce4_8422_2325);
    for number in 0..DECISIONS {
        now.0 += below(&mut script, 40);
        // Sometimes no table comes until the last one is stale. Sometimes the clock steps back.
        if below(&mut script, 60) == 0 {
            picker.on_table(table(&mut script, now), None);
        }
        if below(&mut script, 500) == 0 {
            now.0 -= 100;
        }
        if number % 997 == 500 {
            probe_one(&mut picker);
        }
        if number % 701 == 300 {
            let at = below(&mut script, 8) as usize;
            let row = picker
                .snapshot()
                .and_then(|snapshot| snapshot.endpoints().get(at));
            if let Some(id) = row.map(|row| row.id) {
                picker.on_told_held(now, 1, id);
            }
        }
        let request = request(&mut script);
        let decision = picker.choose(now, &mut rng, &request);
        if !reasons.contains(&decision.reason) {
            reasons.push(decision.reason);
        }
        let choices = decision.choices.as_slice();
        state = digest(state, choices.iter().map(|index| u64::from(*index)));
        state = digest(state, decision.reason.as_str().bytes().map(u64::from));
        state = digest(
            state,
            [
                decision.wait_s.map_or(0, f64::to_bits),
                u64::from(decision.candidates),
                u64::from(decision.left_out),
            ],
        );
        let first = choices
            .first()
            .and_then(|index| picker.snapshot()?.endpoints().get(*index as usize));
        if let Some(id) = first.map(|endpoint| endpoint.id) {
            running.push(picker.on_sent(now, id, &decision.booking));
        }
        let letter = choices
            .first()
            .and_then(|index| LETTERS.get(*index as usize))
            .unwrap_or(&b'-');
        chosen.push(char::from(*letter));
        chosen.extend((number % 100 == 99).then_some('\n'));
        end_some(&mut picker, &mut script, now, &mut running);
    }
    (format!("{chosen}digest {state:016x}\n"), reasons)
}

/// Makes the next request try out the first suspect endpoint, if there is one.
fn probe_one(picker: &mut Picker) {
    let rows = picker.snapshot().map(|snapshot| snapshot.endpoints());
    let suspect = rows.and_then(|rows| rows.iter().find(|row| row.state == State::Suspect));
    if let Some(id) = suspect.map(|row| row.id) {
        picker.probe_next(id);
    }
}

fn end_some(picker: &mut Picker, script: &mut Rng, now: Millis, running: &mut Vec<Ticket>) {
    for _ in 0..below(script, 3) {
        if running.is_empty() {
            return;
        }
        let at = below(script, running.len() as u64) as usize;
        let outcome = match below(script, 12) {
            0 => Outcome::ServerError,
            1 => Outcome::Reset,
            2 => Outcome::ConnectFailure,
            3 => Outcome::Overloaded {
                retry_after_ms: Some(below(script, 3_000) as u32),
            },
            4 => Outcome::Rejected,
            _ => Outcome::Ok,
        };
        // Some endpoints fail more often than others.
        let is_weak = running[at].endpoint().0.is_multiple_of(4);
        if is_weak || outcome == Outcome::Ok {
            picker.on_outcome(now, &mut running[at], outcome);
        }
        picker.on_first_byte(now, &mut running[at]);
        if below(script, 3) > 0 {
            picker.on_done(running.swap_remove(at));
        }
    }
}

#[test]
fn ten_thousand_decisions_are_the_same_to_the_bit_on_every_target() {
    let (found, reasons) = run();
    for reason in Reason::ALL {
        assert!(
            reasons.contains(&reason),
            "the script never leads to {reason:?}"
        );
    }
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("TRIMTAB_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/decisions.txt");
        std::fs::write(path, &found).expect("cannot write the golden file");
        return;
    }
    let differs = found
        .lines()
        .zip(EXPECTED.lines())
        .position(|(found, expected)| found != expected);
    assert_eq!(
        differs, None,
        "first line that differs (100 decisions each, the last is the digest)"
    );
    assert_eq!(found.len(), EXPECTED.len());
}
