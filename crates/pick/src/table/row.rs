//! An endpoint's signals with every gap filled.

use alloc::vec::Vec;

use crate::config::{
    FOUND_LEAST, KV_COMFORT, LEAST_ENDS_PER_S, PREFILL_TOKENS_PER_S, UNCACHED_TOKENS,
    UNKNOWN_ENDS_PER_S,
};
use crate::{EndpointLoad, PoolFacts};

/// One endpoint's signals, with every gap filled to its disadvantage. An endpoint must never win
/// because a signal is missing.
///
/// A gap gets the worst value of the pool. Rejected: the median, with which a silent endpoint would
/// beat half of the others. With the worst value it still gets what the others are too busy for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// Seconds until a new request's prefill starts.
    pub(crate) wait_s: f64,
    /// Whether the table says this endpoint's wait.
    pub(crate) wait_known: bool,
    /// What running requests cost each other and a new one, in seconds.
    pub(crate) crowd_s: f64,
    pub(crate) prefill_s_per_token: f64,
    pub(crate) decode_s: f64,
    pub(crate) speed: f64,
    /// Share of the prompt tokens expected in its cache that is found there.
    pub(crate) found_share: f64,
    pub(crate) room: Room,
    /// Whether the table allows it to be chosen.
    pub(crate) is_member: bool,
}

impl Row {
    /// The load that a new request meets, in seconds: the wait, and the running requests.
    pub(crate) fn load_s(&self) -> f64 {
        self.wait_s + self.crowd_s
    }
}

/// What an endpoint has left of KV cache and slots, and how soon there is more. Infinite where the
/// endpoint does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Room {
    /// Tokens of KV cache that neither running nor waiting requests need. Negative: waiting
    /// requests lack this many.
    pub(crate) tokens: f64,
    /// Tokens that ending requests give back per second.
    pub(crate) tokens_per_s: f64,
    /// Sequences that the batch could take in addition to those that run and wait.
    pub(crate) slots: f64,
    /// Requests that end per second once no slot is left.
    pub(crate) ends_per_s: f64,
}

#[cfg(test)]
impl Room {
    /// Room for everything.
    pub(crate) const ENDLESS: Self = Self {
        tokens: f64::INFINITY,
        tokens_per_s: 1.0,
        slots: f64::INFINITY,
        ends_per_s: 1.0,
    };
}

impl Room {
    /// Computes the room of an endpoint.
    ///
    /// - `prompt_tokens`: prompt tokens of a mean request. Each waiting request will take as many.
    fn of(endpoint: &EndpointLoad, prompt_tokens: f64) -> Self {
        let (waiting, running) = (count(endpoint.waiting), count(endpoint.running));
        let ends_per_s =
            cost(endpoint.ends_per_s).map_or(UNKNOWN_ENDS_PER_S, |ends| ends.max(LEAST_ENDS_PER_S));
        let kv = speed(endpoint.kv_tokens).zip(cost(endpoint.kv_used));
        let (tokens, tokens_per_s) = kv.map_or((f64::INFINITY, 1.0), |(all, used)| {
            let used = all * used.min(1.0);
            let free = all - used - waiting * prompt_tokens;
            (free, (ends_per_s * used / running.max(1.0)).max(1.0))
        });
        let limit = endpoint.batch_limit.map_or(f64::INFINITY, f64::from);
        // A request that lacks a slot waits for the ends of a full batch.
        let crowding = match limit.is_finite() {
            true => (limit / running.max(1.0)).max(1.0),
            false => 1.0,
        };
        Self {
            tokens,
            tokens_per_s,
            slots: limit - running - waiting,
            ends_per_s: ends_per_s * crowding,
        }
    }
}

fn count(value: Option<u32>) -> f64 {
    value.map_or(0.0, f64::from)
}

/// Makes the rows of a table, one for each endpoint.
pub(crate) fn rows(endpoints: &[EndpointLoad], pool: &PoolFacts) -> Vec<Row> {
    let mut worst = Worst::default();
    endpoints
        .iter()
        .for_each(|endpoint| worst.take_in(endpoint));
    let longest_wait = worst.wait_s.unwrap_or(0.0);
    let slowest_prefill = worst.prefill_tokens_per_s.unwrap_or(PREFILL_TOKENS_PER_S);
    let dearest_decode = worst.decode_s.unwrap_or(0.0);
    let slowest = worst.speed.unwrap_or(1.0);
    let prompt_tokens = tokens(pool.prompt_tokens).unwrap_or(0.0);
    let decode_s =
        |endpoint: &EndpointLoad| cost(endpoint.decode_s_per_sequence).unwrap_or(dearest_decode);
    let running_s = |endpoint: &EndpointLoad| decode_s(endpoint) * count(endpoint.running);
    let mean_running_s =
        endpoints.iter().map(running_s).sum::<f64>() / (endpoints.len() as f64).max(1.0);
    let row = |endpoint: &EndpointLoad| {
        let wait = cost(endpoint.wait_s);
        let held_s =
            mean_running_s * cost(endpoint.kv_used).map_or(0.0, |used| used.min(1.0)) / KV_COMFORT;
        Row {
            wait_s: wait.unwrap_or(longest_wait),
            wait_known: wait.is_some(),
            crowd_s: running_s(endpoint).max(held_s),
            prefill_s_per_token: 1.0
                / speed(endpoint.prefill_tokens_per_s).unwrap_or(slowest_prefill),
            decode_s: decode_s(endpoint),
            speed: speed(endpoint.speed).unwrap_or(slowest),
            found_share: cost(endpoint.found_share)
                .map_or(1.0, |share| share.clamp(FOUND_LEAST, 1.0)),
            room: Room::of(endpoint, prompt_tokens),
            is_member: false,
        }
    };
    endpoints.iter().map(row).collect()
}

