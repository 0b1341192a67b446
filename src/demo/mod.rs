//! `trimtab demo` runs three load balancers side by side on the same arrivals.
//!
//! It takes arguments and shows a live view, a table and a report. It leaves no process behind. It
//! treats all lanes equally: same servers, same requests at the same times, same client.

mod args;
mod control;
mod envoy;
mod fleet;
mod lanes;
mod live;
mod policy;
mod report;
mod scenario;
mod stats;
mod traffic;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

pub use args::Args;

use crate::load::{Failure, Lane, Pace, Plan, drive};
use lanes::Setup;
use live::{LaneView, Phase, Screen};
use report::{ClientFigures, Report, ServerLine};
use stats::{LaneFigures, lateness_ms, percentile, sorted};
use traffic::Traffic;

/// How long to wait for answers under way after the measured time. An overloaded lane then has a
/// long queue. A shorter wait would hide its worst times.
const DRAIN: Duration = Duration::from_secs(90);
/// How long a lane that lags may send what was scheduled in the measured time.
const CATCH_UP_S: f64 = 10.0;
/// Assumed duration of answers in the schedule, as at the demo's load.
const PACE: Pace = Pace {
    ttft_s: 0.3,
    tpot_s: 0.03,
};
/// Times to first token of this last period are in the live view.
const RECENT: Duration = Duration::from_secs(10);

/// Runs the demo to its end, or until Ctrl-C or SIGTERM.
///
/// # Errors
/// Something cannot be started (the message says what to do), a report cannot be written, or the
/// run was interrupted.
pub fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        // When one branch ends, the other is dropped with every server and process that it started.
        tokio::select! {
            result = measure(args) => result,
            _ = tokio::signal::ctrl_c() => bail!("interrupted; everything that the demo started has ended"),
            _ = terminated.recv() => bail!("terminated; everything that the demo started has ended"),
        }
    })
}

async fn measure(args: &Args) -> Result<()> {
    let traffic = match &args.trace {
        Some(file) => traffic::traced(file, args.load, args.seed)?,
        None => traffic::mixed(args.load, args.seed)?,
    };
    let setup = Setup::start(args).await?;
    println!("{}", traffic.description);
    println!("{}", setup.description);
    println!(
        "the aggregator's view of the trimtab lane: trimtab table http://{} --watch",
        setup.control.address()
    );
    let Traffic {
        sessions,
        requests_per_s,
        name,
        ..
    } = traffic;

    let window = (
        args.warm_up.as_secs_f64(),
        (args.warm_up + args.measure).as_secs_f64(),
    );
    let start = Instant::now();
    let plan = Plan {
        start,
        stop_s: window.1,
        catch_up_s: CATCH_UP_S,
        drain: DRAIN,
        pace: PACE,
        model: scenario::MODEL.to_owned(),
        adapters: scenario::ADAPTERS.map(str::to_owned).to_vec(),
    };
    // Runs in a task of its own, so that drawing a view does not delay an arrival. Dropping the set
    // ends the task and every request of it.
    let mut driving = JoinSet::new();
    let lanes = setup.lanes.clone();
    driving.spawn(async move { drive(sessions, &lanes, plan).await });
    let mut screen = Screen::new(args.plain);
    let mut views = tokio::time::interval(Duration::from_secs_f64(screen.interval_s()));
    views.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            driven = driving.join_next() => {
                driven.transpose().context("the load client failed")?;
                break;
            }
            _ = views.tick() => show(&mut screen, start, window, &setup).await,
        }
    }
    let report = assemble(args, &setup, window, requests_per_s, name);
    print!("{}", report.table());
    if let Some(dir) = &args.report {
        report.write(dir)?;
        let file = dir.join("requests.csv");
        std::fs::write(&file, requests_csv(&setup))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("report: {}", dir.display());
    }
    setup.stop().await;
    Ok(())
}

