//! The reference picker's scores, against a naive version that hashes every block of every prompt,
//! as the original does.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};

use trimtab_baselines::Epp;
use trimtab_pick::{
    Adapter, Conversation, EndpointLoad, Millis, Picker, Prefix, Reason, Request, Rng, State,
};

use crate::pool::{NOW, assert_close, first, picker, pool, prompt, shares, show};

/// From the hash of each block, with all blocks before it, to the endpoints that have it. Nothing
/// is ever forgotten.
#[derive(Default)]
struct Blocks(HashMap<u64, HashSet<usize>>);

/// Hashes of blocks of 16 tokens, each over all blocks before it and the model. A rest is left out.
/// 256 at most.
fn hashes(model: u64, text: &[u64]) -> Vec<u64> {
    let chain = |before: &mut u64, block: &[u64]| {
        let mut hasher = DefaultHasher::new();
        (*before, block).hash(&mut hasher);
        *before = hasher.finish();
        Some(*before)
    };
    text.chunks_exact(16).take(256).scan(model, chain).collect()
}

impl Blocks {
    /// The original's walk: counts the blocks that the endpoint has, up to the first block that no
    /// endpoint has.
    fn matched(&self, hashes: &[u64], endpoint: usize) -> usize {
        let known = hashes.iter().map_while(|hash| self.0.get(hash));
        known.filter(|who| who.contains(&endpoint)).count()
    }

    fn add(&mut self, hashes: &[u64], endpoint: usize) {
        for hash in hashes {
            self.0.entry(*hash).or_default().insert(endpoint);
        }
    }

    /// The score of each endpoint.
    ///
    /// - `sent`: what counts on top of each queue.
    fn scores(&self, rows: &[EndpointLoad], sent: &[u32], hashes: &[u64]) -> Vec<f64> {
        let queue = |at: usize| Some(f64::from(rows[at].waiting? + sent[at]));
        let queues: Vec<f64> = (0..rows.len()).filter_map(queue).collect();
        let least = queues.iter().copied().fold(f64::INFINITY, f64::min);
        let most = queues.iter().copied().fold(0.0, f64::max);
        let score = |at| {
            let queue = queue(at).map_or(0.0, |queue| match most > least {
                true => (most - queue) / (most - least),
                false => 1.0,
            });
            let kv = rows[at].kv_used.map_or(0.0, |used| 1.0 - f64::from(used));
            let prefix = self.matched(hashes, at) as f64 / hashes.len().max(1) as f64;
            2.0 * queue + 2.0 * kv + 3.0 * prefix
        };
        (0..rows.len()).map(score).collect()
    }
}

/// One conversation, or a single prompt.
struct Talk {
    model: u64,
    prefix: Option<u64>,
    key: Option<u64>,
    text: Vec<u64>,
    history: usize,
}

const PREFIX_TOKENS: [usize; 3] = [500, 1_024, 5_000];

impl Talk {
    fn new(script: &mut Rng) -> Self {
        let prefix = (script.next_u64() % 4 < 3).then(|| script.next_u64() % 3);
        let tokens = prefix.map_or(0, |prefix| PREFIX_TOKENS[prefix as usize]);
        Self {
            model: script.next_u64() % 2,
            prefix,
            key: (script.next_u64() % 4 < 3).then(|| script.next_u64()),
            text: (0..tokens as u64)
                .map(|at| at ^ prefix.unwrap_or(0) << 32)
                .collect(),
            history: 0,
        }
    }

    /// The next turn: everything before, an answer, and something new.
    fn turn(&mut self, script: &mut Rng) -> Request {
        if self.history > 0 {
            let answer = script.next_u64() % 300;
            self.text.extend((0..answer).map(|_| script.next_u64()));
        }
        let history = if self.history > 0 { self.text.len() } else { 0 };
        let new = 5 + script.next_u64() % 700;
        self.text.extend((0..new).map(|_| script.next_u64()));
        self.history = self.text.len();
        Request {
            held: None,
            client: 0,
            prompt_tokens: Some(self.text.len() as u32),
            prefix: self.prefix.map(|prefix| Prefix {
                key: prefix + 100,
                tokens: PREFIX_TOKENS[prefix as usize] as u32,
                ..Prefix::default()
            }),
            conversation: self.key.map(|key| Conversation {
                is_named: false,
                is_cut: false,
                key,
                history_tokens: history as u32,
            }),
            adapter: (self.model > 0).then_some(Adapter {
                key: self.model,
                index: None,
            }),
            streams: None,
            opening: None,
        }
    }
}

fn load(script: &mut Rng, rows: &mut [EndpointLoad]) {
    for row in rows {
        let mut one_of = |count| script.next_u64() % count;
        row.waiting = (one_of(8) > 0).then(|| one_of(4) as u32);
        row.kv_used = (one_of(8) > 0).then(|| one_of(11) as f32 / 10.0);
    }
}

