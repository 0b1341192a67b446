//! What a decision must be, against closed forms and naive counts.

use std::rc::Rc;

use trimtab_pick::{
    Adapter, Config, Conversation, Decision, EndpointId, EndpointLoad, Millis, Picker, PoolFacts,
    Prefix, Reason, Request, Rng, Snapshot, State,
};

const NOW: Millis = Millis(50_000);
/// Prompt tokens per second of every endpoint here, so that 1,000 tokens are 0.1 s.
const SPEED: f32 = 10_000.0;

fn endpoint(number: u64, wait_s: f32) -> EndpointLoad {
    EndpointLoad {
        id: EndpointId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555),
        state: State::Ready,
        wait_s: Some(wait_s),
        waiting: None,
        running: None,
        prefill_tokens_per_s: Some(SPEED),
        decode_s_per_sequence: Some(0.0),
        speed: Some(1.0),
        adapters: Some(Vec::new()),
        age_ms: 0,
    }
}

fn pool(waits: &[f32]) -> Vec<EndpointLoad> {
    (0..)
        .zip(waits)
        .map(|(number, wait_s)| endpoint(number, *wait_s))
        .collect()
}

/// A picker whose table came just now.
fn picker(endpoints: Vec<EndpointLoad>) -> Picker {
    let mut picker = Picker::new(Config::default());
    picker.on_table(Rc::new(Snapshot::new(endpoints, PoolFacts::default(), NOW)));
    picker
}

fn plain() -> Request {
    Request {
        prompt_tokens: Some(100),
        ..Request::default()
    }
}

fn first(decision: &Decision) -> usize {
    decision.choices.as_slice()[0] as usize
}

/// How often each endpoint is the first choice in `runs` decisions.
fn shares(picker: &mut Picker, request: &Request, runs: usize) -> Vec<f64> {
    let mut counts = vec![0.0; picker.snapshot().map_or(0, |table| table.endpoints().len())];
    let mut rng = Rng::new(11);
    for _ in 0..runs {
        counts[first(&picker.choose(NOW, &mut rng, request))] += 1.0;
    }
    counts
        .iter()
        .map(|count: &f64| count / runs as f64)
        .collect()
}

/// Where the conversation `key` lives: free of load, a long history decides.
fn home(endpoints: &[EndpointLoad], key: u64) -> usize {
    let idle = endpoints
        .iter()
        .map(|e| EndpointLoad {
            wait_s: Some(0.0),
            ..e.clone()
        })
        .collect();
    let request = conversation(key, 100_000, 100_000);
    first(&picker(idle).choose(NOW, &mut Rng::new(0), &request))
}

fn conversation(key: u64, prompt_tokens: u32, history_tokens: u32) -> Request {
    Request {
        prompt_tokens: Some(prompt_tokens),
        conversation: Some(Conversation {
            key,
            history_tokens,
        }),
        ..Request::default()
    }
}

fn prefix(key: u64, prompt_tokens: u32, tokens: u32) -> Request {
    Request {
        prompt_tokens: Some(prompt_tokens),
        prefix: Some(Prefix { key, tokens }),
        ..Request::default()
    }
}

#[test]
fn without_a_table_or_without_endpoints_there_is_no_opinion() {
    let mut rng = Rng::new(1);
    let decision = Picker::new(Config::default()).choose(NOW, &mut rng, &plain());
    assert_eq!(
        (decision.reason, decision.choices.as_slice()),
        (Reason::NoTable, &[][..])
    );
    let decision = picker(Vec::new()).choose(NOW, &mut rng, &plain());
    assert_eq!(
        (decision.reason, decision.choices.as_slice()),
        (Reason::NoEndpoints, &[][..])
    );
    let draining = EndpointLoad {
        state: State::Draining,
        ..endpoint(0, 0.0)
    };
    let decision = picker(vec![draining]).choose(NOW, &mut rng, &plain());
    assert_eq!(
        (decision.reason, decision.choices.as_slice()),
        (Reason::NoEndpoints, &[][..])
    );
}

#[test]
fn of_two_draws_the_cheaper_is_taken_and_they_are_never_the_same() {
    // Of the 6 pairs of 4 endpoints the quietest wins the 3 that it is in, and so on; the busiest wins none.
    let waits = [0.2, 20.0, 0.0, 1.0];
    let shares = shares(&mut picker(pool(&waits)), &plain(), 20_000);
    for (share, expected) in shares.iter().zip([2.0, 0.0, 3.0, 1.0]) {
        assert!((share - expected / 6.0).abs() < 0.015, "{shares:?}");
    }
    assert_eq!(shares[1], 0.0);
}

