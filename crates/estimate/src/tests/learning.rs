//! Speeds are learned from the counters of a server whose true speed is known.

use crate::{Counters, EndpointSpec, Pool, PoolConfig, Sample, SumCount};
use std::time::Duration;
use trimtab_loadtable::Table;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const TRUE_PREFILL: f64 = 4_000.0;
const TRUE_SLOPE_S: f64 = 3e-4;
const BASE_ITL_S: f64 = 0.012;

/// Reproducible noise in -1..1, from a linear congruential generator.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// A server's totals, as its page would show them.
#[derive(Default)]
struct Server {
    prompt: f64,
    generated: f64,
    finished: f64,
    ttft: SumCount,
    itl: SumCount,
    part: f64,
}

impl Server {
    /// Runs `seconds` with `running` sequences. If `queued`, prompts of `prompt` tokens fill the
    /// prefill budget; else more come the more sequences run. The time of prefills lengthens the
    /// gaps between tokens of running sequences.
    fn run(
        &mut self,
        seconds: f64,
        running: f64,
        prompt: f64,
        queued: bool,
        noise: &mut Noise,
    ) -> Sample {
        self.part += if queued {
            seconds * TRUE_PREFILL / prompt
        } else {
            0.2 * running.sqrt() * (1.0 + noise.next())
        };
        let done = self.part.floor();
        self.part -= done;
        let prefill_share = (done * prompt / TRUE_PREFILL / seconds).min(0.95);
        let step_s = (BASE_ITL_S + TRUE_SLOPE_S * running) * (1.0 + 0.1 * noise.next());
        let itl_s = step_s / (1.0 - prefill_share);
        self.prompt += done * prompt;
        self.finished += done;
        self.ttft.count += done;
        self.ttft.sum += done * (0.03 + prompt / TRUE_PREFILL) * (1.0 + 0.1 * noise.next());
        let tokens = (seconds / itl_s * running).round();
        self.generated += tokens;
        self.itl.count += tokens;
        self.itl.sum += tokens * itl_s;
        Sample {
            waiting: Some(if queued { 3.0 } else { 0.0 }),
            running: Some(running),
            counters: Counters {
                prompt_tokens: Some(self.prompt),
                generation_tokens: Some(self.generated),
                finished: Some(self.finished),
                ttft_s: Some(self.ttft),
                itl_s: Some(self.itl),
                ..Counters::default()
            },
            ..Sample::default()
        }
    }
}

/// Scrapes one server of class `a100` five times a second. Every `wild`th sample has absurd sums.
fn learn(queued: impl Fn(u64) -> bool, wild: u64) -> Table {
    learn_prompts(&[200.0, 500.0, 1_100.0, 2_500.0], queued, wild)
}

