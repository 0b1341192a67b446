//! The mean request of the pool.

use crate::endpoint::Endpoint;
use crate::work;

/// The pool's means. They stay through quiet times in which nothing can be measured.
#[derive(Debug, Default)]
pub(crate) struct Means {
    pub(crate) prompt_tokens: Option<f64>,
    pub(crate) uncached_tokens: Option<f64>,
    pub(crate) output_tokens: Option<f64>,
    pub(crate) square_ratio: Option<f64>,
    pub(crate) arrivals_per_s: Option<f64>,
}

impl Means {
    /// Updates the means. `is_read` says whether the newest sample shows how an endpoint does.
    pub(crate) fn update<'a>(
        &mut self,
        endpoints: impl Iterator<Item = &'a Endpoint> + Clone,
        is_read: impl Fn(&Endpoint) -> bool,
        decided_per_s: Option<f64>,
    ) {
        self.prompt_tokens =
            work::pooled(endpoints.clone().map(|e| e.work.prompt)).or(self.prompt_tokens);
        self.uncached_tokens =
            work::pooled(endpoints.clone().map(|e| e.work.uncached)).or(self.uncached_tokens);
        self.output_tokens =
            work::pooled(endpoints.clone().map(|e| e.work.output)).or(self.output_tokens);
        self.square_ratio =
            work::square_ratio(endpoints.clone().map(|e| e.work)).or(self.square_ratio);
        let served = endpoints
            .filter(|e| is_read(e))
            .filter_map(|e| e.work.arrivals.per_s())
            .reduce(|a, b| a + b);
        // Servers miss requests on their way, and proxies miss those that come by other ways.
        // Neither counts requests that do not exist.
        self.arrivals_per_s = match (served.map(|rate| rate.max(0.0)), decided_per_s) {
            (Some(served), Some(decided)) => Some(served.max(decided)),
            (served, decided) => served.or(decided),
        };
    }
}
