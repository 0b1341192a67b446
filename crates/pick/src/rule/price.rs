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
//! price = LEAST + FACTOR n / (1 - b) + OVERLOAD b (w - OVERLOADED), at most MOST
//! ```
//!
//! where `w` is what a request meets at the least busy endpoint. Where even that is late there is nowhere to escape to, and what is prefilled
//! again makes all later: without that term a pool whose caches have collapsed stays so (200 shared beginnings that nothing marks).
//!
//! The form is derived, the constants are fitted, in simulation (benches/README.md). `b` is the larger of two shares: what requests *could*
//! find, as this decider sees them, and what pages say was found. The second alone falls when caches have collapsed, and the price with it, so
//! that they stay so: 200 shared beginnings on uneven hardware have 2.8 s instead of 0.3 s.
//!
//! Rejected: constants (5 for a miss and 4 for a loss, which cost mixed work 1.4 to 3.3 times the oracle's p99); `n` of each request's own
//! lost part; powers of `n`; the utilisation if everything were cold. None of these keeps both kinds of work.

use crate::config::{LOSS_FACTOR, LOSS_LEAST, LOSS_MOST, OVERLOAD_FACTOR, OVERLOADED_S};

/// How busy a pool is, and how much its requests depend on caches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Busy {
    /// Requests per second of the pool.
    pub(crate) requests_per_s: f64,
    /// Tokens of a mean prompt.
    pub(crate) prompt_tokens: f64,
    /// The part of it that some cache may hold, 0 to 1.
    pub(crate) shared_share: f64,
    /// Of all endpoints together, above 0.
    pub(crate) prefill_tokens_per_s: f64,
    /// What a request meets at the least busy endpoint, in seconds.
    pub(crate) least_load_s: f64,
}

/// Seconds that the others lose per second of prefill of what is cached elsewhere.
pub(crate) fn of_loss(busy: &Busy) -> f64 {
    let cold = busy.requests_per_s * busy.prompt_tokens / busy.prefill_tokens_per_s.max(1.0);
    let delayed = busy.shared_share * busy.shared_share * cold;
    let over_s = (busy.least_load_s - OVERLOADED_S).max(0.0);
    let price = LOSS_LEAST
        + LOSS_FACTOR * delayed / (1.0 - busy.shared_share).max(1e-3)
        + OVERLOAD_FACTOR * busy.shared_share * over_s;
    // `min` takes the other where one is no number.
    price.min(LOSS_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn busy(requests_per_s: f64, shared_share: f64, least_load_s: f64) -> Busy {
        Busy {
            requests_per_s,
            prompt_tokens: 2_000.0,
            shared_share,
            prefill_tokens_per_s: 40_000.0,
            least_load_s,
        }
    }

    #[test]
    fn it_is_the_least_where_nothing_is_shared_or_nothing_arrives() {
        assert_eq!(of_loss(&busy(1e6, 0.0, 9.0)), LOSS_LEAST);
        assert_eq!(of_loss(&busy(0.0, 0.9, 0.0)), LOSS_LEAST);
    }

    #[test]
    fn it_is_the_formula_and_rises_with_load_and_with_what_is_shared() {
        // 40 requests of 2,000 tokens per second where 40,000 tokens per second can be prefilled: n = 0.25 x 2.
        let price = of_loss(&busy(40.0, 0.5, 0.1));
        let expected = LOSS_LEAST + LOSS_FACTOR * 0.5 / 0.5;
        assert!((price - expected).abs() < 1e-12, "{price}");
        assert!(of_loss(&busy(60.0, 0.5, 0.1)) > price);
        assert!(of_loss(&busy(40.0, 0.6, 0.1)) > price);
    }

    #[test]
    fn where_even_the_least_busy_is_late_caches_are_worth_more() {
        let over = of_loss(&busy(40.0, 0.5, OVERLOADED_S + 1.0)) - of_loss(&busy(40.0, 0.5, 0.0));
        assert!((over - 0.5 * OVERLOAD_FACTOR).abs() < 1e-12, "{over}");
    }

    #[test]
    fn it_is_bounded_whatever_comes() {
        for wild in [0.0, 1.0, 1e300, f64::INFINITY, f64::NAN] {
            for shared_share in [0.0, 0.5, 1.0] {
                let price = of_loss(&Busy {
                    requests_per_s: wild,
                    prompt_tokens: wild,
                    shared_share,
                    prefill_tokens_per_s: wild,
                    least_load_s: wild,
                });
                assert!(
                    (0.0..=LOSS_MOST).contains(&price),
                    "{wild} {shared_share}: {price}"
                );
            }
        }
    }
}
