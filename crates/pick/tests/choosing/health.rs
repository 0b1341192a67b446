//! Failing endpoints are left out and come back by steps, and there is always one to choose.

use std::rc::Rc;

use trimtab_pick::{
    Config, Decision, EndpointLoad, Millis, Outcome, Picker, PoolFacts, Request, Rng, Snapshot,
    Ticket,
};

use crate::pool::{NOW, conversation, first, home, plain, pool, prefix};

/// A picker, and servers with given answers.
pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) picker: Picker,
    rng: Rng,
    endpoints: Vec<EndpointLoad>,
    pub(crate) answers: Vec<Outcome>,
    /// Who asks.
    pub(crate) client: u32,
}

impl World {
    /// The same with a table that never grows old, so that [`Self::wait`] suffices.
    pub(crate) fn lasting(waits: &[f32]) -> Self {
        let config = Config {
            table_max_age_ms: u64::MAX,
            ..Config::default()
        };
        Self::with(waits, config)
    }

    /// Lets time pass without a new table.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now.0 += ms;
    }

    fn new(waits: &[f32]) -> Self {
        Self::with(waits, Config::default())
    }

    fn with(waits: &[f32], config: Config) -> Self {
        let mut world = Self {
            now: NOW,
            picker: Picker::new(config),
            rng: Rng::new(3),
            endpoints: pool(waits),
            answers: vec![Outcome::Ok; waits.len()],
            client: 0,
        };
        world.pass(0);
        world
    }

    /// Lets time pass. Then the same table comes again.
    fn pass(&mut self, ms: u64) {
        self.now.0 += ms;
        let snapshot = Snapshot::new(self.endpoints.clone(), PoolFacts::default(), self.now);
        self.picker.on_table(Rc::new(snapshot), None);
    }

    fn request(&self) -> Request {
        Request {
            client: self.client,
            ..plain()
        }
    }

    pub(crate) fn choose(&mut self) -> Decision {
        let request = self.request();
        self.picker.choose(self.now, &mut self.rng, &request)
    }

    pub(crate) fn send(&mut self, to: usize) -> Ticket {
        let (id, request) = (self.endpoints[to].id, self.request());
        self.picker.on_sent(self.now, id, &request.into())
    }

    pub(crate) fn end(&mut self, mut ticket: Ticket, outcome: Outcome) {
        if outcome == Outcome::Ok {
            self.picker.on_first_byte(self.now, &mut ticket);
        }
        self.picker.on_outcome(self.now, &mut ticket, outcome);
        self.picker.on_done(ticket);
    }

    /// Makes one request from decision to end. Returns where it went.
    pub(crate) fn ask(&mut self) -> usize {
        let to = first(&self.choose());
        let ticket = self.send(to);
        self.end(ticket, self.answers[to]);
        to
    }

    /// Returns how many of `count` requests each endpoint gets.
    pub(crate) fn ask_many(&mut self, count: usize) -> Vec<usize> {
        let mut got = vec![0; self.endpoints.len()];
        for _ in 0..count {
            got[self.ask()] += 1;
        }
        got
    }
}

#[test]
fn a_failing_endpoint_gets_three_requests_and_one_that_cannot_be_reached_two() {
    for (outcome, expected) in [
        (Outcome::ServerError, 3),
        (Outcome::Reset, 3),
        (Outcome::ConnectFailure, 2),
    ] {
        // This endpoint has no work, so its wait is the shortest.
        let mut world = World::new(&[0.0, 9.0, 9.0, 9.0]);
        world.answers[0] = outcome;
        assert_eq!(world.ask_many(100)[0], expected, "{outcome:?}");
        let decision = world.choose();
        assert_eq!(decision.left_out, 1);
        assert!(
            !decision.choices.as_slice().contains(&0),
            "not for a retry either: {decision:?}"
        );
    }
}

#[test]
fn failures_with_successes_between_them_eject_nobody() {
    let mut world = World::new(&[0.0, 9.0, 9.0]);
    for number in 0..100 {
        world.answers[0] = match number % 3 {
            2 => Outcome::Ok,
            _ => Outcome::ServerError,
        };
        assert_eq!(world.ask(), 0);
    }
}

