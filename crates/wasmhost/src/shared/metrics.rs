//! Counters, gauges and histograms.

use super::MAX_ITEMS;
use crate::abi::{MetricType, Status};

/// Longest metric name, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// One metric, summed over all VMs that share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// The name that the guest defined.
    pub name: String,
    /// Counter, gauge or histogram.
    pub kind: MetricType,
    /// Counter or gauge: its value. Histogram: the sum of the recorded values.
    pub value: u64,
    /// Histogram: the number of recorded values. Otherwise 0.
    pub recorded: u64,
}

/// All metrics. The guest's number of a metric is its position in this list plus 1.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    list: Vec<Metric>,
}

impl Metrics {
    /// Defines a metric. The same name and kind give the same metric to every VM.
    pub(crate) fn define(&mut self, kind: MetricType, name: &[u8]) -> Result<u32, Status> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(Status::BAD_ARGUMENT);
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let known = self
            .list
            .iter()
            .position(|own| own.name == name && own.kind == kind);
        let place = known.unwrap_or(self.list.len());
        if place >= MAX_ITEMS {
            return Err(Status::INTERNAL_FAILURE);
        }
        if known.is_none() {
            self.list.push(Metric {
                name,
                kind,
                value: 0,
                recorded: 0,
            });
        }
        u32::try_from(place + 1).map_err(|_| Status::INTERNAL_FAILURE)
    }

    /// Adds to a counter (only a positive amount) or to a gauge. A histogram cannot be incremented.
    pub(crate) fn increment(&mut self, id: u32, by: i64) -> Result<(), Status> {
        let metric = self.get_mut(id)?;
        metric.value = match (metric.kind, u64::try_from(by)) {
            (MetricType::Counter | MetricType::Gauge, Ok(by)) if by > 0 => {
                metric.value.saturating_add(by)
            }
            (MetricType::Gauge, _) => metric.value.saturating_sub(by.unsigned_abs()),
            _ => return Err(Status::BAD_ARGUMENT),
        };
        Ok(())
    }

    /// Sets a gauge, adds to a counter, adds one observation to a histogram.
    pub(crate) fn record(&mut self, id: u32, value: u64) -> Result<(), Status> {
        let metric = self.get_mut(id)?;
        match metric.kind {
            MetricType::Gauge => metric.value = value,
            MetricType::Counter => metric.value = metric.value.saturating_add(value),
            MetricType::Histogram => {
                metric.value = metric.value.saturating_add(value);
                metric.recorded += 1;
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, id: u32) -> Result<u64, Status> {
        let metric = place(id)
            .and_then(|place| self.list.get(place))
            .ok_or(Status::NOT_FOUND)?;
        match metric.kind {
            MetricType::Histogram => Err(Status::BAD_ARGUMENT),
            MetricType::Counter | MetricType::Gauge => Ok(metric.value),
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Metric> {
        self.list.iter().find(|metric| metric.name == name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Metric> {
        let mut all = self.list.clone();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn get_mut(&mut self, id: u32) -> Result<&mut Metric, Status> {
        place(id)
            .and_then(|place| self.list.get_mut(place))
            .ok_or(Status::NOT_FOUND)
    }
}

fn place(id: u32) -> Option<usize> {
    usize::try_from(id.checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_takes_the_calls_that_it_has() {
        let mut metrics = Metrics::default();
        let counter = metrics.define(MetricType::Counter, b"c").expect("room");
        let gauge = metrics.define(MetricType::Gauge, b"g").expect("room");
        let histogram = metrics.define(MetricType::Histogram, b"h").expect("room");
        assert_eq!(metrics.define(MetricType::Counter, b"c"), Ok(counter));
        assert_eq!(metrics.increment(counter, 3), Ok(()));
        assert_eq!(metrics.increment(counter, -1), Err(Status::BAD_ARGUMENT));
        assert_eq!(metrics.get(counter), Ok(3));
        assert_eq!(metrics.record(gauge, 9), Ok(()));
        assert_eq!(metrics.increment(gauge, -2), Ok(()));
        assert_eq!(metrics.get(gauge), Ok(7));
        assert_eq!(metrics.increment(histogram, 1), Err(Status::BAD_ARGUMENT));
        assert_eq!(metrics.record(histogram, 5), Ok(()));
        assert_eq!(metrics.get(histogram), Err(Status::BAD_ARGUMENT));
        assert_eq!(
            metrics.by_name("h").map(|h| (h.value, h.recorded)),
            Some((5, 1))
        );
        for unknown in [0, 4, u32::MAX] {
            assert_eq!(metrics.increment(unknown, 1), Err(Status::NOT_FOUND));
            assert_eq!(metrics.record(unknown, 1), Err(Status::NOT_FOUND));
        }
    }
}
