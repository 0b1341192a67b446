//! What is simulated, as plain data.

use std::sync::Arc;

use trimtab_engine::Profile;
use trimtab_workload::Limits;
use trimtab_workload::trace::Trace;

use crate::Rule;

/// One scenario: everything but the seed, the load and the rule of choice fixes a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Short name, in reports.
    pub name: String,
    /// Endpoints at the start; at least one.
    pub fleet: Vec<Group>,
    /// Endpoints that come and go later, in the order of time.
    pub churn: Vec<Churn>,
    /// Who decides.
    pub deciders: Deciders,
    /// How tables are made and travel.
    pub tables: Tables,
    /// What proxies say to the aggregator, and how it travels.
    pub reports: Reports,
    /// How the central picker reads prompts.
    pub central: Central,
    /// What is asked.
    pub traffic: Traffic,
    /// What the deciders and the aggregator have wrong.
    pub errors: Errors,
    /// When a request counts as well served.
    pub slo: Slo,
    /// Seconds before requests count.
    pub warm_up_s: f64,
    /// Seconds in which arriving requests count.
    pub measured_s: f64,
    /// Seconds after that in which what was sent may end; what has not by then failed.
    pub grace_s: f64,
    /// Offered load, as shares of capacity; one run each.
    pub loads: Vec<f64>,
    /// One run each.
    pub seeds: Vec<u64>,
    /// Rules to compare. [`Rule::Oracle`] is always among them.
    pub rules: Vec<Rule>,
}

/// Equal endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Hardware class as discovery would name it.
    pub class: String,
    /// How many.
    pub count: u32,
    /// What they are; [`Profile::speed`] counts.
    pub profile: Profile,
    /// What their metrics pages say.
    pub page: Page,
}

/// What a metrics page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    /// All that vLLM's says, from the start.
    #[default]
    Whole,
    /// The same, from the first request on. Before that it has no samples.
    FromFirstRequest,
    /// Nothing that the aggregator can read: it is missing, or of an unknown engine.
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
    /// The newest endpoints of a class get no new requests, finish what they have, and are gone.
    Drain {
        /// The class.
        class: String,
        /// How many.
        count: u32,
    },
    /// The newest endpoints of a class stop without finishing; their requests fail, and the table notices by failed scrapes.
    Kill {
        /// The class.
        class: String,
        /// How many.
        count: u32,
    },
    /// The newest endpoints of a class stop in the middle of what they do. They take requests and answer none; what they have stays open.
    Hang {
        /// The class.
        class: String,
        /// How many.
        count: u32,
        /// Whether the metrics page does not answer either; else it says what it said when the endpoint began to hang.
        page_hangs: bool,
    },
    /// The newest endpoints of a class that were killed or hang come back, with empty caches and counters at zero. What hung there fails.
    Recover {
        /// The class.
        class: String,
        /// How many.
        count: u32,
    },
    /// The newest endpoints of a class that serve become slower or faster, steps that have begun apart. Nobody tells.
    Slow {
        /// The class.
        class: String,
        /// How many.
        count: u32,
        /// Their speed is multiplied by it, above 0: 0.33 is a card that is throttled to a third.
        factor: f64,
    },
}

impl Change {
    /// The class that it is about; absent: it brings its own.
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

/// Who decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Deciders {
    /// Independent proxies, at least 1.
    pub count: u32,
    /// Exponent of their sizes: decider `i` gets a share proportional to `1 / (i + 1)^zipf`; 0: all alike.
    pub zipf: f64,
    /// Whether all turns of a session go to one decider.
    pub sticky: bool,
    /// Whether requests mark what they share: roles, system prompt, history. Else a prompt is one text to the deciders, of whose beginning they
    /// know digests, and no request continues another.
    pub marked: bool,
    /// Whether each marked system prompt ends with something of its own: all of it is shared but a few tokens.
    pub own_endings: bool,
}

/// How the central pickers ([`Rule::EppCentral`], [`Rule::EppCentralInFlight`]) read prompts: the text itself, whatever marks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Central {
    /// Tokens of a block, 16 to 64 and a multiple of 16. It looks at 256 blocks of a prompt.
    pub block_tokens: u32,
}

impl Default for Central {
    /// The largest: of the 16 tokens of the Gateway API Inference Extension's endpoint picker 256 blocks end after 4,096, where an agent's
    /// context has only begun.
    fn default() -> Self {
        Self { block_tokens: 64 }
    }
}

/// How tables are made and travel.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// Seconds between two scrapes of one endpoint; endpoints are scraped at different moments.
    pub scrape_s: f64,
    /// Seconds between two tables without urgent news.
    pub publish_s: f64,
    /// Seconds from the aggregator to a decider, at least.
    pub delay_s: f64,
    /// Each decider's own constant delay beyond that is drawn up to this.
    pub delay_spread_s: f64,
    /// Share of tables that never reach a decider, each drawn by itself, 0 to 1.
    pub loss: f64,
    /// No table leaves the aggregator any more from this time on; absent: never stops.
    pub stops_at_s: Option<f64>,
}

/// What proxies say to the aggregator.
#[derive(Debug, Clone, PartialEq)]
pub struct Reports {
    /// Whether they report at all.
    pub enabled: bool,
    /// Seconds from a decider to the aggregator.
    pub delay_s: f64,
    /// Share of reports that never arrive, 0 to 1.
    pub loss: f64,
    /// Least seconds between two reports of one decider that it sends at once because of a large placement; absent: it
    /// sends none, only those with each poll.
    pub news_gap_s: Option<f64>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Where requests come from.
    pub source: Source,
    /// Requests per second that an endpoint of speed 1 can serve: load 1. Absent: computed from the means of the work and
    /// the profiles.
    pub capacity_per_endpoint: Option<f64>,
}

/// Where requests come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A family of `trimtab_workload::FAMILIES` and how it arrives; the rate follows from the load.
    Drawn(trimtab_workload::Workload),
    /// A recording; its times are stretched to the load, so that a run is over when it is. Longer prompts and answers are cut to the limits.
    Trace(Arc<Trace>, Limits),
}

/// What the deciders and the aggregator have wrong. All zero: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Errors {
    /// Standard deviation of the logarithm of the prompt length that a decider estimates.
    pub prompt_sigma: f64,
    /// Each endpoint's true speed differs from its class by a factor drawn in 1 +- this.
    pub speed: f64,
}

/// When a request counts as well served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slo {
    /// Seconds to the first token that are always allowed.
    pub ttft_s: f64,
    /// Times the prompt's own prefill time on an idle endpoint of the fastest class, which are allowed on top.
    pub prefill_factor: f64,
    /// Seconds per output token after the first.
    pub tpot_s: f64,
}

impl Default for Slo {
    /// That of the study (docs/algorithm.md#constants).
    fn default() -> Self {
        Self {
            ttft_s: 0.5,
            prefill_factor: 2.0,
            tpot_s: 0.075,
        }
    }
}
