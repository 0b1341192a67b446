//! Which requests belong to which pool.

use trimtab_settings::Settings;

use super::Mode;
use super::clusters::is_of;
use super::text::{fits, path_segment, prefixes, services, words};

/// The most pools of one plugin: a request's candidates are a set of bits.
const MAX_POOLS: usize = 64;

/// One pool and its requests. An empty condition holds for every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// `pool`: the pool's name at the aggregator.
    pub name: String,
    /// `mode`: the pool's mode. Absent: the plugin's.
    pub mode: Option<Mode>,
    /// `models`: the request's model is one of these. An entry that ends with `*` stands for all
    /// models that begin with the rest of it.
    pub models: Vec<String>,
    /// `authorities`: the request's authority (Host header), without its port, is one of these.
    /// Case does not matter.
    pub authorities: Vec<String>,
    /// `path_prefixes`: the request's path begins with one of these.
    pub path_prefixes: Vec<String>,
    /// `clusters`: the proxy has routed the request to one of these clusters, or of `services`. An
    /// entry that ends with `*` stands for all that begin with the rest of it.
    pub clusters: Vec<String>,
    /// `services`: Services of Kubernetes, each for all clusters that Istio makes of it.
    pub services: Vec<String>,
}

/// A set of pools, by their places in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PoolSet(u64);

impl PoolSet {
    pub(crate) fn one(place: usize) -> Self {
        let bit = u32::try_from(place)
            .ok()
            .and_then(|place| 1_u64.checked_shl(place));
        Self(bit.unwrap_or(0))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn places(self) -> impl Iterator<Item = usize> {
        (0..MAX_POOLS).filter(move |place| self.0 >> place & 1 == 1)
    }
}

impl PoolSettings {
    /// Reads `pools`, or `pool` if there is only one. Records problems. Only with problems the list
    /// may be empty.
    pub(super) fn read_all(s: &Settings<'_>) -> Vec<Self> {
        let sections = s.about(
            "Several pools, 1 to 64, in place of `pool`. Each has `pool` and \
            conditions, all of which must hold. The first that matches \
            counts.",
        );
        let Some(sections) = sections.objects("pools").optional() else {
            return vec![Self::read(s, Self::named(s), None)];
        };
        if s.value("pool").optional().is_some() {
            s.problem("has `pool` beside `pools`", "write the one or the other");
        }
        if sections.is_empty() || sections.len() > MAX_POOLS {
            s.problem(
                format!(
                    "pools: has {} entries, not 1 to {MAX_POOLS}",
                    sections.len()
                ),
                r#"write [{"pool": "chat", "models": ["m-*"]}, {"pool": "other"}]"#,
            );
        }
        let pools: Vec<Self> = sections
            .iter()
            .map(|section| Self::read(section, Self::named(section), Mode::read(section)))
            .collect();
        let is_twice = |(at, pool): (usize, &Self)| {
            let mut before = pools.iter().take(at);
            before.any(|other| other.name == pool.name)
        };
        if pools.iter().enumerate().any(is_twice) {
            s.problem(
                "pools: has the same pool twice",
                "put its conditions into one entry",
            );
        }
        pools
    }

    fn named(s: &Settings<'_>) -> String {
        s.about(
            "Name of a pool of the aggregator, which all completion requests \
            that meet the conditions belong to. This or `pools`.",
        )
        .string("pool")
        .max_bytes(253)
        .check(|name| path_segment(name))
        .hint("name a pool of the aggregator")
        .required()
    }

    fn read(s: &Settings<'_>, name: String, mode: Option<Mode>) -> Self {
        Self {
            name,
            mode,
            models: list(
                s.about(
                    "Condition: the request's model is one of these. `*` at the end \
                    stands for anything.",
                ),
                "models",
                words,
            ),
            authorities: list(
                s.about("Condition: the request's host, without its port, is one of these."),
                "authorities",
                words,
            ),
            path_prefixes: list(
                s.about("Condition: the request's path begins with one of these."),
                "path_prefixes",
                prefixes,
            ),
            clusters: list(
                s.about(
                    "Condition: the proxy sends the request to one of these clusters \
                    (property `xds.cluster_name`), such as \
                    `outbound|8000||llama.models.svc.cluster.local`, or to one of \
                    `services`. `*` at the end stands for anything.",
                ),
                "clusters",
                words,
            ),
            services: list(
                s.about(
                    "Condition, in Istio: the proxy has routed the request to one of \
                    these Services, also to a subset of it or at a waypoint. Each is \
                    `namespace/name:port`, or `namespace/name` for all its ports. \
                    With neither this nor `clusters` a pool takes the completion \
                    requests to every Service behind the proxy.",
                ),
                "services",
                services,
            ),
        }
    }

    /// Whether the authority and the path of a request fit this pool.
    fn may_be(&self, authority: &[u8], path: &[u8]) -> bool {
        let host = without_port(authority);
        let is_host = |own: &String| own.as_bytes().eq_ignore_ascii_case(host);
        let leads = |prefix: &String| path.starts_with(prefix.as_bytes());
        (self.authorities.is_empty() || self.authorities.iter().any(is_host))
            && (self.path_prefixes.is_empty() || self.path_prefixes.iter().any(leads))
    }

    /// Whether the model fits this pool.
    ///
    /// - `model`: absent: not known.
    fn has_model(&self, model: Option<&[u8]>) -> bool {
        let is = |pattern: &String| model.is_some_and(|model| fits(pattern, model));
        self.models.is_empty() || self.models.iter().any(is)
    }

