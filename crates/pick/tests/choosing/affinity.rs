//! Conversations, prefixes and adapters.

use trimtab_pick::{Adapter, Reason, Request, Rng};

use crate::pool::{NOW, conversation, first, home, picker, plain, pool, prefix, shares};

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
