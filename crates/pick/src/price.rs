//! What compute is worth to the others, by how busy the pool is and how much its requests depend on caches.
//!
//! A request that goes where its shared part is not cached makes prefill that the pool would not have had. Its own delay is in its cost as
//! it is; what it delays the others is the price, in seconds per second of such prefill.
//!
//! Let `l` be the requests per second of the pool, `p` the tokens of a mean prompt, `b` the share of them that some cache may hold, and
//! `R` the prefill speed of all endpoints together. The shared part of a mean prompt takes an endpoint of speed `r` the time `b p / r`, in
//! which `l r / R` requests per second arrive there; of them a share of about `b` is bound to it by what it has cached. So
//!
//! ```text
//! n = b^2 l p / R
//! ```
//!
//! requests are delayed, whatever `r` is, each by half of that time on average. Those who are delayed may go elsewhere in turn, and lose
//! what they had cached. How much that matters depends on what a loss is beside the work that arrives anyway, `(1 - b) p` tokens a
//! request: about `1 / (1 - b)` mean requests. Where it is 30 of them, as with long system prompts and short questions, one loss makes
//! others until caches collapse; where it is 4, as with mixed work, the pool has room for it, and a price holds short requests behind
//! long prompts. So
//!
//! ```text
//! price = LEAST + FACTOR n / (1 - b), at most MOST
//! ```
//!
//! The form is derived, the constants are fitted, in simulation (benches/README.md). `b` is what requests *could* find, as this decider
//! sees them, and not what pages say was found: once caches have collapsed little is found, the price would fall, and they would
//! stay so (200 shared beginnings on uneven hardware 2.8 s instead of 0.3 s). Rejected: constants (5 and 4 in the algorithm notes,
//! which cost mixed work 1.4 to 3.3 times the oracle's p99); `n` of each request's own lost part; powers of `n`; the utilisation
//! if everything were cold. None of these keeps both kinds of work.

use crate::config::{LOSS_FACTOR, LOSS_LEAST, LOSS_MOST};

/// Seconds that the others lose per second of prefill of what is cached elsewhere.
///
/// `requests_per_s`: of the pool; `prompt_tokens`: of a mean prompt; `shared_share`: the part of it that some cache may hold, 0 to 1;
/// `prefill_tokens_per_s`: of all endpoints together, above 0.
pub(crate) fn of_loss(
    requests_per_s: f64,
    prompt_tokens: f64,
    shared_share: f64,
    prefill_tokens_per_s: f64,
) -> f64 {
    let cold = requests_per_s * prompt_tokens / prefill_tokens_per_s.max(1.0);
    let delayed = shared_share * shared_share * cold;
    let price = LOSS_LEAST + LOSS_FACTOR * delayed / (1.0 - shared_share).max(1e-3);
    // `min` takes the other where one is no number.
    price.min(LOSS_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn it_is_the_least_where_nothing_is_shared_or_nothing_arrives() {
        assert_eq!(of_loss(1e6, 3_000.0, 0.0, 1e4), LOSS_LEAST);
        assert_eq!(of_loss(0.0, 3_000.0, 0.9, 1e4), LOSS_LEAST);
    }

    #[test]
    fn it_is_the_formula_and_rises_with_load_and_with_what_is_shared() {
        // 40 requests of 2,000 tokens per second where 40,000 tokens per second can be prefilled: n = 0.25 x 2.
        let price = of_loss(40.0, 2_000.0, 0.5, 40_000.0);
        let expected = LOSS_LEAST + LOSS_FACTOR * 0.5 / 0.5;
        assert!((price - expected).abs() < 1e-12, "{price}");
        assert!(of_loss(60.0, 2_000.0, 0.5, 40_000.0) > price);
        assert!(of_loss(40.0, 2_000.0, 0.6, 40_000.0) > price);
    }

    #[test]
    fn it_is_bounded_whatever_comes() {
        for wild in [0.0, 1.0, 1e300, f64::INFINITY, f64::NAN] {
            for share in [0.0, 0.5, 1.0] {
                let price = of_loss(wild, wild, share, wild);
                assert!(
                    (0.0..=LOSS_MOST).contains(&price),
                    "{wild} {share}: {price}"
                );
            }
        }
    }
}