#[test]
fn an_endpoint_far_behind_is_never_taken_when_the_pool_is_weighed_in_full() {
    for endpoints in 2..=4_usize {
        for behind in 0..endpoints {
            let mut rows = pool(&vec![0.0; endpoints]);
            rows[behind].wait_s = Some(20.0);
            // A fast one is drawn more often, but not twice.
            rows[behind].speed = Some(16.0);
            let mut picker = picker(rows);
            let mut rng = Rng::new(endpoints as u64);
            for key in 0..2_000 {
                let keyed = Request {
                    prefix: prefix(key, 100, 50).prefix,
                    ..conversation(!key, 100, 60)
                };
                for request in [plain(), conversation(key, 100, 60), keyed] {
                    let decision = picker.choose(NOW, &mut rng, &request);
                    assert_ne!(first(&decision), behind, "of {endpoints}: {decision:?}");
                    let own_ranks = u32::from(request.conversation.is_some());
                    let most = u32::try_from(endpoints).unwrap();
                    assert!(
                        decision.candidates >= most.min(2 + own_ranks),
                        "{decision:?}"
                    );
                    assert!(decision.candidates <= most);
                }
            }
        }
    }
}

#[test]
fn draws_that_leave_some_out_are_in_proportion_to_speed() {
    // Speeds 1, 1, 2, 12 and no wait: the first choice is the first draw, the second choice the second.
    let speeds = [1.0, 1.0, 2.0, 12.0];
    let mut endpoints = pool(&[0.0; 4]);
    for (endpoint, speed) in endpoints.iter_mut().zip(speeds) {
        endpoint.speed = Some(speed as f32);
    }
    let mut picker = picker(endpoints);
    let (mut rng, runs, total) = (Rng::new(2), 100_000, 16.0);
    let mut pairs = [[0.0; 4]; 4];
    for _ in 0..runs {
        let decision = picker.choose(NOW, &mut rng, &plain());
        let choices = decision.choices.as_slice();
        pairs[choices[0] as usize][choices[1] as usize] += 1.0 / f64::from(runs);
    }
    for (a, b) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))) {
        let rest = total - speeds[a];
        let fair = if a == b {
            0.0
        } else {
            speeds[a] / total * speeds[b] / rest
        };
        // Four standard deviations of a share of one half are 0.0063.
        assert!((pairs[a][b] - fair).abs() < 0.0065, "{a}, {b}: {pairs:?}");
    }
}

#[test]
fn equal_endpoints_share_alike_and_faster_ones_get_more() {
    let share = shares(&mut picker(pool(&[0.0; 8])), &plain(), 40_000);
    assert!(
        share.iter().all(|share| (share - 0.125).abs() < 0.01),
        "{share:?}"
    );
    // Speeds 1 and 3, equal costs: a draw is the answer with the chance of its speed.
    let mut endpoints = pool(&[0.0, 0.0]);
    endpoints[1].speed = Some(3.0);
    let share = shares(&mut picker(endpoints), &plain(), 40_000);
    assert!((share[1] - 0.75).abs() < 0.015, "{share:?}");
}

#[test]
fn a_conversation_stays_home_exactly_as_long_as_its_history_is_worth_the_wait() {
    let endpoints = pool(&[0.0; 12]);
    for key in 0..20 {
        let home = home(&endpoints, key);
        // 2,000 cached tokens save 5 x 0.2 s.
        for (wait_s, stays) in [(0.99, true), (1.01, false)] {
            let mut endpoints = endpoints.clone();
            endpoints[home].wait_s = Some(wait_s);
            let mut picker = picker(endpoints);
            for seed in 0..20 {
                let decision =
                    picker.choose(NOW, &mut Rng::new(seed), &conversation(key, 3_000, 2_000));
                assert_eq!(decision.candidates, 3);
                assert_eq!(first(&decision) == home, stays, "waits {wait_s} s");
                let expected = if stays {
                    Reason::Conversation
                } else {
                    Reason::Spill
                };
                assert_eq!(decision.reason, expected);
            }
        }
    }
}

#[test]
fn a_prefix_gathers_on_its_first_rank_and_then_on_its_second() {
    let endpoints = pool(&[0.0; 12]);
    let request = prefix(77, 3_000, 2_000);
    let home = shares(&mut picker(endpoints.clone()), &request, 500)
        .iter()
        .position(|s| *s == 1.0)
        .unwrap();
    // The second rank is charged 0.3 of 0.2 s, any other place five times 0.2 s.
    let with = |wait_s| {
        let mut endpoints = endpoints.clone();
        endpoints[home].wait_s = Some(wait_s);
        shares(&mut picker(endpoints), &request, 500)
    };
    assert_eq!(with(0.059)[home], 1.0);
    let beyond = with(0.061);
    let second = beyond.iter().position(|share| *share > 0.9).unwrap();
    assert_ne!(second, home);
    let decision = picker(endpoints).choose(NOW, &mut Rng::new(1), &request);
    assert_eq!(
        &decision.choices.as_slice()[..2],
        &[home as u32, second as u32]
    );
    assert_eq!(decision.reason, Reason::Prefix);
}

