//! Who refuses everybody rests as long as it asks. Who refuses one client loses that client's
//! requests and nobody else's.

use trimtab_pick::{Outcome, Ticket};

use crate::health::World;

fn refusal(retry_after_ms: impl Into<Option<u32>>) -> Outcome {
    let retry_after_ms = retry_after_ms.into();
    Outcome::Overloaded { retry_after_ms }
}

/// A client that an endpoint refuses, and another one.
const LIMITED: u32 = 7;
const OTHER: u32 = 8;

/// A pool in which the first endpoint would get all requests. It refuses one client.
struct Tenants {
    world: World,
    /// What the picker knows of the two clients.
    known_as: [u32; 2],
}

impl Tenants {
    fn new(known_as: [u32; 2]) -> Self {
        let mut tenants = Self {
            world: World::lasting(&[0.0, 900.0, 900.0]),
            known_as,
        };
        tenants.ask(true);
        tenants
    }

    /// Makes a request. Returns where it went.
    fn ask(&mut self, is_limited: bool) -> usize {
        let [limited, other] = self.known_as;
        self.world.client = if is_limited { limited } else { other };
        self.world.answers[0] = match is_limited {
            true => refusal(30_000),
            false => Outcome::Ok,
        };
        self.world.ask()
    }

    /// Makes `count` requests. Returns how many went to the first endpoint.
    fn ask_many(&mut self, is_limited: bool, count: usize) -> usize {
        (0..count).filter(|_| self.ask(is_limited) == 0).count()
    }
}

#[test]
fn who_refuses_everybody_rests_twice_as_long_each_time_up_to_what_it_asks() {
    for (retry_after_ms, rests_ms) in [
        (Some(2_000), [1_000, 2_000, 2_000, 2_000]),
        (Some(5_000), [1_000, 2_000, 4_000, 5_000]),
        (Some(300), [300; 4]),
        (None, [1_000; 4]),
    ] {
        let mut world = World::lasting(&[0.0, 9.0, 9.0]);
        world.answers[0] = refusal(retry_after_ms);
        for rest_ms in rests_ms {
            assert_eq!(world.ask_many(50)[0], 1, "{retry_after_ms:?}");
            assert_eq!(world.choose().left_out, 1);
            world.wait(rest_ms - 1);
            assert_eq!(world.ask_many(50)[0], 0, "{retry_after_ms:?} {rest_ms}");
            world.wait(1);
        }
        world.answers[0] = Outcome::Ok;
        assert_eq!(world.ask_many(50)[0], 50, "it is used at once");
    }
}

#[test]
fn in_ten_minutes_who_asks_for_a_minute_gets_a_request_per_minute_and_five_more() {
    let mut world = World::lasting(&[0.0, 9.0, 9.0]);
    world.answers[0] = refusal(u32::MAX);
    let mut asked_at = Vec::new();
    let start = world.now.0;
    while world.now.0 < start + 600_000 {
        if world.ask() == 0 {
            asked_at.push((world.now.0 - start) / 1_000);
        }
        world.wait(500);
    }
    assert_eq!(asked_at[..7], [0, 1, 3, 7, 15, 31, 63]);
    assert_eq!(asked_at.len(), 7 + (600 - 64) / 60);
}

#[test]
fn who_asks_for_nothing_does_not_rest() {
    let mut world = World::lasting(&[0.0, 9.0]);
    world.answers[0] = refusal(0);
    world.client = LIMITED;
    assert_eq!(world.ask_many(50)[0], 50);
}

#[test]
fn the_longest_rest_counts_from_when_it_began_and_a_failure_during_one_is_a_failure() {
    let mut world = World::lasting(&[0.0, 9.0, 9.0]);
    let mut tickets: Vec<Ticket> = (0..8).map(|_| world.send(0)).collect();
    let mut end = |world: &mut World, outcome| {
        let ticket = tickets.pop().unwrap();
        world.end(ticket, outcome);
    };
    for ms in [600, 100, 900] {
        end(&mut world, refusal(ms));
    }
    world.wait(899);
    end(&mut world, refusal(30_000));
    world.wait(100);
    assert_eq!(world.choose().left_out, 1);
    world.wait(1);
    assert_eq!(world.choose().left_out, 0, "a first rest is a second");
    end(&mut world, refusal(30_000));
    assert_eq!(world.choose().left_out, 0, "sent before the rest");
    let new = world.send(0);
    world.end(new, refusal(30_000));
    (0..3).for_each(|_| end(&mut world, Outcome::Reset));
    world.wait(4_999);
    assert_eq!(world.choose().left_out, 1, "ejected, not only at rest");
}

