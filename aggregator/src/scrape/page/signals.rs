//! Folds series of several ranks, copies and parts into one number per signal.

use super::adapters;
use super::engines::{Engine, START_TIME, Source, Totals};
use super::lines::{Page, Series};
use super::processes::{Processes, Shown};
use super::rules::{RULES, Rule};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;
use std::time::Instant;
use trimtab_estimate::{Adapters, Counters, Sample, SumCount};

/// Labels of ranks of one engine that repeat the same number. The first is taken.
const COPIES: [&str; 3] = ["tp_rank", "pp_rank", "moe_ep_rank"];
/// The label of processes of one server; see [`Processes`].
const PROCESS: &str = "pid";
/// The series without this label, or with it empty, is the total of those that have it.
const PARTS: &str = "priority";

/// The slots of all names of all engines.
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

/// The signals that a page holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The engine whose names the page has.
    pub engine: &'static Engine,
    /// Its signals, not yet [`cleaned`](Sample::cleaned).
    pub sample: Sample,
}

/// Reads a page.
///
/// - `engine`: the engine that the operator configured. Absent: the first whose names the page has.
///
/// Returns `None` if the page has neither queue, batch nor KV usage of the engine (or of any). Such
/// a page does not mean that the server is idle.
#[must_use]
pub fn read(page: Page<'_>, engine: Option<&'static Engine>) -> Option<Reading> {
    read_on(page, engine, &mut Processes::default(), Instant::now())
}

