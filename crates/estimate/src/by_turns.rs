//! Pages that several processes serve by turns: each scrape may show another process's numbers.
//!
//! A server in Python with several workers and without the multiprocess mode of its metrics does
//! so. Its counters rise and fall from page to page: taken as one process, each rise is work that
//! nobody did, and each fall a restart.
//!
//! A fall alone is a restart. A fall to where another page of the last half minute left off is a
//! process's turn. From then on the newest numbers of all processes are put together as those of
//! several processes on one page: counters, queues, batches and blocks add up, and of the rest the
//! largest counts. A process that was not seen for half a minute is over.
//!
//! The rises before the first such fall count as work. They are forgotten with the means.

use crate::sample::{Counters, Sample, SumCount};
use std::time::Duration;

/// A process that was not seen for so long is over.
const OVER: Duration = Duration::from_secs(30);
/// Most processes that are followed. A new one takes the place of the one seen longest ago.
const MOST: usize = 16;

/// The processes behind one page, as far as they are told apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct ByTurns {
    /// The newest sample of each without its adapters, and when it came. The last one is that of
    /// the newest page.
    lines: Vec<(Duration, Sample)>,
    /// A page has gone back to where another had left off.
    taken: bool,
}

impl ByTurns {
    /// Takes in the sample of a page. Returns that of the whole server.
    pub(crate) fn take(&mut self, now: Duration, mut sample: Sample) -> Sample {
        // Only those of the newest page count.
        let adapters = sample.adapters.take();
        self.lines.retain(|(at, _)| now.saturating_sub(*at) < OVER);
        let before = self.taken && self.lines.len() > 1;
        let newest = self.lines.last();
        let is_next = newest.is_none_or(|(_, newest)| sample.goes_on_from(newest));
        let place = self.place(&sample);
        self.taken = before || place.is_some() && !is_next;
        match place {
            Some(at) => _ = self.lines.remove(at),
            None if self.lines.len() >= MOST => _ = self.lines.remove(0),
            None => {}
        }
        self.lines.push((now, sample.clone()));
        if !self.taken {
            return Sample { adapters, ..sample };
        }
        let others = self.lines.iter().rev().skip(1);
        let mut all = others.fold(sample, |all, (_, other)| beside(&all, other));
        if !before || place.is_none() {
            // The sum has one part more than before, and that is no work.
            all.counters = Counters::default();
        }
        Sample { adapters, ..all }
    }

    /// Returns the process that this sample goes on from: of those that it may go on from, the one
    /// that has counted most.
    fn place(&self, sample: &Sample) -> Option<usize> {
        let total = |line: &Sample| line.counters.values().iter().flatten().sum::<f64>();
        let lines = self.lines.iter().enumerate();
        let possible = lines.filter(|(_, (_, line))| sample.goes_on_from(line));
        let nearest = possible.max_by(|(_, (_, a)), (_, (_, b))| total(a).total_cmp(&total(b)));
        nearest.map(|(at, _)| at)
    }
}

/// Returns the numbers of two processes as those of one server. Neither has adapters.
fn beside(one: &Sample, other: &Sample) -> Sample {
    Sample {
        waiting: sum(one.waiting, other.waiting),
        running: sum(one.running, other.running),
        kv_used: most(one.kv_used, other.kv_used),
        kv_blocks: sum(one.kv_blocks, other.kv_blocks),
        kv_block_tokens: most(one.kv_block_tokens, other.kv_block_tokens),
        batch_limit: sum(one.batch_limit, other.batch_limit),
        queued_tokens: sum(one.queued_tokens, other.queued_tokens),
        // Each process has its own.
        start_time_s: None,
        awake: one.awake.max(other.awake),
        counters: add(&one.counters, &other.counters),
        adapters: None,
    }
}

fn add(one: &Counters, other: &Counters) -> Counters {
    let pair = |x: Option<SumCount>, y: Option<SumCount>| match (x, y) {
        (Some(x), Some(y)) => Some(SumCount {
            sum: x.sum + y.sum,
            count: x.count + y.count,
        }),
        (x, y) => x.or(y),
    };
    Counters {
        prompt_tokens: sum(one.prompt_tokens, other.prompt_tokens),
        cached_tokens: sum(one.cached_tokens, other.cached_tokens),
        prefix_queries: sum(one.prefix_queries, other.prefix_queries),
        prefix_hits: sum(one.prefix_hits, other.prefix_hits),
        generation_tokens: sum(one.generation_tokens, other.generation_tokens),
        finished: sum(one.finished, other.finished),
        step_tokens: pair(one.step_tokens, other.step_tokens),
        ttft_s: pair(one.ttft_s, other.ttft_s),
        itl_s: pair(one.itl_s, other.itl_s),
        e2e_s: pair(one.e2e_s, other.e2e_s),
    }
}