#[test]
fn after_a_second_a_refused_client_goes_elsewhere_and_all_others_do_not() {
    let mut tenants = Tenants::new([LIMITED, OTHER]);
    assert_eq!(tenants.ask_many(false, 50), 0, "nobody knows yet");
    tenants.world.wait(1_000);
    for n in 0..300 {
        assert_ne!(tenants.ask(true), 0, "{n}");
        assert_eq!(tenants.ask(false), 0, "{n}");
        tenants.world.wait(3);
    }
    // The client is tried again after 2, 4, 8, 16 s and then every 30 s.
    let mut refused = 0;
    for _ in 0..1_200 {
        refused += tenants.ask_many(true, 1);
        assert_eq!(tenants.ask(false), 0);
        tenants.world.wait(100);
    }
    assert_eq!(refused, 4 + (120 - 30) / 30);
    assert_eq!(tenants.world.choose().left_out, 0);
}

#[test]
fn clients_that_look_alike_lose_an_endpoint_only_until_it_has_served_one_of_them() {
    for known_as in [[0, 0], [LIMITED, LIMITED]] {
        let mut tenants = Tenants::new(known_as);
        assert_eq!(tenants.ask_many(false, 50), 0);
        tenants.world.wait(2_000);
        for n in 0..100 {
            assert_eq!(tenants.ask(false), 0, "{known_as:?} {n}");
            assert_eq!(tenants.ask_many(true, 8), 8, "nobody rests for a few");
            tenants.world.wait(400);
        }
        assert_eq!(
            tenants.ask_many(true, 50),
            1,
            "many in a row are another thing"
        );
        tenants.world.wait(1_000);
        assert_eq!(tenants.ask(false), 0);
    }
}

#[test]
fn who_has_served_nobody_for_a_minute_rests_again() {
    let mut tenants = Tenants::new([0, 0]);
    tenants.world.wait(1_000);
    assert_eq!(tenants.ask(false), 0);
    tenants.world.wait(59_999);
    assert_eq!(tenants.ask_many(true, 3), 3);
    tenants.world.wait(1);
    assert_eq!(tenants.ask_many(true, 50), 1);
}

#[test]
fn a_success_of_a_request_that_was_sent_before_shows_nothing() {
    let mut world = World::lasting(&[0.0, 9.0, 9.0]);
    let old: Vec<Ticket> = (0..2).map(|_| world.send(0)).collect();
    world.answers[0] = refusal(60_000);
    for rest_ms in [1_000, 2_000, 4_000] {
        assert_eq!(world.ask_many(50)[0], 1);
        world.wait(rest_ms);
    }
    for ticket in old {
        world.end(ticket, Outcome::Ok);
    }
    assert_eq!(world.ask_many(50)[0], 1);
    world.wait(7_999);
    assert_eq!(world.choose().left_out, 1);
}

#[test]
fn an_error_that_is_the_clients_rests_nothing_and_is_no_success() {
    let mut world = World::lasting(&[0.0, 9.0, 9.0]);
    world.answers[0] = Outcome::Rejected;
    assert_eq!(world.ask_many(50)[0], 50);
    let reject = |world: &mut World| {
        let ticket = world.send(0);
        world.end(ticket, Outcome::Rejected);
    };
    world.answers[0] = refusal(60_000);
    for rest_ms in [1_000, 2_000, 4_000] {
        assert_eq!(world.ask_many(50)[0], 1);
        reject(&mut world);
        world.wait(rest_ms - 1);
        assert_eq!(world.choose().left_out, 1, "{rest_ms}");
        world.wait(1);
        reject(&mut world);
    }
    let mut world = World::lasting(&[0.0, 9.0, 9.0]);
    for left_out in [0, 0, 1] {
        let ticket = world.send(0);
        world.end(ticket, Outcome::ServerError);
        reject(&mut world);
        assert_eq!(world.choose().left_out, left_out);
    }
}

#[test]
fn with_all_endpoints_refusing_a_client_all_are_used() {
    let mut world = World::lasting(&[0.1; 4]);
    world.answers = vec![refusal(30_000); 4];
    world.client = LIMITED;
    let got = world.ask_many(200);
    assert!(got.iter().all(|count| *count > 20), "{got:?}");
    world.answers = vec![Outcome::Ok; 4];
    world.client = OTHER;
    let got = world.ask_many(400);
    assert!(got.iter().all(|count| *count > 60), "{got:?}");
    assert_eq!(world.choose().left_out, 0);
}