    /// Whether requests to this cluster of the proxy fit this pool.
    #[must_use]
    pub fn has_cluster(&self, cluster: &[u8]) -> bool {
        let named = self.clusters.iter().any(|name| fits(name, cluster));
        named || !self.goes_by_cluster() || self.services.iter().any(|own| is_of(own, cluster))
    }

    /// Whether the cluster of a request matters.
    #[must_use]
    pub fn goes_by_cluster(&self) -> bool {
        !(self.clusters.is_empty() && self.services.is_empty())
    }
}

/// Reads a condition. Without it the list is empty.
fn list(
    s: &Settings<'_>,
    field: &'static str,
    check: fn(&[String]) -> Result<(), String>,
) -> Vec<String> {
    s.strings(field)
        .check(|list| check(list))
        .default(Vec::new())
}

/// Returns the pools that a request may belong to, by its headers.
pub(crate) fn candidates(pools: &[PoolSettings], authority: &[u8], path: &[u8]) -> PoolSet {
    let mine = |(place, pool): (usize, &PoolSettings)| {
        if pool.may_be(authority, path) {
            PoolSet::one(place).0
        } else {
            0
        }
    };
    PoolSet(pools.iter().enumerate().map(mine).sum())
}

/// Whether the cluster of a request matters for one of `candidates`.
pub(crate) fn go_by_cluster(pools: &[PoolSettings], candidates: PoolSet) -> bool {
    let mut places = candidates.places().filter_map(|place| pools.get(place));
    places.any(PoolSettings::goes_by_cluster)
}

/// Returns those of `candidates` that requests to this cluster of the proxy fit.
pub(crate) fn of_cluster(pools: &[PoolSettings], candidates: PoolSet, cluster: &[u8]) -> PoolSet {
    let is = |place: &usize| {
        pools
            .get(*place)
            .is_some_and(|pool| pool.has_cluster(cluster))
    };
    let places = candidates.places().filter(is);
    PoolSet(places.map(|place| PoolSet::one(place).0).sum())
}

/// Returns the place of the first of `candidates` that the model fits.
///
/// - `model`: absent: not known.
pub(crate) fn choose(
    pools: &[PoolSettings],
    candidates: PoolSet,
    model: Option<&[u8]>,
) -> Option<usize> {
    candidates
        .places()
        .find(|place| pools.get(*place).is_some_and(|pool| pool.has_model(model)))
}

/// Returns `[::1]:80` or `a:80` without the port.
fn without_port(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    match colon.and_then(|colon| authority.split_at_checked(colon)) {
        Some((host, port)) if !port.contains(&b']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn pools(json: &str) -> Vec<PoolSettings> {
        let json = format!(r#"{{"aggregator": {{"cluster": "agg"}}, "pools": {json}}}"#);
        Config::parse(json.as_bytes()).unwrap().pools
    }

    fn chosen(
        pools: &[PoolSettings],
        authority: &str,
        path: &str,
        model: Option<&str>,
    ) -> Option<String> {
        let candidates = candidates(pools, authority.as_bytes(), path.as_bytes());
        let place = choose(pools, candidates, model.map(str::as_bytes))?;
        Some(pools[place].name.clone())
    }

    #[test]
    fn the_first_pool_whose_conditions_all_hold_is_chosen() {
        let pools = pools(
            r#"[{"pool": "code", "models": ["coder", "code-*"], "path_prefixes": ["/v1/"]},
                {"pool": "team", "authorities": ["team.example", "[::1]"]},
                {"pool": "rest", "models": ["m"]}]"#,
        );
        let chosen = |authority, path, model| chosen(&pools, authority, path, model);
        for model in ["coder", "code-", "code-7b"] {
            assert_eq!(
                chosen("x", "/v1/completions", Some(model)).as_deref(),
                Some("code")
            );
        }
        assert_eq!(chosen("x", "/v2/completions", Some("coder")), None);
        assert_eq!(
            chosen("Team.Example:8080", "/", None).as_deref(),
            Some("team")
        );
        assert_eq!(chosen("[::1]:80", "/", Some("x")).as_deref(), Some("team"));
        assert_eq!(chosen("x", "/", Some("m")).as_deref(), Some("rest"));
        assert_eq!(
            chosen("x", "/", None),
            None,
            "a model that is not known is nobody's"
        );
    }

    #[test]
    fn every_problem_of_the_list_is_told() {
        let told = |pools: &str, mention: &str| {
            let json = format!(r#"{{"aggregator": {{"cluster": "agg"}}, {pools}}}"#);
            let problems = Config::parse(json.as_bytes()).unwrap_err();
            let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(
                text.iter().any(|line| line.contains(mention)),
                "{pools}: {text:?}"
            );
        };
        told(r#""pools": []"#, "not 1 to 64");
        told(
            r#""pools": [{"pool": "a"}, {"pool": "a"}]"#,
            "same pool twice",
        );
        told(r#""pool": "a", "pools": [{"pool": "b"}]"#, "beside");
        told(r#""pools": [{"models": ["m"]}]"#, "pools[0].pool");
        told(
            r#""pools": [{"pool": "a", "path_prefixes": ["v1"]}]"#,
            "path_prefixes",
        );
        told(r#""pools": [{"pool": "a", "models": [""]}]"#, "models");
        told(r#""pools": [{"pool": "a", "mode": "off"}]"#, "percent");
    }
}
