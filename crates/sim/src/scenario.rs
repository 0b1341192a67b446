//! The description of a simulation, as plain data.

use std::sync::Arc;

use trimtab_engine::Profile;
use trimtab_workload::Limits;
use trimtab_workload::trace::Trace;

use crate::Rule;

/// One scenario. Together with a seed, a load and a rule it determines a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Short name for reports.
    pub name: String,
    /// Endpoints at the start, at least one.
    pub fleet: Vec<Group>,
    /// Endpoints that come and go later, in order of time.
    pub churn: Vec<Churn>,
    /// The pickers.
    pub deciders: Deciders,
    /// How tables are made and how they travel.
    pub tables: Tables,
    /// What proxies report to the aggregator, and how reports travel.
    pub reports: Reports,
    /// How the central picker reads prompts.
    pub central: Central,
    /// The requests.
    pub traffic: Traffic,
    /// What the deciders and the aggregator estimate wrongly.
    pub errors: Errors,
    /// When a request counts as well served.
    pub slo: Slo,
    /// Seconds at the start in which requests do not count.
    pub warm_up_s: f64,
    /// Seconds after the warm-up in which arriving requests count.
    pub measured_s: f64,
    /// Seconds after the measured time in which requests may end. What has not ended by then
    /// failed.
    pub grace_s: f64,
    /// Offered loads, as shares of capacity. Each gives one run.
    pub loads: Vec<f64>,
    /// Seeds. Each gives one run.
    pub seeds: Vec<u64>,
    /// Rules to compare. [`Rule::Oracle`] is always one of them.
    pub rules: Vec<Rule>,
}

/// A number of equal endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Hardware class, as discovery would name it.
    pub class: String,
    /// Number of endpoints.
    pub count: u32,
    /// Model and accelerator of each. [`Profile::speed`] counts.
    pub profile: Profile,
    /// Content of their metrics pages.
    pub page: Page,
}

/// The content of a metrics page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    /// All series of vLLM's page, from the start.
    #[default]
    Whole,
    /// The same as `Whole`, but without samples before the first request.
    FromFirstRequest,
    /// Nothing that the aggregator can read: no page, or one of an unknown engine.
    Unreadable,
}

/// A change of the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Churn {
    /// Seconds after the start of the run.
    pub at_s: f64,
    /// What happens.
    pub change: Change,
}

/// What happens to the fleet.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// New endpoints with empty caches.
    Add(Group),
    /// The newest endpoints of a class get no new requests, and finish those that they have. They
    /// stay listed, as draining.
    Drain {
        /// The class.
        class: String,
        /// How many.
        count: u32,
    },
    /// The newest endpoints of a class stop without finishing. Their requests fail. The aggregator
    /// notices by failed scrapes.
    Kill {
        /// The class.
        class: String,
        /// How many.
        count: u32,
    },
    /// The newest endpoints of a class stop in the middle of their work. They accept requests and
    /// answer none. Requests that they have stay open.
    Hang {
        /// The class.
        class: String,
        /// How many.
        count: u32,
        /// Whether the metrics page hangs too. Otherwise it stays as it was when the endpoint began
        /// to hang.
        page_hangs: bool,
    },
    /// The newest endpoints of a class that were killed or hang come back, with empty caches and
    /// counters at zero. Requests that hung there fail.
    Recover {
        /// The class.
        class: String,
        /// How many.
        count: u32,
    },
    /// The newest serving endpoints of a class become slower or faster. A step that has begun keeps
    /// its duration. Nobody announces the change.
    Slow {
        /// The class.
        class: String,
        /// How many.
        count: u32,
        /// Factor of their speed, above 0. 0.33 is a card that is throttled to a third.
        factor: f64,
    },
}

impl Change {
    /// Returns the class that the change is about. Returns `None` for `Add`, whose group has its
    /// own.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Add(_) => None,
            Self::Drain { class, .. }
            | Self::Kill { class, .. }
            | Self::Hang { class, .. }
            | Self::Recover { class, .. }
            | Self::Slow { class, .. } => Some(class),
        }
    }
}

