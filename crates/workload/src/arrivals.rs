//! The times at which sessions start.

use serde::Deserialize;

use crate::Rng;

/// An arrival process of sessions, not of requests. A session of five turns is one arrival.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Independent arrivals at a constant rate.
    Poisson {
        /// Sessions per second.
        sessions_per_s: f64,
    },
    /// A Poisson process whose rate alternates between busy and quiet periods of exponential
    /// length.
    Bursts {
        /// Mean sessions per second, over busy and quiet periods together.
        sessions_per_s: f64,
        /// Rate of a busy period relative to that of a quiet one, at least 1.
        busy_ratio: f64,
        /// Mean length of a busy period in seconds.
        busy_s: f64,
        /// Mean length of a quiet period in seconds.
        quiet_s: f64,
    },
}

impl Arrivals {
    /// Returns the mean sessions per second.
    #[must_use]
    pub fn sessions_per_s(&self) -> f64 {
        match *self {
            Self::Poisson { sessions_per_s } | Self::Bursts { sessions_per_s, .. } => {
                sessions_per_s
            }
        }
    }

    /// Returns the same process with another mean rate.
    #[must_use]
    pub fn at_rate(self, sessions_per_s: f64) -> Self {
        match self {
            Self::Poisson { .. } => Self::Poisson { sessions_per_s },
            Self::Bursts {
                busy_ratio,
                busy_s,
                quiet_s,
                ..
            } => Self::Bursts {
                sessions_per_s,
                busy_ratio,
                busy_s,
                quiet_s,
            },
        }
    }

    /// Returns all problems, each with the name of its field.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut fields = vec![("sessions_per_s", self.sessions_per_s(), 1e-6, 1e6)];
        if let Self::Bursts {
            busy_ratio,
            busy_s,
            quiet_s,
            ..
        } = *self
        {
            fields.extend([
                ("busy_ratio", busy_ratio, 1.0, 1e6),
                ("busy_s", busy_s, 1e-3, 1e6),
                ("quiet_s", quiet_s, 1e-3, 1e6),
            ]);
        }
        let bad = fields
            .into_iter()
            .filter(|(_, value, min, max)| !(*min..=*max).contains(value));
        bad.map(|(name, value, min, max)| {
            format!("arrivals.{name}: {value}: give a number from {min} to {max}")
        })
        .collect()
    }
}

/// The running state of an arrival process.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    arrivals: Arrivals,
    rng: Rng,
    now_s: f64,
    busy: bool,
    period_ends_s: f64,
}

impl Clock {
    pub(crate) fn new(arrivals: Arrivals, mut rng: Rng) -> Self {
        let mut clock = Self {
            arrivals,
            rng: rng.clone(),
            now_s: 0.0,
            busy: false,
            period_ends_s: f64::INFINITY,
        };
        if let Arrivals::Bursts {
            busy_s, quiet_s, ..
        } = arrivals
        {
            // The process starts in a busy period with the long-run share of busy time.
            clock.busy = rng.unit() * (busy_s + quiet_s) <= busy_s;
            clock.rng = rng;
            clock.start_period(busy_s, quiet_s);
        }
        clock
    }

    /// Returns the time of the next arrival in seconds. The times never decrease.
    pub(crate) fn next_s(&mut self) -> f64 {
        loop {
            let at_s = self.now_s + self.rng.exponential() / self.rate();
            let Arrivals::Bursts {
                busy_s, quiet_s, ..
            } = self.arrivals
            else {
                self.now_s = at_s;
                return at_s;
            };
            if at_s <= self.period_ends_s {
                self.now_s = at_s;
                return at_s;
            }
            // The exponential distribution has no memory. So a new draw from the border on gives
            // the same process.
            self.now_s = self.period_ends_s;
            self.busy = !self.busy;
            self.start_period(busy_s, quiet_s);
        }
    }

    fn start_period(&mut self, busy_s: f64, quiet_s: f64) {
        let mean_s = if self.busy { busy_s } else { quiet_s };
        self.period_ends_s = self.now_s + mean_s * self.rng.exponential();
    }

    fn rate(&self) -> f64 {
        match self.arrivals {
            Arrivals::Poisson { sessions_per_s } => sessions_per_s,
            Arrivals::Bursts {
                sessions_per_s,
                busy_ratio,
                busy_s,
                quiet_s,
            } => {
                let quiet = sessions_per_s * (busy_s + quiet_s) / (busy_ratio * busy_s + quiet_s);
                if self.busy { quiet * busy_ratio } else { quiet }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrivals: Arrivals, n: usize) -> Vec<f64> {
        let mut clock = Clock::new(arrivals, Rng::new(11));
        (0..n).map(|_| clock.next_s()).collect()
    }

    /// Returns variance over mean of the counts in windows of one second. 1 for a Poisson process.
    fn dispersion(times: &[f64]) -> f64 {
        let seconds = times.last().unwrap().floor() as usize;
        let mut counts = vec![0.0; seconds + 1];
        times.iter().for_each(|t| counts[*t as usize] += 1.0);
        counts.truncate(seconds);
        let mean = counts.iter().sum::<f64>() / seconds as f64;
        counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / seconds as f64 / mean
    }

    #[test]
    fn poisson_has_its_rate_and_a_dispersion_of_one() {
        let times = times(
            Arrivals::Poisson {
                sessions_per_s: 20.0,
            },
            50_000,
        );
        assert!((times.last().unwrap() * 20.0 / 50_000.0 - 1.0).abs() < 0.03);
        assert!((dispersion(&times) - 1.0).abs() < 0.1);
    }

    #[test]
    fn bursts_keep_the_mean_rate_and_are_overdispersed() {
        let bursts = Arrivals::Bursts {
            sessions_per_s: 20.0,
            busy_ratio: 3.0,
            busy_s: 1.0,
            quiet_s: 4.0,
        };
        let times = times(bursts, 200_000);
        assert!((times.last().unwrap() * 20.0 / 200_000.0 - 1.0).abs() < 0.05);
        assert!(dispersion(&times) > 2.0);
    }

    #[test]
    fn time_never_goes_backwards() {
        let bursts = Arrivals::Bursts {
            sessions_per_s: 5.0,
            busy_ratio: 10.0,
            busy_s: 0.1,
            quiet_s: 0.4,
        };
        assert!(times(bursts, 10_000).windows(2).all(|w| w[0] <= w[1]));
    }
}