#[test]
fn after_the_ejection_one_request_at_a_time_is_tried_and_each_failure_doubles_it() {
    let mut world = World::new(&[0.0, 9.0, 9.0]);
    world.answers[0] = Outcome::ServerError;
    assert_eq!(world.ask_many(50)[0], 3);
    for ejection_ms in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
        world.pass(ejection_ms - 1);
        assert_eq!(world.ask_many(50)[0], 0, "{ejection_ms}");
        world.pass(1);
        let trial = world.send(0);
        assert!(trial.is_probe());
        assert_eq!(world.ask_many(50)[0], 0, "one at a time");
        world.end(trial, Outcome::ServerError);
        assert_eq!(world.ask_many(50)[0], 0);
    }
}

#[test]
fn a_request_that_shows_nothing_makes_room_for_the_next_and_a_silent_one_does_so_in_time() {
    let mut world = World::new(&[0.0, 9.0, 9.0]);
    world.answers[0] = Outcome::ConnectFailure;
    world.ask_many(50);
    world.pass(5_000);
    let given_up = world.send(0);
    assert_eq!(world.choose().left_out, 1);
    world.picker.on_done(given_up);
    assert_eq!(first(&world.choose()), 0);
    let silent = world.send(0);
    world.pass(29_999);
    assert_eq!(world.choose().left_out, 1);
    world.pass(1);
    assert_eq!(first(&world.choose()), 0);
    world.picker.on_done(silent);
}

#[test]
fn a_recovered_endpoint_gets_a_share_that_grows_and_then_all_that_is_its_own() {
    let mut world = World::new(&[0.0, 9.0, 9.0]);
    world.answers[0] = Outcome::ServerError;
    world.ask_many(50);
    world.answers[0] = Outcome::Ok;
    world.pass(5_000);
    assert_eq!(world.ask(), 0, "the trial");
    let mut shares = Vec::new();
    for _ in 0..5 {
        shares.push(world.ask_many(400)[0]);
        world.pass(2_500);
    }
    // A tenth, a quarter, half, three quarters and all of 400. Four standard deviations are at most
    // 40.
    for (found, expected) in shares.iter().zip([40, 100, 200, 300, 400]) {
        assert!(usize::abs_diff(*found, expected) <= 40, "{shares:?}");
    }
    assert_eq!(shares[4], 400);
    // After this long the past is forgotten: the next ejection counts as the first.
    world.pass(60_000);
    world.answers[0] = Outcome::ServerError;
    assert_eq!(world.ask_many(50)[0], 3);
    world.pass(5_000);
    assert_eq!(world.ask(), 0);
}

#[test]
fn no_more_than_half_are_ever_left_out_and_all_are_used_when_more_fail() {
    for size in 1..=6 {
        let mut world = World::new(&vec![0.1; size]);
        world.answers = vec![Outcome::ServerError; size];
        let got = world.ask_many(200);
        assert!(got.iter().all(|count| *count > 0), "{size}: {got:?}");
        let last = world.ask_many(200 * size);
        assert_eq!(world.choose().left_out, 0, "{size}");
        let least = last.iter().min().unwrap();
        assert!(*least > 50, "still spread over all: {last:?}");
        for failing in 0..size {
            let mut world = World::new(&vec![0.1; size]);
            let fail = |world: &mut World, at| {
                for _ in 0..3 {
                    let ticket = world.send(at);
                    world.end(ticket, Outcome::Reset);
                }
            };
            (0..=failing).for_each(|at| fail(&mut world, at));
            let left_out = world.choose().left_out as usize;
            let expected = if 2 * (failing + 1) > size {
                0
            } else {
                failing + 1
            };
            assert_eq!(left_out, expected, "{failing} of {size}");
        }
    }
}

#[test]
fn when_all_failed_and_recover_all_are_back_at_once() {
    let mut world = World::new(&[0.1; 4]);
    world.answers = vec![Outcome::ConnectFailure; 4];
    world.ask_many(100);
    world.answers = vec![Outcome::Ok; 4];
    // Their ejections last longer than this. Two recoveries are enough to end the panic.
    let got = world.ask_many(400);
    assert!(got.iter().all(|count| *count > 20), "{got:?}");
    assert_eq!(world.choose().left_out, 0);
}

