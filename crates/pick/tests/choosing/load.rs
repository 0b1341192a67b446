//! Draws, and how they are compared.

use trimtab_pick::{Request, Rng};

use crate::pool::{NOW, SPEED, conversation, first, picker, plain, pool, prefix, shares};

#[test]
fn of_the_endpoints_under_the_level_the_cheapest_is_taken() {
    // Four mean requests of 51 ms fill the quietest endpoint to 0.2 s, and so reach the one at
    // 0.19 s. The two others lie above the surface.
    let waits = [0.19, 20.0, 0.0, 1.0];
    let shares = shares(&mut picker(pool(&waits)), &plain(), 20_000);
    assert_eq!(shares, [0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn an_endpoint_far_behind_is_never_taken() {
    for endpoints in 2..=4_usize {
        for behind in 0..endpoints {
            let mut rows = pool(&vec![0.0; endpoints]);
            rows[behind].wait_s = Some(20.0);
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
                    assert!(decision.candidates as usize <= endpoints);
                }
            }
        }
    }
}

#[test]
fn places_for_retries_are_filled_in_proportion_to_speed() {
    // One endpoint is idle and the others are far behind. It comes first, and the rest are drawn.
    let speeds = [1.0, 1.0, 2.0, 12.0];
    let mut endpoints = pool(&[0.0, 20.0, 20.0, 20.0]);
    for (endpoint, speed) in endpoints.iter_mut().zip(speeds) {
        endpoint.speed = Some(speed as f32);
    }
    let mut picker = picker(endpoints);
    let (mut rng, runs) = (Rng::new(2), 100_000);
    let mut second = [0.0; 4];
    for _ in 0..runs {
        let decision = picker.choose(NOW, &mut rng, &plain());
        let choices = decision.choices.as_slice();
        assert_eq!((choices[0], choices.len()), (0, 3));
        second[choices[1] as usize] += 1.0 / f64::from(runs);
    }
    for (share, fair) in second
        .iter()
        .zip([0.0, 1.0 / 15.0, 2.0 / 15.0, 12.0 / 15.0])
    {
        // Four standard deviations of a share of one half are 0.0063.
        assert!((share - fair).abs() < 0.0065, "{second:?}");
    }
}

#[test]
fn equal_endpoints_share_alike_and_a_faster_one_is_taken_first() {
    let share = shares(&mut picker(pool(&[0.0; 8])), &plain(), 40_000);
    assert!(
        share.iter().all(|share| (share - 0.125).abs() < 0.01),
        "{share:?}"
    );
    // A prompt costs a third at the second endpoint.
    let mut endpoints = pool(&[0.0, 0.0]);
    endpoints[1].prefill_tokens_per_s = Some(3.0 * SPEED);
    let share = shares(&mut picker(endpoints), &plain(), 10_000);
    assert_eq!(share, [0.0, 1.0]);
}