/// As [`learn`], with prompts of these lengths in turn.
fn learn_prompts(prompts: &[f64], queued: impl Fn(u64) -> bool, wild: u64) -> Table {
    const A: &str = "10.0.0.1:8000";
    let mut pool = Pool::new(PoolConfig::new("chat", 1, [0; 16]));
    let spec = EndpointSpec {
        address: A.into(),
        class: "a100".into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(Duration::ZERO, vec![spec]);
    let (mut server, mut noise) = (Server::default(), Noise(1));
    let at = |k: u64| Duration::from_millis(200 * k);
    for k in 0..1_500 {
        let running = [2.0, 5.0, 12.0, 30.0, 70.0][(k / 7 % 5) as usize];
        let prompt = prompts[(k / 11) as usize % prompts.len()];
        if wild > 0 && k % wild == 0 {
            server.itl.sum += 1e6 * (1.0 + noise.next());
            server.ttft.sum += 1e5;
        }
        let sample = server.run(0.2, running, prompt, queued(k), &mut noise);
        pool.on_sample(at(k), A, sample);
    }
    let table = pool.table(at(1_500));
    table.check().expect("a table always passes its own check");
    table
}

fn assert_near(name: &str, got: f64, expected: f64, tolerance: f64) {
    assert!(
        (got / expected - 1.0).abs() < tolerance,
        "{name}: {got}, expected {expected} within {tolerance}"
    );
}

/// `g = 0.4 * o * c`, so `c = g / (0.4 * o)`.
fn slope_s(table: &Table) -> f64 {
    let g = f64::from(table.classes[0].decode_s_per_sequence.unwrap());
    g / (0.4 * f64::from(table.demand.output_tokens.unwrap()))
}

#[test]
fn a_queue_shows_the_prefill_speed() {
    let table = learn(|k| k / 25 % 2 == 0, 0);
    assert_near(
        "prefill",
        f64::from(table.classes[0].prefill_tokens_per_s.unwrap()),
        TRUE_PREFILL,
        0.1,
    );
    assert_near("slope", slope_s(&table), TRUE_SLOPE_S, 0.15);
}

#[test]
fn without_a_queue_the_time_to_first_token_shows_it() {
    let table = learn(|_| false, 0);
    assert_near(
        "prefill",
        f64::from(table.classes[0].prefill_tokens_per_s.unwrap()),
        TRUE_PREFILL,
        0.1,
    );
    assert_near("slope", slope_s(&table), TRUE_SLOPE_S, 0.15);
}

/// 30 ms of every time to first token are not prefill, and the noise is a tenth.
#[test]
fn prompts_of_one_length_show_it_too_and_no_more_than_the_fixed_part_too_slow() {
    for prompt in [600.0, 1_000.0, 4_000.0] {
        let table = learn_prompts(&[prompt], |_| false, 0);
        let speed = f64::from(table.classes[0].prefill_tokens_per_s.unwrap());
        let least = prompt / (prompt / TRUE_PREFILL + 0.03);
        assert!(
            (least..1.1 * TRUE_PREFILL).contains(&speed),
            "{speed} of prompts with {prompt} tokens"
        );
    }
    let table = learn_prompts(&[100.0], |_| false, 0);
    assert_eq!(
        table.classes[0].prefill_tokens_per_s,
        Some(11_700.0),
        "a short prompt shows the length of a step; the prior stays"
    );
}

/// A step of a full budget takes 500 ms here. So only one of two or three intervals shows a step,
/// and every queue lasts a few steps only.
#[test]
fn short_queues_show_the_speed_though_steps_take_longer_than_intervals() {
    const A: &str = "10.0.0.1:8000";
    const STEP_TOKENS: f64 = 2_000.0;
    let mut pool = Pool::new(PoolConfig::new("chat", 1, [0; 16]));
    let spec = EndpointSpec {
        address: A.into(),
        class: "a100".into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(Duration::ZERO, vec![spec]);
    // Every 3.1 s 8 prompts of 1000 tokens come together: 4 steps of 2 prompts, 2 s of work, then
    // quiet.
    let prefilled = |ms: u64| 8 * (ms / 3_100) + (ms % 3_100 / 500 * 2).min(8);
    let in_queue = |ms: u64| 6u64.saturating_sub(ms % 3_100 / 500 * 2);
    for ms in (0..120_000).step_by(200) {
        let done = prefilled(ms) as f64;
        let counters = Counters {
            prompt_tokens: Some(STEP_TOKENS / 2.0 * done),
            generation_tokens: Some(done),
            finished: Some(done),
            ..Counters::default()
        };
        let sample = Sample {
            waiting: Some(in_queue(ms) as f64),
            running: Some(2.0),
            counters,
            ..Sample::default()
        };
        pool.on_sample(Duration::from_millis(ms), A, sample);
    }
    let table = pool.table(Duration::from_secs(120));
    assert_near(
        "prefill",
        f64::from(table.classes[0].prefill_tokens_per_s.unwrap()),
        TRUE_PREFILL,
        0.1,
    );
}

/// While the endpoint fills, generated tokens belong to requests that have not ended. While it
/// empties, ends belong to tokens that were generated before.
#[test]
fn the_mean_output_does_not_rise_with_a_burst() {
    const A: &str = "10.0.0.1:8000";
    // 2 requests start per interval until the 60th. Each generates 10 tokens in each of 20
    // intervals, then ends.
    let started = |k: u64| 2 * k.min(60);
    let ended = |k: u64| 2 * k.saturating_sub(20).min(60);
    let generated = |k: u64| 10 * (0..k).map(|k| started(k + 1) - ended(k + 1)).sum::<u64>();
    let mut pool = Pool::new(PoolConfig::new("chat", 1, [0; 16]));
    let spec = EndpointSpec {
        address: A.into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(Duration::ZERO, vec![spec]);
    for k in 0..80 {
        let count = started(k) as f64;
        let counters = Counters {
            generation_tokens: Some(generated(k) as f64),
            finished: Some(ended(k) as f64),
            ttft_s: Some(SumCount { sum: count, count }),
            ..Counters::default()
        };
        let now = Duration::from_millis(200 * k);
        pool.on_sample(
            now,
            A,
            Sample {
                counters,
                ..Sample::default()
            },
        );
        if k >= 20 {
            let output = pool.table(now).demand.output_tokens.unwrap();
            assert_near("output tokens", f64::from(output), 200.0, 0.25);
        }
    }
}

#[test]
fn one_absurd_page_in_six_changes_little() {
    let table = learn(|k| k / 25 % 2 == 0, 6);
    assert_near(
        "prefill",
        f64::from(table.classes[0].prefill_tokens_per_s.unwrap()),
        TRUE_PREFILL,
        0.1,
    );
    assert_near("slope", slope_s(&table), TRUE_SLOPE_S, 0.25);
}

#[test]
fn nothing_seen_means_the_prior_of_the_accelerator() {
    let mut pool = Pool::new(PoolConfig::new("chat", 1, [0; 16]));
    let spec = |address: &str, class: &str| EndpointSpec {
        address: address.into(),
        class: class.into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(
        Duration::ZERO,
        vec![
            spec("10.0.0.1:1", "NVIDIA-H100-80GB-HBM3"),
            spec("10.0.0.2:1", "nvidia-l4"),
        ],
    );
    let table = pool.table(Duration::ZERO);
    let [h100, l4] = table.classes.as_slice() else {
        panic!("two classes")
    };
    assert_eq!(
        (h100.prefill_tokens_per_s, l4.prefill_tokens_per_s),
        (Some(24_000.0), Some(3_600.0))
    );
    assert_eq!(l4.speed, Some(1.0), "1 is the slowest");
    assert!(h100.speed.unwrap() > 5.0);
    assert_eq!(
        table.demand,
        trimtab_loadtable::Demand::default(),
        "nothing was measured"
    );
}

/// Native and wasm agree to the bit on results of logarithms, exponentials and sums, so a
/// simulation shows what a proxy gets. The numbers are those of the native build. A change of a
/// constant or a formula changes them.
#[test]
fn the_same_history_gives_the_same_bits_on_every_target() {
    let figures = |table: &Table| {
        let (class, demand) = (&table.classes[0], &table.demand);
        [
            class.prefill_tokens_per_s,
            class.decode_s_per_sequence,
            demand.uncached_tokens,
            demand.output_tokens,
            demand.arrival_rate,
        ]
        .map(|figure| figure.unwrap().to_bits())
    };
    assert_eq!(
        figures(&learn(|k| k / 25 % 2 == 0, 6)),
        [
            1_165_511_688,
            1_002_968_072,
            1_143_257_327,
            1_111_419_281,
            1_101_319_022
        ]
    );
}

/// A page every 200 ms of two endpoints, with one prompt per second: `A` of the class `fast`, and
/// one of an unknown class, 2.5 times slower.
fn two_classes(seconds: u64) -> Table {
    const A: &str = "10.0.0.1:8000";
    let other = "10.0.0.2:8000";
    let mut pool = Pool::new(PoolConfig::new("chat", 7, [1; 16]));
    let spec = |address: &str, class: &str| EndpointSpec {
        address: address.into(),
        class: class.into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(
        Duration::ZERO,
        vec![spec(A, "fast"), spec(other, "never heard of")],
    );
    for step in 0..seconds * 5 {
        for (address, speed) in [(A, 10_000.0), (other, 4_000.0)] {
            let done = (step / 5) as f64;
            let sample = Sample {
                waiting: Some(0.0),
                running: Some(1.0),
                counters: Counters {
                    prompt_tokens: Some(2_000.0 * done),
                    ttft_s: Some(SumCount {
                        sum: done * 2_000.0 / speed,
                        count: done,
                    }),
                    ..Counters::default()
                },
                ..Sample::default()
            };
            pool.on_sample(Duration::from_millis(200 * step), address, sample);
        }
    }
    pool.table(Duration::from_secs(seconds))
}

#[test]
fn a_class_that_nobody_knows_is_known_by_its_first_prompts() {
    let speed = |table: &Table, row: usize| {
        let row = &table.endpoints[row];
        let class = &table.classes[usize::from(row.class.unwrap())];
        let own = row.prefill_permille.unwrap_or(1_000) as f32 / 1_000.0;
        f64::from(class.prefill_tokens_per_s.unwrap() * own)
    };
    let first = two_classes(5);
    let (fast, slow) = (speed(&first, 0), speed(&first, 1));
    assert!((8_000.0..12_000.0).contains(&fast), "{fast}");
    assert!(
        (3_500.0..6_000.0).contains(&slow),
        "after four prompts: {slow}"
    );
    let later = two_classes(30);
    let slow = speed(&later, 1);
    assert!((3_800.0..4_200.0).contains(&slow), "{slow}");
}