#[test]
fn conversations_and_prefixes_of_an_ejected_endpoint_have_another_place_until_it_is_back() {
    let endpoints = pool(&[0.0; 6]);
    let mut world = World::new(&[0.0; 6]);
    let (talk, shared) = (conversation(7, 6_000, 5_000), prefix(8, 6_000, 5_000));
    let at_home = home(&endpoints, 7);
    let rank = first(&world.picker.choose(NOW, &mut world.rng, &shared));
    for at in [at_home, rank] {
        for _ in 0..2 {
            let ticket = world.send(at);
            world.end(ticket, Outcome::ConnectFailure);
        }
    }
    let mut stand_ins = Vec::new();
    for _ in 0..40 {
        let turn = first(&world.picker.choose(world.now, &mut world.rng, &talk));
        assert!(turn != at_home && turn != rank);
        stand_ins.push(first(&world.picker.choose(
            world.now,
            &mut world.rng,
            &shared,
        )));
    }
    assert!(
        stand_ins
            .iter()
            .all(|at| *at == stand_ins[0] && *at != rank),
        "{stand_ins:?}"
    );
    // A turn that was sent elsewhere is found there, even when the first place is back.
    let id = world.endpoints[stand_ins[0]].id;
    let ticket = world.picker.on_sent(world.now, id, &talk.into());
    world.end(ticket, Outcome::Ok);
    let again = first(&world.picker.choose(world.now, &mut world.rng, &talk));
    assert_eq!(again, stand_ins[0]);
}

#[test]
fn without_a_fresh_table_the_failing_are_left_out_too() {
    let mut world = World::new(&[0.0; 4]);
    for _ in 0..3 {
        let ticket = world.send(2);
        world.end(ticket, Outcome::ServerError);
    }
    world.now.0 += 4_000;
    for number in 0..200 {
        let request = if number % 2 == 0 {
            plain()
        } else {
            prefix(number, 500, 400)
        };
        let decision = world.picker.choose(world.now, &mut world.rng, &request);
        assert!(!decision.choices.as_slice().contains(&2), "{decision:?}");
    }
}

#[test]
fn a_clock_that_steps_back_makes_an_ejection_no_longer_than_it_was() {
    let mut world = World::new(&[0.0, 9.0, 9.0]);
    world.answers[0] = Outcome::ServerError;
    world.ask_many(50);
    world.now = Millis(7);
    world.pass(0);
    assert_eq!(world.choose().left_out, 1);
    world.pass(5_000);
    assert_eq!(first(&world.choose()), 0, "probation");
}

#[test]
fn with_an_ejection_of_nothing_nobody_is_ever_left_out() {
    let config = Config {
        max_ejection_ms: 0,
        ..Config::default()
    };
    let mut world = World::with(&[0.0, 9.0, 9.0], config);
    for outcome in [
        Outcome::ServerError,
        Outcome::Overloaded {
            retry_after_ms: Some(9_000),
        },
    ] {
        world.answers[0] = outcome;
        assert_eq!(world.ask_many(50)[0], 50);
    }
}

#[test]
fn no_more_endpoints_are_remembered_than_there_is_room_for() {
    let mut world = World::new(&[0.1; 4]);
    for number in 0..20_000_u64 {
        let id = trimtab_pick::EndpointId(number);
        for _ in 0..3 {
            let mut ticket = world.picker.on_sent(world.now, id, &plain().into());
            world
                .picker
                .on_outcome(world.now, &mut ticket, Outcome::Reset);
            world.picker.on_done(ticket);
        }
    }
    // Endpoints of no table do not count against those of this one.
    assert_eq!(world.choose().left_out, 0);
    world.answers[0] = Outcome::ServerError;
    let got = world.ask_many(400)[0];
    assert!(got > 50, "there is no room to remember it: {got}");
    world.pass(5_000);
    world.pass(60_000);
    let _ = world.choose();
    assert_eq!(world.picker.own_work().count(), 0);
}