#[test]
fn one_prefix_under_two_adapters_is_two_prefixes() {
    let endpoints = pool(&[0.0; 200]);
    let at = |adapter| {
        let adapter = Some(Adapter {
            key: adapter,
            index: None,
        });
        let request = Request {
            adapter,
            ..prefix(5, 50_000, 50_000)
        };
        first(&picker(endpoints.clone()).choose(NOW, &mut Rng::new(1), &request))
    };
    assert_ne!(at(1), at(2));
}

#[test]
fn an_adapter_goes_where_it_is_resident_and_else_where_it_is_meant_to_live() {
    let request = Request {
        adapter: Some(Adapter {
            key: 3,
            index: Some(0),
        }),
        ..plain()
    };
    let decision = picker(pool(&[0.0; 50])).choose(NOW, &mut Rng::new(1), &request);
    assert_eq!(decision.reason, Reason::Adapter);
    // The second rank is charged 1.3 loads, draws five.
    let (home, second) = (first(&decision), decision.choices.as_slice()[1] as usize);
    assert_eq!(
        shares(&mut picker(pool(&[0.0; 50])), &request, 2_000)[home],
        1.0
    );
    let mut endpoints = pool(&[0.0; 50]);
    endpoints[second].adapters = Some(vec![0]);
    assert_eq!(
        shares(&mut picker(endpoints.clone()), &request, 2_000)[second],
        1.0
    );
    // A server that does not say what it holds gains nothing by that.
    endpoints[home].adapters = None;
    assert_eq!(shares(&mut picker(endpoints), &request, 2_000)[second], 1.0);
}

#[test]
fn own_requests_count_until_a_table_has_seen_them() {
    let mut picker = picker(pool(&[0.0, 0.5]));
    // 10,000 tokens are one second of prefill: more than the other one's wait.
    let long = Request {
        prompt_tokens: Some(10_000),
        ..Request::default()
    };
    let id = |index: usize, picker: &Picker| picker.snapshot().unwrap().endpoints()[index].id;
    let ticket = picker.on_sent(Millis(NOW.0 + 10), id(0, &picker), &long);
    assert_eq!(shares(&mut picker, &plain(), 500), [0.0, 1.0]);
    // A table that came later but was taken before the send has not seen it; one taken after has.
    for (age_ms, expected) in [(200, [0.0, 1.0]), (20, [1.0, 0.0])] {
        let rows = pool(&[0.0, 0.5])
            .into_iter()
            .map(|row| EndpointLoad { age_ms, ..row })
            .collect();
        picker.on_table(Rc::new(Snapshot::new(
            rows,
            PoolFacts::default(),
            Millis(NOW.0 + 100),
        )));
        let share = shares(&mut picker, &plain(), 500);
        assert_eq!(share, expected, "rows of {age_ms} ms");
    }
    picker.on_done(NOW, ticket);
}

#[test]
fn a_burst_between_two_tables_is_spread_over_the_pool() {
    let mut picker = picker(pool(&[0.0; 10]));
    let mut rng = Rng::new(3);
    let mut counts = [0_u32; 10];
    let mut tickets = Vec::new();
    for _ in 0..1_000 {
        let index = first(&picker.choose(NOW, &mut rng, &plain()));
        counts[index] += 1;
        let id = picker.snapshot().unwrap().endpoints()[index].id;
        tickets.push(picker.on_sent(NOW, id, &plain()));
    }
    // Two choices on exact counts: the fullest is ahead of the mean by about log2(log2(10)), against 25 at random.
    assert!(
        counts.iter().all(|count| (95..=105).contains(count)),
        "{counts:?}"
    );
    tickets
        .into_iter()
        .for_each(|ticket| picker.on_done(NOW, ticket));
}

#[test]
fn a_suspect_endpoint_is_used_only_when_none_is_ready() {
    let mut endpoints = pool(&[0.0, 3.0]);
    endpoints[0].state = State::Suspect;
    let decision = picker(endpoints.clone()).choose(NOW, &mut Rng::new(1), &plain());
    assert_eq!(
        (decision.choices.as_slice(), decision.reason),
        (&[1][..], Reason::Single)
    );
    endpoints[1].state = State::Suspect;
    let decision = picker(endpoints).choose(NOW, &mut Rng::new(1), &plain());
    assert_eq!(
        (decision.choices.as_slice().len(), decision.reason),
        (2, Reason::Suspect)
    );
}