fn sum(x: Option<f64>, y: Option<f64>) -> Option<f64> {
    x.zip(y).map(|(x, y)| x + y).or(x).or(y)
}

fn most(x: Option<f64>, y: Option<f64>) -> Option<f64> {
    x.zip(y).map(|(x, y)| x.max(y)).or(x).or(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn page(prompt_tokens: f64, finished: f64, running: f64) -> Sample {
        Sample {
            running: Some(running),
            kv_used: Some(running / 10.0),
            counters: Counters {
                prompt_tokens: Some(prompt_tokens),
                finished: Some(finished),
                ..Counters::default()
            },
            ..Sample::default()
        }
    }

    fn total(sample: &Sample) -> Option<f64> {
        sample.counters.prompt_tokens
    }

    /// Shows pages every 200 ms. Returns what each is taken for.
    fn shown(turns: &mut ByTurns, from_s: u64, pages: &[Sample]) -> Vec<Sample> {
        let at = |n| Duration::from_secs(from_s) + Duration::from_millis(200) * n;
        let pages = (0..).zip(pages);
        pages
            .map(|(n, page)| turns.take(at(n), page.clone()))
            .collect()
    }

    #[test]
    fn one_process_is_taken_as_it_is_also_when_it_starts_again_and_overtakes_itself() {
        let counts = [5.0, 5.0, 9.0, 0.0, 2.0, 8.0, 9.5, 10.0, 0.0, 0.0, 30.0];
        let pages: Vec<Sample> = counts.map(|count| page(count, count, 1.0)).into();
        assert_eq!(shown(&mut ByTurns::default(), 0, &pages), pages);
        let silent = vec![Sample::default(); 5];
        assert_eq!(shown(&mut ByTurns::default(), 0, &silent), silent);
    }

    #[test]
    fn processes_that_take_turns_add_up_from_the_first_return_on() {
        let mut turns = ByTurns::default();
        let pages = [
            page(100.0, 1.0, 1.0),
            page(9_000.0, 80.0, 5.0),
            page(150.0, 2.0, 2.0),
            page(9_100.0, 81.0, 5.0),
            page(160.0, 3.0, 2.0),
            page(9_200.0, 82.0, 4.0),
            page(160.0, 3.0, 0.0),
            page(50.0, 1.0, 1.0),
            page(9_200.0, 82.0, 4.0),
        ];
        let taken = shown(&mut turns, 0, &pages);
        let found: Vec<_> = taken.iter().map(total).collect();
        assert_eq!(found[..4], [100.0, 9_000.0, 150.0, 9_100.0].map(Some));
        assert_eq!(found[4..7], [None, Some(9_360.0), Some(9_360.0)]);
        assert_eq!(found[7..], [None, Some(9_410.0)], "a third one");
        assert_eq!((taken[5].running, taken[5].kv_used), (Some(6.0), Some(0.4)));
        assert_eq!((taken[8].running, taken[8].kv_used), (Some(5.0), Some(0.4)));
        // One goes on alone.
        let alone = page(9_300.0, 83.0, 4.0);
        let later = shown(&mut turns, 40, std::slice::from_ref(&alone));
        assert_eq!(later, [alone]);
    }

    #[test]
    fn processes_with_start_times_are_told_apart_by_them() {
        let of = |start_time_s, tokens| Sample {
            start_time_s: Some(start_time_s),
            ..page(tokens, 1.0, 1.0)
        };
        let pages = [of(1.0, 5.0), of(4.0, 7.0), of(1.0, 8.0), of(4.0, 8.0)];
        let taken = shown(&mut ByTurns::default(), 0, &pages);
        let found: Vec<_> = taken.iter().map(total).collect();
        assert_eq!(found, [Some(5.0), Some(7.0), None, Some(16.0)]);
        assert!(taken[2..].iter().all(|one| one.start_time_s.is_none()));
    }

    #[test]
    fn only_so_many_are_followed() {
        let mut turns = ByTurns::default();
        let pages: Vec<Sample> = (0..1_000)
            .map(|n| page(f64::from(1_000 - n), f64::from(n), 0.0))
            .collect();
        assert_eq!(shown(&mut turns, 0, &pages), pages);
        assert_eq!(turns.lines.len(), MOST);
    }
}
