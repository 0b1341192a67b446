//! The price of a loss: what prefill that is cached elsewhere costs the other requests.
//!
//! A request that goes where its shared part is not cached adds prefill that the pool would not
//! have had. The request's own cost already contains its own delay. The price is what this prefill
//! costs the others, in seconds per second of such prefill.
//!
//! # Derivation
//!
//! | symbol | means |
//! |---|---|
//! | `l` | requests per second of the pool |
//! | `p` | tokens of a mean prompt |
//! | `b` | share of the prompt tokens that some cache may hold |
//! | `R` | prefill speed of all endpoints together, in tokens per second |
//! | `r` | prefill speed of one endpoint |
//!
//! The shared part of a mean prompt takes `b p / r` seconds at one endpoint. `l r / R` requests per
//! second arrive there. About the share `b` of them is bound to the endpoint by its cache. So this
//! many requests are delayed, whatever `r` is, each by half of that time on average:
//!
//! ```text
//! n = b^2 l p / R
//! ```
//!
//! Delayed requests may go elsewhere in turn, and lose what they had cached. How much that matters
//! depends on the size of a loss beside the work that arrives anyway, `(1 - b) p` tokens per
//! request. One loss is about `1 / (1 - b)` mean requests:
//!
//! - Where that is 30, as with long system prompts and short questions, one loss causes others
//!   until caches collapse.
//! - Where that is 4, as with mixed work, the pool has room for the loss. A high price would only
//!   hold short requests behind long prompts.
//!
//! So
//!
//! ```text
//! price = LEAST + FACTOR n / (1 - b) + OVERLOAD b max(0, w - OVERLOADED), at most MOST
//! ```
//!
//! where `w` is the load at the least busy endpoint, in seconds. If even that endpoint is late,
//! there is no better place, and repeated prefill makes all requests later. Without this term a
//! pool whose caches have collapsed stays so (200 shared beginnings that nothing marks).
//!
//! The form is derived. The constants are fitted in simulation (benches/README.md).
//!
//! `b` is the larger of two shares: what requests *could* find, as this picker sees them, and what
//! pages say was found. The second alone falls when caches have collapsed, and the price falls with
//! it, so the caches stay collapsed (200 shared beginnings on uneven hardware: 2.8 s instead of
//! 0.3 s).
//!
//! # Rejected
//!
//! - Constants: 5 for a miss and 4 for a loss cost mixed work 1.4 to 3.3 times the oracle's p99.
//! - `n` of each request's own lost part.
//! - Powers of `n`.
//! - The utilisation if all caches were cold.
//!
//! None of these suits both kinds of work.

use crate::config::{LOSS_FACTOR, LOSS_LEAST, LOSS_MOST, OVERLOAD_FACTOR, OVERLOADED_S};

/// How busy a pool is, and how much its requests depend on caches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Busy {
    /// Requests per second of the pool.
    pub(crate) requests_per_s: f64,
    /// Tokens of a mean prompt.
    pub(crate) prompt_tokens: f64,
    /// The share of them that some cache may hold, 0 to 1.
    pub(crate) shared_share: f64,
    /// Prefill speed of all endpoints together, above 0.
    pub(crate) prefill_tokens_per_s: f64,
    /// The load at the least busy endpoint, in seconds.
    pub(crate) least_load_s: f64,
}

/// Returns the seconds that the others lose per second of prefill that is cached elsewhere.
pub(crate) fn of_loss(busy: &Busy) -> f64 {
    let cold = busy.requests_per_s * busy.prompt_tokens / busy.prefill_tokens_per_s.max(1.0);
    let delayed = busy.shared_share * busy.shared_share * cold;
    let over_s = (busy.least_load_s - OVERLOADED_S).max(0.0);
    let price = LOSS_LEAST
        + LOSS_FACTOR * delayed / (1.0 - busy.shared_share).max(1e-3)
        + OVERLOAD_FACTOR * busy.shared_share * over_s;
    // `min` returns the other number where one is NaN.
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
        // 40 requests of 2,000 tokens per second, where 40,000 tokens per second can be prefilled:
        // n = 0.25 x 2.
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
