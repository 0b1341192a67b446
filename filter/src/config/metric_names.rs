//! How the names of metrics spell out their tags.

use trimtab_settings::Settings;

/// `metric_names`: `"plain"` or `"istio"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricNames {
    /// `NAME.pool.POOL.reason.REASON`: the bootstrap has `stats_tags` for it, as
    /// deploy/envoy/envoy.yaml does.
    #[default]
    Plain,
    /// `pool=.=POOL;.;reason=.=REASON;.;NAME`: Istio's bootstrap makes labels of it, for the tags
    /// that `extraStatTags` lists.
    Istio,
}

impl MetricNames {
    pub(super) fn read(s: &Settings<'_>) -> Self {
        s.about_as(
            "How names of metrics carry their labels: for `stats_tags` as \
            `deploy/envoy/envoy.yaml` has them, or for Istio's \
            `extraStatTags` \
            ([operations](operations.md#metrics-of-the-filter)).",
            "`plain`, `istio`",
            "plain",
        )
        .string("metric_names")
        .map(|name| match &*name {
            "plain" => Ok(Self::Plain),
            "istio" => Ok(Self::Istio),
            _ => Err("is none of plain and istio"),
        })
        .hint("write plain or istio")
        .default(Self::Plain)
    }

    /// Returns the whole name of a metric.
    ///
    /// - `tags`: each with its value.
    #[must_use]
    pub fn with_tags(self, metric: &str, tags: &[(&str, &str)]) -> String {
        let (first, before, is, after, last) = match self {
            Self::Plain => (metric, ".", ".", "", ""),
            Self::Istio => ("", "", "=.=", ";.;", metric),
        };
        let mut name = first.to_owned();
        for (tag, value) in tags {
            name = [&*name, before, tag, is, value, after].concat();
        }
        name + last
    }
}

#[cfg(test)]
mod tests {
    use super::MetricNames;
    use crate::config::Config;

    fn named(setting: &str) -> Result<MetricNames, String> {
        let json = format!(r#"{{"pool": "p", "aggregator": {{"cluster": "a"}}{setting}}}"#);
        let config = Config::parse(json.as_bytes());
        let named = config.map(|config| config.metric_names);
        named.map_err(|problems| problems.to_string())
    }

    #[test]
    fn names_are_plain_unless_istios_are_asked_for() {
        let tags = [("pool", "chat"), ("reason", "load")];
        for (setting, expected) in [
            ("", "m.pool.chat.reason.load"),
            (r#", "metric_names": "plain""#, "m.pool.chat.reason.load"),
            (
                r#", "metric_names": "istio""#,
                "pool=.=chat;.;reason=.=load;.;m",
            ),
        ] {
            assert_eq!(named(setting).unwrap().with_tags("m", &tags), expected);
        }
        let told = named(r#", "metric_names": "Istio""#).unwrap_err();
        assert!(
            told.contains("metric_names") && told.contains("plain"),
            "{told}"
        );
    }
}