/// The proxies and their pickers.
#[derive(Debug, Clone, PartialEq)]
pub struct Deciders {
    /// Independent proxies, at least 1.
    pub count: u32,
    /// Workers of each proxy, at least 1. Each decides by itself. They share table and reports.
    pub workers: u32,
    /// Seconds between two reports that a worker writes for its proxy, unless a placement is large.
    /// 0: it writes whenever its proxy reports.
    pub tick_s: f64,
    /// Exponent of their sizes: decider `i` gets a share proportional to `1 / (i + 1)^zipf`. With 0
    /// all shares are equal.
    pub zipf: f64,
    /// Whether all turns of a session go to one decider.
    pub sticky: bool,
    /// Whether requests mark what they share: roles, system prompt, history. Otherwise a prompt is
    /// one text. Pickers then know digests of its beginning, and no request continues another.
    pub marked: bool,
    /// Whether each marked system prompt ends with a few tokens of its own. All other tokens are
    /// shared.
    pub own_endings: bool,
    /// Tokens of a prompt's beginning that a picker reads. Of the rest it knows the length.
    pub read_tokens: u32,
    /// Most tokens that it reads where the system prompt goes on behind `read_tokens`: the limit
    /// doubles up to this. 0: it never reads on.
    pub read_on_tokens: u32,
}

/// How the central pickers ([`Rule::EppCentral`], [`Rule::EppCentralInFlight`]) read prompts. They
/// read the text itself, marked or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Central {
    /// Tokens of a block: 16 to 64, a multiple of 16. The picker looks at 256 blocks of a prompt.
    pub block_tokens: u32,
}

impl Default for Central {
    /// Returns the largest blocks. With the 16 tokens of the Gateway API Inference Extension's
    /// endpoint picker, 256 blocks end after 4,096 tokens, where an agent's context has only begun.
    fn default() -> Self {
        Self { block_tokens: 64 }
    }
}

/// How tables are made and travel.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// Seconds between two scrapes of one endpoint. Endpoints are scraped at different moments.
    pub scrape_s: f64,
    /// Seconds between two tables if no report is urgent.
    pub publish_s: f64,
    /// Least seconds from the aggregator to a decider.
    pub delay_s: f64,
    /// Each decider adds a constant delay of its own, drawn from 0 to this many seconds.
    pub delay_spread_s: f64,
    /// Share of tables that never reach a decider, 0 to 1. Drawn for each table and decider.
    pub loss: f64,
    /// Time in seconds from which on no table leaves the aggregator. `None` means that tables never
    /// stop.
    pub stops_at_s: Option<f64>,
}

/// What proxies report to the aggregator.
#[derive(Debug, Clone, PartialEq)]
pub struct Reports {
    /// Whether proxies report at all.
    pub enabled: bool,
    /// Seconds from a proxy to the aggregator.
    pub delay_s: f64,
    /// Share of reports that never arrive, 0 to 1.
    pub loss: f64,
    /// Share of tables that do not say which report they have taken in, 0 to 1. Drawn for each
    /// table and proxy. The proxy then goes by the ages of rows.
    pub ack_loss: f64,
    /// Least seconds between two reports that a proxy sends at once because of a large placement.
    /// `None` means that it only reports with each poll.
    pub urgent_gap_s: Option<f64>,
}

/// The requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Where requests come from.
    pub source: Source,
    /// Requests per second that an endpoint of speed 1 can serve, which is load 1. `None`: computed
    /// from the means of the work and the profiles.
    pub capacity_per_endpoint: Option<f64>,
}

/// The source of requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A family of `trimtab_workload::FAMILIES` and its arrivals. The load decides the rate.
    Drawn(trimtab_workload::Workload),
    /// A recording. Its times are stretched to the load, and the run ends with the recording.
    /// Longer prompts and answers are cut to the limits.
    Trace(Arc<Trace>, Limits),
}

/// Errors of what the deciders and the aggregator know. All zero means no errors.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Errors {
    /// Standard deviation of the logarithm of the prompt length that a decider estimates.
    pub prompt_sigma: f64,
    /// Each endpoint's true speed is that of its class times a factor, drawn from 1 - this to 1 +
    /// this.
    pub speed: f64,
}

/// When a request counts as well served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slo {
    /// Seconds to the first token that every request is allowed.
    pub ttft_s: f64,
    /// Multiple of the prompt's own prefill time that is allowed on top. The time is that of an
    /// idle endpoint of the fastest class.
    pub prefill_factor: f64,
    /// Allowed seconds per output token after the first.
    pub tpot_s: f64,
}

impl Default for Slo {
    /// Returns the SLO of the study (docs/algorithm.md#constants).
    fn default() -> Self {
        Self {
            ttft_s: 0.5,
            prefill_factor: 2.0,
            tpot_s: 0.075,
        }
    }
}