#[test]
fn an_old_table_still_tells_who_there_is() {
    let mut picker = picker(pool(&[0.0, 100.0]));
    let late = Millis(NOW.0 + 3_001);
    let mut rng = Rng::new(5);
    let decision = picker.choose(Millis(NOW.0 + 3_000), &mut rng, &plain());
    assert_eq!(decision.reason, Reason::Load);
    let mut second = 0;
    for _ in 0..2_000 {
        let decision = picker.choose(late, &mut rng, &plain());
        assert_eq!(
            (decision.reason, decision.wait_s),
            (Reason::StaleLoad, None)
        );
        second += first(&decision);
    }
    // The wait of 100 s is no longer believed: both alike.
    assert!((900..=1_100).contains(&second), "{second} of 2,000");
    // A clock that steps back makes no table old.
    assert_eq!(
        picker.choose(Millis(0), &mut rng, &plain()).reason,
        Reason::Load
    );
}

#[test]
fn a_table_that_was_old_when_it_came_stays_old() {
    let rows = pool(&[0.0, 0.0])
        .into_iter()
        .map(|row| EndpointLoad {
            age_ms: 2_000,
            ..row
        })
        .collect();
    let mut picker = picker(rows);
    let mut rng = Rng::new(5);
    assert_eq!(
        picker
            .choose(Millis(NOW.0 + 1_000), &mut rng, &plain())
            .reason,
        Reason::Load
    );
    assert_eq!(
        picker
            .choose(Millis(NOW.0 + 1_001), &mut rng, &plain())
            .reason,
        Reason::StaleLoad
    );
}

#[test]
fn without_a_fresh_table_one_hot_key_overloads_nobody() {
    let mut picker = picker(pool(&[0.0; 8]));
    let late = Millis(NOW.0 + 60_000);
    let mut rng = Rng::new(5);
    let mut counts = [0_u32; 8];
    let mut tickets = Vec::new();
    for sent in 1..=800 {
        let decision = picker.choose(late, &mut rng, &prefix(9, 500, 400));
        assert_eq!(decision.reason, Reason::StaleAffinity);
        let index = first(&decision);
        counts[index] += 1;
        tickets.push(picker.on_sent(
            late,
            picker.snapshot().unwrap().endpoints()[index].id,
            &plain(),
        ));
        // The bound of consistent hashing with bounded loads: ceil(1.25 x mean). 16 independent ranks miss one of 8
        // endpoints with 12 %, so the bound holds as long as those that are hit have room: 1.25 x 7 / 8 > 1.
        let bound = (1.25 * f64::from(sent) / 8.0).ceil();
        assert!(
            counts.iter().all(|count| f64::from(*count) <= bound),
            "{counts:?} after {sent}"
        );
    }
    // Idle again, the key is back on its first rank.
    tickets
        .into_iter()
        .for_each(|ticket| picker.on_done(late, ticket));
    let firsts: Vec<usize> = (0..50)
        .map(|_| first(&picker.choose(late, &mut rng, &prefix(9, 500, 400))))
        .collect();
    assert!(
        firsts.windows(2).all(|pair| pair[0] == pair[1]),
        "{firsts:?}"
    );
}

#[test]
fn requests_in_flight_survive_tables_without_their_endpoint_and_leave_nothing_behind() {
    let mut picker = Picker::new(Config::default());
    let here = endpoint(1, 0.0).id;
    let before_any_table = picker.on_sent(NOW, here, &plain());
    let stranger = picker.on_sent(NOW, EndpointId(99), &plain());
    picker.on_table(Rc::new(Snapshot::new(
        pool(&[0.0; 3]),
        PoolFacts::default(),
        NOW,
    )));
    let mut after = picker.on_sent(NOW, here, &plain());
    let work: Vec<_> = picker
        .own_work()
        .map(|work| (work.endpoint, work.in_flight, work.pending_tokens))
        .collect();
    assert_eq!(work, [(here, 2, 100), (EndpointId(99), 1, 0)]);
    picker.on_first_byte(NOW, &mut after);
    picker.on_first_byte(NOW, &mut after);
    picker.on_table(Rc::new(Snapshot::new(
        Vec::new(),
        PoolFacts::default(),
        NOW,
    )));
    let work: Vec<_> = picker
        .own_work()
        .map(|work| (work.in_flight, work.pending_tokens))
        .collect();
    assert_eq!(work.iter().map(|(in_flight, _)| in_flight).sum::<u32>(), 3);
    assert!(
        work.iter().all(|(_, pending_tokens)| *pending_tokens == 0),
        "{work:?}"
    );
    for ticket in [before_any_table, stranger, after] {
        picker.on_done(NOW, ticket);
    }
    assert_eq!(picker.own_work().count(), 0);
}
