//! Which proxies report, and which of their reports were taken in.

use super::Pool;
use crate::reports::Refusal;
use crate::turn::Turn;
use std::collections::HashMap;
use std::time::Duration;
use trimtab_loadtable::Report;

impl Pool {
    /// Returns, by proxy, the sequence of the newest report that was taken in. Proxies that were
    /// silent for [`PoolConfig::report_ttl`](crate::PoolConfig::report_ttl) are left out, as of the
    /// last table. An overtaken report changes nothing here. O(proxies).
    #[must_use]
    pub fn included(&self) -> HashMap<u64, u64> {
        self.reports.newest()
    }

    /// Says whether [`Pool::on_report`] would take in this report.
    ///
    /// # Errors
    /// Returns the [`Refusal`] that it would return.
    pub fn admits(&mut self, now: Duration, report: &Report) -> Result<(), Refusal> {
        self.admit(now, report).map(drop)
    }

    /// Checks whether a report is accepted. Silent proxies are forgotten here only if there is no
    /// room, because looking at all proxies is costly. Tables forget them too.
    pub(super) fn admit(&mut self, now: Duration, report: &Report) -> Result<Turn, Refusal> {
        let (proxies, claims) = (self.config.max_proxies, self.config.max_proxy_endpoints);
        match self.reports.admit(report, proxies, claims) {
            Err(Refusal::TooManyProxies | Refusal::TooManyEndpoints) => {
                self.reports.expire(now, self.config.report_ttl);
                self.reports.admit(report, proxies, claims)
            }
            outcome => outcome,
        }
    }
}
