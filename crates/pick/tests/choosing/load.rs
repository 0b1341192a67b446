//! Draws, and what they are compared by.

use trimtab_pick::{Request, Rng};

use crate::pool::{NOW, conversation, first, picker, plain, pool, prefix, shares};

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
