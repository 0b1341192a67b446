//! Pace, in tokio's paused time. Durations are exact to the timer's millisecond.

use super::*;
use trimtab_engine::Profile;

struct Rig {
    commands: mpsc::UnboundedSender<Command>,
    observed: Arc<Mutex<Observed>>,
    profile: Profile,
}

impl Rig {
    fn start(profile: Profile) -> Self {
        let observed = Arc::new(Mutex::new(Observed::new(32_768)));
        let (commands, receiver) = mpsc::unbounded_channel();
        let engine = Engine::new(profile.clone()).unwrap();
        tokio::spawn(Driver::new(engine, receiver, observed.clone(), Arc::default()).run());
        Self {
            commands,
            observed,
            profile,
        }
    }

    fn submit(&self, id: u64, prompt_tokens: u32, output_tokens: u32) -> Arc<Call> {
        let call = Arc::new(Call::new(1));
        let request = Request {
            id,
            prompt_tokens,
            output_tokens,
            chain: vec![],
            adapter: None,
        };
        let submission = Submission {
            request,
            call: call.clone(),
            part: 0,
            arrived: Instant::now(),
            max_tokens: output_tokens,
            n: 1,
            finish: Finish::Length,
        };
        self.commands
            .send(Command::Submit(vec![submission]))
            .unwrap();
        call
    }

    fn counters(&self) -> trimtab_engine::Counters {
        observed(&self.observed).counters
    }
}

/// Returns the seconds until `call` has `tokens`.
async fn until(call: &Call, tokens: u32) -> f64 {
    let begun = Instant::now();
    std::future::poll_fn(|context| {
        call.register(context);
        if call.produced(0) >= tokens {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    begun.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_takes_the_sum_of_its_steps_and_not_a_timer_tick_more() {
    let rig = Rig::start(Profile::named("h100").unwrap());
    let call = rig.submit(1, 512, 1_000);
    let took_s = until(&call, 1_000).await;
    let busy_s = rig.counters().busy_s;
    // A thousand sleeps of 6.6 ms would add 0.4 s if each were rounded up to a millisecond.
    assert!(
        (took_s - busy_s).abs() < 0.002,
        "took {took_s}, steps sum to {busy_s}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_does_not_save_up_time() {
    let rig = Rig::start(Profile::named("h100").unwrap());
    until(&rig.submit(1, 512, 2), 2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let took_s = until(&rig.submit(2, 512, 2), 2).await;
    let least_s = 2.0 * rig.profile.step_base_s;
    assert!(
        took_s > least_s,
        "took {took_s} after a pause, two steps take at least {least_s}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_arrives_in_a_step_waits_for_its_end() {
    let profile = Profile {
        step_base_s: 1.0,
        ..Profile::named("h100").unwrap()
    };
    let rig = Rig::start(profile);
    let first = rig.submit(1, 16, 2);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let second = rig.submit(2, 16, 1);
    let took_s = until(&second, 1).await;
    assert!((1.5..1.51).contains(&took_s), "took {took_s}");
    assert_eq!(first.produced(0), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_leaves_the_engine_and_is_counted_as_abort() {
    let rig = Rig::start(Profile::named("h100").unwrap());
    let call = rig.submit(1, 512, 1_000);
    until(&call, 3).await;
    rig.commands.send(Command::Cancel(1..2)).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(call.has_failed() && call.produced(0) < 1_000);
    let observed = observed(&rig.observed);
    assert_eq!(
        (
            observed.gauges.running,
            observed.gauges.kv_blocks_used,
            observed.counters.cancelled
        ),
        (0, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_server_goes_every_call_is_told() {
    let rig = Rig::start(Profile::named("h100").unwrap());
    let observed = Arc::new(Mutex::new(Observed::new(1_024)));
    let (commands, receiver) = mpsc::unbounded_channel();
    let engine = Engine::new(rig.profile.clone()).unwrap();
    let driver = tokio::spawn(Driver::new(engine, receiver, observed, Arc::default()).run());
    let other = Rig { commands, ..rig };
    let call = other.submit(1, 512, 1_000);
    until(&call, 1).await;
    driver.abort();
    let _ = driver.await;
    assert!(call.has_failed());
}
