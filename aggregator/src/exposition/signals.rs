//! Series of several ranks, copies and parts become one number per signal.

use super::engines::{Engine, START_TIME, Source, Totals};
use super::lines::{Page, Series};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use trimtab_estimate::{Adapters, Counters, Sample, SumCount};

/// Ranks of one engine that repeat the same number; the first is taken.
const COPIES: [&str; 3] = ["tp_rank", "pp_rank", "moe_ep_rank"];
/// Processes of one server that repeat the same number. The series of one that died stays, so the newest counts: the largest.
const PROCESS: &str = "pid";
/// The series with this label empty is the total of those with it set.
const PARTS: &str = "priority";

/// All names of all engines: one list, because a page that does not match the engine it is said to be should say so.
static SLOTS: LazyLock<HashMap<&'static [u8], usize>> = LazyLock::new(|| {
    let mut names: Vec<&str> = Engine::ALL.into_iter().flat_map(Engine::series).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .enumerate()
        .map(|(slot, name)| (name.as_bytes(), slot))
        .collect()
});

/// What a page says.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Whose page it is.
    pub engine: &'static Engine,
    /// Its signals, not yet [`cleaned`](Sample::cleaned).
    pub sample: Sample,
}

/// Reads a page. `engine`: what the operator says it is; absent: whichever engine's names the page has.
///
/// `None`: the page holds neither queue, batch nor KV usage of the engine (or of any). That is an answer without news and not
/// an idle server.
#[must_use]
pub fn read(page: Page<'_>, engine: Option<&'static Engine>) -> Option<Reading> {
    let found = Found::new(page);
    let engine = match engine {
        Some(engine) => Some(engine).filter(|engine| found.has_load(engine)),
        None => Engine::ALL
            .into_iter()
            .find(|engine| found.has_load(engine)),
    }?;
    Some(Reading {
        engine,
        sample: found.sample(engine),
    })
}

/// The needed series of a page, by slot.
struct Found<'p> {
    by_slot: HashMap<usize, Vec<Series<'p>>>,
}

impl<'p> Found<'p> {
    fn new(page: Page<'p>) -> Self {
        let mut by_slot: HashMap<usize, Vec<Series<'p>>> = HashMap::new();
        for (slot, series) in page.series(|name| SLOTS.get(name).copied()) {
            by_slot.entry(slot).or_default().push(series);
        }
        Self { by_slot }
    }

    fn named(&self, name: &str) -> &[Series<'p>] {
        SLOTS
            .get(name.as_bytes())
            .and_then(|slot| self.by_slot.get(slot))
            .map_or(&[], Vec::as_slice)
    }

    fn has_load(&self, engine: &Engine) -> bool {
        [engine.waiting, engine.running, engine.kv_used]
            .into_iter()
            .flatten()
            .any(|source| !self.named(source.name).is_empty())
    }

    fn sample(&self, engine: &Engine) -> Sample {
        let sum = |sources| self.first(sources, Fold::Sum);
        let max = |sources| self.first(sources, Fold::Max);
        let waiting = sum(engine.waiting).map(|waiting| waiting + self.also_waiting(engine));
        Sample {
            waiting,
            running: sum(engine.running),
            kv_used: max(engine.kv_used),
            kv_blocks: sum(engine.kv_blocks),
            kv_block_tokens: max(engine.kv_block_tokens),
            batch_limit: sum(engine.batch_limit),
            queued_tokens: sum(engine.queued_tokens),
            awake: max(engine.awake).map(|awake| awake > 0.0),
            start_time_s: self.fold(
                self.named(START_TIME)
                    .iter()
                    .map(|series| (series, series.value)),
                Fold::Max,
            ),
            counters: Counters {
                prompt_tokens: sum(engine.prompt_tokens),
                cached_tokens: sum(engine.cached_tokens),
                prefix_queries: sum(engine.prefix_queries),
                prefix_hits: sum(engine.prefix_hits),
                generation_tokens: sum(engine.generation_tokens),
                finished: sum(engine.finished),
                step_tokens: self.totals(engine.step_tokens),
                ttft_s: self.totals(engine.ttft_s),
                itl_s: self.totals(engine.itl_s),
                e2e_s: self.totals(engine.e2e_s),
            },
            adapters: engine
                .adapters
                .iter()
                .find_map(|name| newest_adapters(self.named(name))),
        }
    }

    /// The first alternative that the page has.
    fn first(&self, sources: &[Source], fold: Fold) -> Option<f64> {
        sources.iter().find_map(|source| {
            let matching = self
                .named(source.name)
                .iter()
                .filter(|series| match source.only {
                    Some((label, value)) => series.label(label) == Some(value),
                    None => true,
                });
            let values = matching.filter_map(|series| match source.label {
                // "None" on servers that do not know yet.
                Some(label) => Some((series, series.label(label)?.parse().ok()?)),
                None => Some((series, series.value)),
            });
            self.fold(values, fold)
        })
    }

    fn also_waiting(&self, engine: &Engine) -> f64 {
        let queue = |name: &&str| {
            self.fold(
                self.named(name).iter().map(|series| (series, series.value)),
                Fold::Sum,
            )
        };
        engine.also_waiting.iter().filter_map(queue).sum()
    }

    fn totals(&self, alternatives: &[Totals]) -> Option<SumCount> {
        alternatives.iter().find_map(|totals| {
            let read = |name| {
                self.fold(
                    self.named(name).iter().map(|series| (series, series.value)),
                    Fold::Sum,
                )
            };
            Some(SumCount {
                sum: read(totals.sum)?,
                count: read(totals.count)?,
            })
        })
    }