/// The worst of each signal in the pool. Absent: no endpoint has the signal.
#[derive(Debug, Default)]
struct Worst {
    wait_s: Option<f64>,
    prefill_tokens_per_s: Option<f64>,
    decode_s: Option<f64>,
    speed: Option<f64>,
}

impl Worst {
    fn take_in(&mut self, endpoint: &EndpointLoad) {
        let take = |worst: &mut Option<f64>, value: Option<f64>, pick: fn(f64, f64) -> f64| {
            *worst = match (*worst, value) {
                (Some(worst), Some(value)) => Some(pick(worst, value)),
                (worst, value) => worst.or(value),
            };
        };
        take(&mut self.wait_s, cost(endpoint.wait_s), f64::max);
        let prefill = speed(endpoint.prefill_tokens_per_s);
        take(&mut self.prefill_tokens_per_s, prefill, f64::min);
        let decode_s = cost(endpoint.decode_s_per_sequence);
        take(&mut self.decode_s, decode_s, f64::max);
        take(&mut self.speed, speed(endpoint.speed), f64::min);
    }
}

/// Returns a usable cost: finite and not negative. Larger values than a day count as a day.
pub(crate) fn cost(value: Option<f32>) -> Option<f64> {
    at_most(86_400.0, value)
}

/// Returns a usable number of tokens: finite and not negative. The bound keeps sums finite.
pub(crate) fn tokens(value: Option<f32>) -> Option<f64> {
    at_most(1e9, value)
}

fn at_most(most: f64, value: Option<f32>) -> Option<f64> {
    value
        .map(f64::from)
        .filter(|value| value.is_finite() && *value >= 0.0)
        .map(|value| value.min(most))
}

/// Returns the uncached prompt tokens of a mean request (`u`), with the gap filled.
pub(crate) fn mean_uncached_tokens(pool: &PoolFacts) -> f64 {
    tokens(pool.uncached_tokens).unwrap_or(UNCACHED_TOKENS)
}

/// Returns a usable speed: finite and above zero. The bounds keep sums and quotients finite.
fn speed(value: Option<f32>) -> Option<f64> {
    value
        .map(f64::from)
        .filter(|value| value.is_finite() && *value > 0.0)
        .map(|value| value.clamp(1e-6, 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn running(running: u32, kv_used: f32) -> EndpointLoad {
        EndpointLoad {
            running: Some(running),
            waiting: Some(2),
            kv_used: Some(kv_used),
            kv_tokens: Some(10_000.0),
            batch_limit: Some(64),
            ends_per_s: Some(2.0),
            decode_s_per_sequence: Some(0.01),
            ..EndpointLoad::default()
        }
    }

    #[test]
    fn few_blocks_left_count_as_a_crowd_before_requests_queue_for_them() {
        let crowd = |kv_used| {
            let rows = rows(
                &[running(90, 0.3), running(10, kv_used)],
                &PoolFacts::default(),
            );
            (rows[0].crowd_s, rows[1].crowd_s)
        };
        let (busy, roomy) = crowd(0.05);
        assert!((busy - 0.9).abs() < 1e-6 && (roomy - 0.1).abs() < 1e-6);
        // The mean of 90 and 10 running requests, once 0.6 of the blocks are in use.
        let (_, full) = crowd(0.6);
        assert!((full - 0.5).abs() < 1e-6, "{full}");
    }

    #[test]
    fn room_is_what_running_and_waiting_requests_leave_and_what_ends_give_back() {
        let pool = PoolFacts {
            prompt_tokens: Some(1_000.0),
            ..PoolFacts::default()
        };
        let room = rows(&[running(20, 0.5)], &pool)[0].room;
        assert!(
            (room.tokens - 3_000.0).abs() < 1e-3,
            "two that wait take 1,000 each"
        );
        assert!(
            (room.tokens_per_s - 500.0).abs() < 1e-3,
            "twenty hold 5,000, two of them end per second"
        );
        assert_eq!(
            (room.slots, room.ends_per_s),
            (42.0, 2.0 * 64.0 / 20.0),
            "64 run while no slot is left"
        );
        let long = PoolFacts {
            prompt_tokens: Some(200_000.0),
            ..PoolFacts::default()
        };
        let room = rows(&[running(20, 0.5)], &long)[0].room;
        assert!(
            (room.tokens + 395_000.0).abs() < 1e-3,
            "a prompt may have more tokens than a day has seconds"
        );
        let silent = rows(&[EndpointLoad::default()], &pool)[0].room;
        assert_eq!(
            (silent.tokens, silent.slots),
            (f64::INFINITY, f64::INFINITY)
        );
    }
}
