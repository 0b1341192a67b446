//! Makes runs on all cores.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result};
use trimtab_sim::batch::Job;
use trimtab_sim::report::Digest;
use trimtab_sim::{Invalid, Rule, Run, Scenario};

/// One run to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'s> {
    /// Number of the scenario's file.
    pub(super) at: usize,
    pub(super) scenario: &'s Scenario,
    pub(super) job: Job,
}

/// The function that makes a run. The real one is [`trimtab_sim::run`].
pub(super) type Simulate<'f> =
    dyn Fn(&Scenario, Rule, f64, u64) -> Result<Run, Invalid> + Sync + 'f;

/// Makes every run on `threads` threads.
///
/// `done` gets the number of each task and its figures, on the calling thread, in the order in
/// which the tasks end. The first error of a run or of `done` stops all tasks that have not begun.
///
/// Threads take tasks from a counter: a free thread takes the next task. Rejected: a channel of
/// tasks.
pub(super) fn run(
    tasks: &[Task<'_>],
    threads: usize,
    simulate: &Simulate<'_>,
    done: &mut dyn FnMut(usize, Digest) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, tasks.len().max(1)) {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(number) else {
                        break;
                    };
                    // Only the figures leave the thread. The requests of all runs together would
                    // not fit into memory.
                    let digest = one(task, simulate);
                    if sender.send((number, digest)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (number, digest) in &receiver {
            let taken = digest.and_then(|digest| done(number, digest));
            if taken.is_err() {
                stop.store(true, Ordering::Relaxed);
                return taken;
            }
        }
        Ok(())
    })
}

fn one(task: &Task<'_>, simulate: &Simulate<'_>) -> Result<Digest> {
    let Job {
        rule, load, seed, ..
    } = task.job;
    simulate(task.scenario, rule, load, seed)
        .map(|run| Digest::of(&run))
        .with_context(|| {
            let name = &task.scenario.name;
            format!("{name}: {} at load {load}, seed {seed}", rule.as_str())
        })
}