    /// One number of the series of one name: totals before parts, one of several copies, then the fold. NaN is no number.
    fn fold<'s>(
        &self,
        values: impl Iterator<Item = (&'s Series<'p>, f64)>,
        fold: Fold,
    ) -> Option<f64>
    where
        'p: 's,
    {
        let mut values: Vec<(&Series<'p>, f64)> =
            values.filter(|(_, value)| !value.is_nan()).collect();
        if values.len() > 1 {
            if values
                .iter()
                .any(|(series, _)| series.label(PARTS).is_none())
            {
                values.retain(|(series, _)| series.label(PARTS).is_none());
            }
            values = one_of_copies(values);
        }
        let values = values.into_iter().map(|(_, value)| value);
        match fold {
            Fold::Sum => values.reduce(|a, b| a + b),
            Fold::Max => values.reduce(f64::max),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Fold {
    /// Queues, batches, blocks and counters of independent engines add up.
    Sum,
    /// The fullest cache is the one that preempts.
    Max,
}

/// Keeps one series of those that differ only in copy labels, and of those that do not differ: of processes the newest, else the first.
fn one_of_copies<'s, 'p>(values: Vec<(&'s Series<'p>, f64)>) -> Vec<(&'s Series<'p>, f64)> {
    let [tp, pp, ep] = COPIES;
    let copies = [tp, pp, ep, PROCESS];
    let pid = |series: &Series<'p>| {
        series
            .label(PROCESS)
            .and_then(|pid| pid.parse::<u64>().ok())
    };
    // In an order of its own, so that the same page gives the same sum to the bit.
    let mut kept: BTreeMap<Vec<(&'p str, &'s str)>, (&'s Series<'p>, f64)> = BTreeMap::new();
    for (series, value) in values {
        let one = kept
            .entry(series.identity(&copies))
            .or_insert((series, value));
        if pid(series) > pid(one.0) {
            *one = (series, value);
        }
    }
    kept.into_values().collect()
}

/// vLLM adds a series per combination and never removes one; the value is the time it was last true.
fn newest_adapters(series: &[Series<'_>]) -> Option<Adapters> {
    let newest = series
        .iter()
        .filter(|series| !series.value.is_nan())
        .max_by(|a, b| a.value.total_cmp(&b.value))?;
    let names = |label: &str| -> Vec<String> {
        let list = newest.label(label).unwrap_or_default();
        list.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Some(Adapters {
        running: names("running_lora_adapters"),
        waiting: names("waiting_lora_adapters"),
        slots: newest
            .label("max_lora")
            .and_then(|slots| slots.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(page: &str) -> Sample {
        read(Page::whole(page.as_bytes()), None)
            .expect("a page with load")
            .sample
    }

    #[test]
    fn ranks_add_up_copies_and_parts_do_not() {
        let page = "\
sglang:num_queue_reqs{dp_rank=\"0\",tp_rank=\"0\",priority=\"\"} 3
sglang:num_queue_reqs{dp_rank=\"0\",tp_rank=\"1\",priority=\"\"} 3
sglang:num_queue_reqs{dp_rank=\"1\",tp_rank=\"0\",priority=\"\"} 4
sglang:num_queue_reqs{dp_rank=\"1\",tp_rank=\"0\",priority=\"1\"} 1
sglang:num_queue_reqs{dp_rank=\"1\",tp_rank=\"0\",priority=\"2\"} 3
sglang:num_decode_prealloc_queue_reqs{dp_rank=\"1\",tp_rank=\"0\"} 10
sglang:token_usage{dp_rank=\"0\",tp_rank=\"0\"} 0.25
sglang:token_usage{dp_rank=\"1\",tp_rank=\"0\"} 0.75
";
        let sample = sample(page);
        assert_eq!(
            (sample.waiting, sample.kv_used, sample.running),
            (Some(17.0), Some(0.75), None)
        );
    }

    #[test]
    fn the_newest_process_speaks_for_a_server_that_lost_one() {
        let page = "trtllm_num_requests_running{pid=\"9\"} 50\ntrtllm_num_requests_running{pid=\"12\"} 2\n";
        assert_eq!(sample(page).running, Some(2.0));
    }

    #[test]
    fn a_series_that_stands_twice_counts_once() {
        let page = "\
vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3
vllm:num_requests_running{model_name=\"m\",engine=\"0\"} 3
vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 4
";
        assert_eq!(sample(page).running, Some(7.0));
    }

    #[test]
    fn an_engine_says_whether_it_sleeps() {
        let page = |first: u8, second: u8| {
            let state = |engine: u8, awake| {
                let asleep = 1 - awake;
                format!(
                    "vllm:engine_sleep_state{{engine=\"{engine}\",sleep_state=\"awake\"}} {awake}\n\
                     vllm:engine_sleep_state{{engine=\"{engine}\",sleep_state=\"weights_offloaded\"}} {asleep}\n"
                )
            };
            format!(
                "vllm:num_requests_running 0\n{}{}",
                state(0, first),
                state(1, second)
            )
        };
        let awake = |first, second| sample(&page(first, second)).awake;
        assert_eq!(
            (awake(0, 0), awake(1, 0), awake(1, 1)),
            (Some(false), Some(true), Some(true))
        );
        assert_eq!(sample("vllm:num_requests_running 0\n").awake, None);
    }

    #[test]
    fn a_number_that_is_none_leaves_the_sum_and_zero_does_not() {
        let page = "vllm:num_requests_running{engine=\"0\"} NaN\nvllm:num_requests_running{engine=\"1\"} 2\nvllm:num_requests_waiting NaN\n";
        assert_eq!(
            (sample(page).running, sample(page).waiting),
            (Some(2.0), None)
        );
    }
}