/// Returns every request of every lane as CSV, including the warm-up, for closer analysis.
fn requests_csv(setup: &Setup) -> String {
    let mut out = "lane,session,turn,family,scheduled_s,sent_s,ttft_s,tpot_s,prompt_tokens,cached_tokens,output_tokens,endpoint,failure,decision\n".to_owned();
    for (lane, fleet) in setup.lanes.iter().zip(&setup.fleets) {
        lane.progress.with_records(|records| {
            for r in records {
                let number = |value: Option<f64>| {
                    value.map(|value| format!("{value:.6}")).unwrap_or_default()
                };
                let endpoint = r
                    .endpoint
                    .as_deref()
                    .map(|address| fleet.name_of(address))
                    .unwrap_or_default();
                let failure = r.failure.as_ref().map(Failure::label).unwrap_or_default();
                let decision = r.decision.as_deref().unwrap_or_default();
                // Writing to a String cannot fail.
                let _ = writeln!(
                    out,
                    "{},{},{},{},{:.4},{:.4},{},{},{},{},{},{endpoint},{failure},\"{decision}\"",
                    lane.name,
                    r.session,
                    r.turn,
                    r.family,
                    r.scheduled_s,
                    r.sent_s,
                    number(r.ttft_s),
                    number(r.tpot_s),
                    r.prompt_tokens,
                    r.cached_tokens,
                    r.output_tokens
                );
            }
        });
    }
    out
}

async fn show(screen: &mut Screen, start: Instant, window: (f64, f64), setup: &Setup) {
    let mut views = Vec::new();
    for (lane, fleet) in setup.lanes.iter().zip(&setup.fleets) {
        views.push(view(lane, fleet.loads().await));
    }
    let elapsed_s = start.elapsed().as_secs_f64();
    let phase = match elapsed_s {
        s if s < window.0 => Phase::WarmUp,
        s if s < window.1 => Phase::Measuring,
        _ => Phase::Draining,
    };
    screen.show(elapsed_s, phase, &views);
}

fn view(lane: &Lane, servers: Vec<(String, Option<(u32, u32)>)>) -> LaneView {
    let recent = Instant::now()
        .checked_sub(RECENT)
        .map(|since| lane.progress.recent_ttft_s(since));
    let recent = sorted(recent.unwrap_or_default().into_iter());
    let (done, errors, prompt, cached) = lane.progress.with_records(|records| {
        let sum = |of: fn(&crate::load::Record) -> u32| {
            records.iter().map(|r| f64::from(of(r))).sum::<f64>()
        };
        let errors = records
            .iter()
            .filter(|record| record.failure.is_some())
            .count();
        (
            records.len(),
            errors,
            sum(|r| r.prompt_tokens),
            sum(|r| r.cached_tokens),
        )
    });
    LaneView {
        name: lane.name.to_owned(),
        ttft_p50_s: percentile(&recent, 0.5),
        ttft_p99_s: percentile(&recent, 0.99),
        in_flight: lane.progress.in_flight(),
        done,
        errors,
        hit_ratio: if prompt > 0.0 { cached / prompt } else { 0.0 },
        servers,
    }
}

fn assemble(
    args: &Args,
    setup: &Setup,
    window: (f64, f64),
    requests_per_s: f64,
    workload: String,
) -> Report {
    let fast = scenario::fast_profile();
    let figures = |(lane, fleet): (&Arc<Lane>, &fleet::Fleet)| {
        let skipped = lane.progress.skipped(window);
        let of = lane.progress.with_records(|records| {
            LaneFigures::of(records, skipped, window, &fast, |a| fleet.name_of(a))
        });
        (lane.name.to_owned(), of)
    };
    let lanes: BTreeMap<_, _> = setup.lanes.iter().zip(&setup.fleets).map(figures).collect();
    let late = |lane: &Arc<Lane>| {
        lane.progress
            .with_records(|records| lateness_ms(records.iter()))
    };
    let worst = setup
        .lanes
        .iter()
        .map(late)
        .fold((0.0, 0.0), |a: (f64, f64), b| (a.0.max(b.0), a.1.max(b.1)));
    let servers = scenario::fleet().into_iter().map(|spec| ServerLine {
        profile: spec.profile.name,
        speed: spec.speed,
        kv_tokens: spec.effective_profile().kv_tokens(),
        name: spec.name,
    });
    Report {
        lanes,
        envoy: setup.envoy_version.clone(),
        seed: args.seed,
        commit: std::env::var("TRIMTAB_COMMIT")
            .ok()
            .filter(|commit| !commit.is_empty()),
        load: Some(args.load),
        workload,
        requests_per_s,
        warm_up_s: window.0,
        measured_s: args.measure.as_secs_f64(),
        servers: servers.collect(),
        slo: report::SLO,
        client: ClientFigures {
            send_delay_ms_p50: worst.0,
            send_delay_ms_p99: worst.1,
        },
    }
}
