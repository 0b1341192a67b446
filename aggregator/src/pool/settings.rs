//! One entry of the section `pools`.

use crate::members::Discovery;
use crate::scrape::settings::Scrape;
use std::time::Duration;
use trimtab_estimate::Prior;
use trimtab_loadtable::limits;
use trimtab_settings::Settings;

/// The settings of one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// The pool's name, as in a proxy's settings.
    pub name: String,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// How the endpoints are scraped.
    pub scrape: Scrape,
    /// Time between two tables. An urgent report brings the next table forward.
    pub publish_interval: Duration,
    /// An endpoint without a good scrape for this long is suspect. Pickers use suspect endpoints
    /// only where more are suspect than ready.
    pub suspect_after: Duration,
    /// The pool's secret placement key. Absent: a random key, unless a proxy brings that of the
    /// aggregator before this one. Replicas must share one key.
    pub placement_key: Option<[u8; 16]>,
    /// How many seconds it takes an endpoint to load an adapter.
    pub adapter_load_s: Option<f32>,
    /// Speeds by class that are assumed until they are measured.
    pub classes: Vec<(String, Prior)>,
}

impl PoolConfig {
    /// Reads an entry of `pools`.
    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let name = s
            .about("Its name, which a proxy's settings call `pool`. Letters, digits, `-`, `_` and `.`.")
            .string("name")
            .max_bytes(limits::NAME_BYTES)
            .check(|name| plain(name))
            .required();
        Self {
            name,
            discovery: Discovery::read(s),
            ..Self::template(s)
        }
    }

    /// Reads the settings that pools may have in common: all but name and endpoints.
    pub(super) fn template(s: &Settings<'_>) -> Self {
        let seconds = |s: u64| Duration::from_secs(s);
        let publish = s
            .about("How often a new table is made. An urgent report brings one within 10 ms.")
            .duration("publish_interval")
            .range(Duration::from_millis(10)..=seconds(10));
        let key = s
            .about(
                "Secret of the placement hashes, 32 hexadecimal digits. Replicas \
                of one aggregator must share one. Absent: a random one; an \
                aggregator that is started again takes the former one from its \
                proxies.",
            )
            .string("placement_key")
            .secret()
            .hint("write 32 hexadecimal digits, the same for all replicas");
        Self {
            name: String::new(),
            discovery: Discovery::Static(Vec::new()),
            scrape: Scrape::read(
                &s.about("How metrics pages are asked for.")
                    .section("scrape"),
            ),
            publish_interval: publish.default(Duration::from_millis(50)),
            suspect_after: s
                .about(
                    "An endpoint not scraped for so long is suspect: it is used only \
                    where more are so than ready.",
                )
                .duration("suspect_after")
                .range(Duration::from_millis(100)..=seconds(600))
                .default(seconds(2)),
            placement_key: key
                .map(|text| hex_key(&text).ok_or("is not 32 hexadecimal digits"))
                .optional(),
            adapter_load_s: s
                .about(
                    "Time for which loading a LoRA adapter blocks an endpoint. Absent: not known.",
                )
                .duration("adapter_load")
                .range(Duration::ZERO..=seconds(3600))
                .optional()
                .map(|d| d.as_secs_f32()),
            classes: s
                .about(
                    "Speeds by hardware class that are assumed until they are \
                    measured, which takes seconds under load. Absent: by the \
                    accelerator's name. A product that is named here is meant with \
                    any memory, and its speed counts for each device: `NVIDIA-L4` \
                    also tells of `NVIDIA-L4 22GiB x2`.",
                )
                .objects("classes")
                .default(Vec::new())
                .iter()
                .map(class)
                .collect(),
        }
    }
}

fn class(s: &Settings<'_>) -> (String, Prior) {
    let name = s
        .about("The class, as endpoints have it.")
        .string("name")
        .max_bytes(limits::NAME_BYTES)
        .required();
    let assumed = Prior::of_accelerator(&name);
    let prior = Prior {
        prefill_tokens_per_s: s
            .about_as(
                "Prompt tokens per second.",
                "a number",
                "by the accelerator's name",
            )
            .f64("prefill_tokens_per_s")
            .range(10.0..=1e6)
            .default(assumed.prefill_tokens_per_s),
        itl_s_per_sequence: s
            .about_as(
                "Seconds that each sequence of a batch adds to the time between two tokens.",
                "a number",
                "by the accelerator's name",
            )
            .f64("itl_s_per_sequence")
            .range(1e-7..=0.1)
            .default(assumed.itl_s_per_sequence),
    };
    (name, prior)
}

/// Checks a pool's name, which is part of a path and of metric labels.
fn plain(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.bytes().all(allowed) {
        Ok(())
    } else {
        Err("has characters other than letters, digits, `-`, `_` and `.`")
    }
}

fn hex_key(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}