/// As [`read`], for a page that is read repeatedly. Uses and updates what is known of its
/// processes. `now` must not go back.
#[must_use]
pub fn read_on(
    page: Page<'_>,
    engine: Option<&'static Engine>,
    processes: &mut Processes,
    now: Instant,
) -> Option<Reading> {
    let found = Found::new(page);
    let engine = match engine {
        Some(engine) => Some(engine).filter(|engine| found.has_load(engine)),
        None => Engine::ALL
            .into_iter()
            .find(|engine| found.has_load(engine)),
    }?;
    processes.look(&found.processes(engine), now);
    let signals = Signals {
        found: &found,
        processes,
    };
    Some(Reading {
        engine,
        sample: signals.sample(engine),
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

    /// Returns what the page shows of each process.
    fn processes(&self, engine: &Engine) -> BTreeMap<u64, Shown> {
        let mut processes: BTreeMap<u64, Shown> = BTreeMap::new();
        let loads = [engine.waiting, engine.running, engine.kv_used].concat();
        let mut names: Vec<&str> = engine.series().filter(|name| *name != START_TIME).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let is_load = loads.iter().any(|source| source.name == name);
            for series in self.named(name) {
                let Some(pid) = pid(series) else { continue };
                let shown = processes.entry(pid).or_default();
                shown.busy |= is_load && series.value > 0.0;
                // The digests are added up, so that the order of lines does not matter.
                let mut digest = DefaultHasher::new();
                (name, series.identity(&[PROCESS]), series.value.to_bits()).hash(&mut digest);
                shown.digest = shown.digest.wrapping_add(digest.finish());
            }
        }
        processes
    }
}

/// A page, and what is known of the processes behind it.
struct Signals<'f, 'p> {
    found: &'f Found<'p>,
    processes: &'f Processes,
}

impl<'f, 'p> Signals<'f, 'p> {
    fn named(&self, name: &str) -> &'f [Series<'p>] {
        self.found.named(name)
    }

    fn sample(&self, engine: &Engine) -> Sample {
        let count = |sources| self.first(sources, RULES.counters);
        let waiting = self.first(engine.waiting, RULES.waiting);
        Sample {
            waiting: waiting.map(|waiting| waiting + self.also_waiting(engine)),
            running: self.first(engine.running, RULES.running),
            kv_used: self.first(engine.kv_used, RULES.kv_used),
            kv_blocks: self.first(engine.kv_blocks, RULES.kv_blocks),
            kv_block_tokens: self.first(engine.kv_block_tokens, RULES.kv_block_tokens),
            batch_limit: self.first(engine.batch_limit, RULES.batch_limit),
            queued_tokens: self.first(engine.queued_tokens, RULES.queued_tokens),
            awake: self
                .first(engine.awake, RULES.awake)
                .map(|awake| awake > 0.0),
            start_time_s: self.value(START_TIME, RULES.start_time),
            counters: Counters {
                prompt_tokens: count(engine.prompt_tokens),
                cached_tokens: count(engine.cached_tokens),
                prefix_queries: count(engine.prefix_queries),
                prefix_hits: count(engine.prefix_hits),
                generation_tokens: count(engine.generation_tokens),
                finished: count(engine.finished),
                step_tokens: self.totals(engine.step_tokens),
                ttft_s: self.totals(engine.ttft_s),
                itl_s: self.totals(engine.itl_s),
                e2e_s: self.totals(engine.e2e_s),
            },
            adapters: self.adapters(engine),
        }
    }

    /// Returns which adapters run and wait, and which are loaded. A server may report either or
    /// both.
    fn adapters(&self, engine: &Engine) -> Option<Adapters> {
        let used = engine
            .adapters
            .iter()
            .find_map(|name| adapters::newest(self.named(name)));
        let tells = |names: &[&str]| names.iter().any(|name| !self.named(name).is_empty());
        let loaded = (tells(engine.adapters_loaded) || tells(engine.adapters_counted)).then(|| {
            let names = engine.adapters_loaded.iter();
            adapters::loaded(names.flat_map(|name| self.named(name)))
        });
        if used.is_none() && loaded.is_none() {
            return None;
        }
        // If the page does not say what runs, all slots would look free.
        let slots = self.first(engine.adapter_slots, RULES.adapter_slots);
        let slots = slots.filter(|_| used.is_some()).map(|slots| slots as u32);
        let used = used.unwrap_or_default();
        Some(Adapters {
            slots: slots.or(used.slots),
            loaded,
            ..used
        })
    }

    /// Returns the number of the first alternative that the page has.
    fn first(&self, sources: &[Source], rule: Rule) -> Option<f64> {
        sources.iter().find_map(|source| {
            let matching = self
                .named(source.name)
                .iter()
                .filter(|series| match source.only {
                    Some((label, value)) => series.label(label) == Some(value),
                    None => true,
                });
            let values = matching.filter_map(|series| match source.label {
                // Servers that do not know the number yet write "None".
                Some(label) => Some((series, series.label(label)?.parse().ok()?)),
                None => Some((series, series.value)),
            });
            self.fold(values, rule)
        })
    }

    /// Returns the number of the series of one name.
    fn value(&self, name: &str, rule: Rule) -> Option<f64> {
        let series = self.named(name).iter();
        self.fold(series.map(|series| (series, series.value)), rule)
    }

    fn also_waiting(&self, engine: &Engine) -> f64 {
        let queues = engine.also_waiting.iter();
        queues
            .filter_map(|name| self.value(name, RULES.waiting))
            .sum()
    }

    fn totals(&self, alternatives: &[Totals]) -> Option<SumCount> {
        alternatives.iter().find_map(|totals| {
            Some(SumCount {
                sum: self.value(totals.sum, RULES.counters)?,
                count: self.value(totals.count, RULES.counters)?,
            })
        })
    }

    /// Makes one number of the series of one name: totals before parts, one of several copies, then
    /// the rule. NaN does not count.
    fn fold(&self, values: impl Iterator<Item = (&'f Series<'p>, f64)>, rule: Rule) -> Option<f64> {
        let mut values: Vec<(&Series<'p>, f64)> =
            values.filter(|(_, value)| !value.is_nan()).collect();
        if values.len() > 1 {
            if values
                .iter()
                .any(|(series, _)| series.label(PARTS).is_none())
            {
                values.retain(|(series, _)| series.label(PARTS).is_none());
            }
            values = one_of_copies(values, rule, self.processes);
        }
        let values = values.into_iter().map(|(_, value)| value);
        match rule {
            Rule::Sum | Rule::Total => values.reduce(|a, b| a + b),
            Rule::Most => values.reduce(f64::max),
        }
    }
}

/// Keeps one series of those that are copies of each other or have the same labels. Leaves out
/// processes that are over, unless the rule counts their totals.
fn one_of_copies<'s, 'p>(
    values: Vec<(&'s Series<'p>, f64)>,
    rule: Rule,
    processes: &Processes,
) -> Vec<(&'s Series<'p>, f64)> {
    let [tp, pp, ep] = COPIES;
    let copies = processes.are_copies();
    let without: &[&str] = if copies {
        &[tp, pp, ep, PROCESS]
    } else {
        &[tp, pp, ep]
    };
    let rank = |series: &Series<'p>| processes.rank(pid(series)?);
    // A sorted map, so that the same page gives the same sum to the bit.
    let mut kept: BTreeMap<Vec<(&'p str, &'s str)>, (&'s Series<'p>, f64)> = BTreeMap::new();
    for (series, value) in values {
        let is_over = pid(series).is_some_and(|pid| processes.is_over(pid));
        if is_over && rule != Rule::Total {
            continue;
        }
        let one = kept
            .entry(series.identity(without))
            .or_insert((series, value));
        if copies && rank(series) > rank(one.0) {
            *one = (series, value);
        }
    }
    kept.into_values().collect()
}

fn pid(series: &Series<'_>) -> Option<u64> {
    series.label(PROCESS)?.parse().ok()
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