/// Runs of 100 requests, with fewer blocks than are kept. Counts the decisions in which some prefix
/// was matched.
fn compare(count_in_flight: bool) -> u32 {
    let (mut script, mut rng) = (Rng::new(8), Rng::new(9));
    let (mut matched, mut rows) = (0, pool(5));
    for _ in 0..8 {
        let mut blocks = Blocks::default();
        let mut sent = [0; 5];
        let mut picker = Picker::with_policy(Epp::new(count_in_flight));
        let mut talks: Vec<Talk> = (0..12).map(|_| Talk::new(&mut script)).collect();
        for now in (NOW.0..).map(Millis).take(100) {
            if now.0 % 5 == 0 {
                load(&mut script, &mut rows);
                show(&mut picker, &rows, now);
                sent = [0; 5];
            }
            let at = (script.next_u64() % 12) as usize;
            let request = talks[at].turn(&mut script);
            let hashes = hashes(talks[at].model, &talks[at].text);
            let counted = if count_in_flight { sent } else { [0; 5] };
            let scores = blocks.scores(&rows, &counted, &hashes);
            let decision = picker.choose(now, &mut rng, &request);
            let (best, candidates) = (first(&decision), decision.candidates);
            assert_eq!((decision.reason, candidates), (Reason::Load, 5));
            let highest = scores.iter().copied().fold(0.0, f64::max);
            assert!(scores[best] > highest - 1e-9, "{best} of {scores:?}");
            matched += u32::from(blocks.matched(&hashes, best) > 0);
            // Sometimes the proxy sends the request elsewhere.
            let to = if now.0 % 7 == 0 { at % 5 } else { best };
            let _ = picker.on_sent(now, rows[to].id, &decision.booking);
            blocks.add(&hashes, to);
            sent[to] += 1;
            if talks[at].key.is_none() {
                talks[at] = Talk::new(&mut script);
            }
        }
    }
    matched
}

#[test]
fn the_highest_score_of_an_index_of_blocks_is_chosen() {
    for count_in_flight in [false, true] {
        let matched = compare(count_in_flight);
        assert!((250..780).contains(&matched), "{matched}");
    }
}

#[test]
fn equals_are_chosen_alike_however_fast() {
    let mut rows = pool(5);
    rows[0].speed = Some(16.0);
    rows[2].kv_used = Some(0.6);
    rows[3].state = State::Suspect;
    let share = shares(&mut picker(Epp::new(false), &rows), &prompt(10), 40_000);
    assert_close(&share, &[1.0 / 3.0, 1.0 / 3.0, 0.0, 0.0, 1.0 / 3.0], 0.01);
}

#[test]
fn a_signal_that_is_missing_scores_nothing() {
    // The other endpoint scores 2 for its queue, and 2 x 0.5 for half of its cache. The missing
    // signal scores 0.
    for missing in [0, 1] {
        let mut rows = pool(2);
        match missing {
            0 => (rows[1].waiting, rows[1].kv_used) = (None, Some(0.0)),
            _ => (rows[1].waiting, rows[1].kv_used) = (Some(0), None),
        }
        let share = shares(&mut picker(Epp::new(false), &rows), &prompt(10), 100);
        assert_eq!(share, [1.0, 0.0], "{missing}");
        // Where no endpoint has the signal, it decides nothing.
        (rows[0].waiting, rows[0].kv_used) = (rows[1].waiting, rows[1].kv_used);
        let share = shares(&mut picker(Epp::new(false), &rows), &prompt(10), 20_000);
        assert_close(&share, &[0.5, 0.5], 0.015);
    }
}

#[test]
fn between_tables_all_go_to_the_shortest_queue_unless_what_was_sent_is_counted() {
    let mut rows = pool(8);
    rows[1..].iter_mut().for_each(|row| row.waiting = Some(1));
    for count_in_flight in [false, true] {
        let (mut picker, mut rng) = (picker(Epp::new(count_in_flight), &rows), Rng::new(4));
        let mut queues = [0, 1, 1, 1, 1, 1, 1, 1];
        for _ in 0..400 {
            let best = first(&picker.choose(NOW, &mut rng, &prompt(10)));
            queues[best] += 1;
            let _ = picker.on_sent(NOW, rows[best].id, &prompt(10).into());
        }
        if count_in_flight {
            // 7 + 400 = 8 x 51 - 1.
            queues.sort_unstable();
            assert_eq!(queues, [50, 51, 51, 51, 51, 51, 51, 51]);
        } else {
            assert_eq!(queues, [400, 1, 1, 1, 1, 1, 1, 1]);
        }
    }
}

#[test]
fn what_was_sent_after_a_row_was_taken_counts_until_a_table_has_a_younger_row() {
    let mut rows = pool(2);
    let (mut picker, sent_at) = (picker(Epp::new(true), &rows), Millis(NOW.0 + 10));
    let ticket = picker.on_sent(sent_at, rows[0].id, &prompt(10).into());
    picker.on_done(ticket);
    assert_eq!(shares(&mut picker, &prompt(10), 100), [0.0, 1.0]);
    for (age_ms, counts) in [(15, true), (5, false)] {
        rows.iter_mut().for_each(|row| row.age_ms = age_ms);
        show(&mut picker, &rows, Millis(NOW.0 + 20));
        let share = shares(&mut picker, &prompt(10), 100);
        assert_eq!(share == [0.0, 1.0], counts, "{age_ms} ms: {share:?}");
    }
}
