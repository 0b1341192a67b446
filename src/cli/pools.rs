//! Reads an aggregator's list of pools, `GET /v1/pools`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize as _;
use trimtab_loadtable::json::PredictionsView;

use super::fetch;

/// One pool of an aggregator's list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) predictions: Option<PredictionsView>,
    /// Why the last scrape brought no page in time, by address.
    pub(super) reasons: BTreeMap<String, String>,
}

/// Returns the pools of the aggregator at `source`.
pub(super) async fn pools(source: &str) -> Result<Vec<Listed>> {
    let url = format!("{source}/v1/pools");
    let body = fetch::get(&url, "application/json").await?;
    let list: serde_json::Value = serde_json::from_slice(&body)
        .with_context(|| format!("{url} does not answer with JSON"))?;
    let pools = list
        .get("pools")
        .and_then(serde_json::Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let listed = |pool: &serde_json::Value| {
        let predictions = pool.get("predictions");
        let reasons = pool.get("reasons");
        let reasons = reasons.and_then(|reasons| BTreeMap::deserialize(reasons).ok());
        Some(Listed {
            name: pool.get("name")?.as_str()?.to_owned(),
            predictions: predictions.and_then(|found| PredictionsView::deserialize(found).ok()),
            reasons: reasons.unwrap_or_default(),
        })
    };
    Ok(pools.iter().filter_map(listed).collect())
}

/// Returns the name of the aggregator's pool; an error if it has none or several.
pub(super) fn only_pool(source: &str, pools: &[Listed]) -> Result<String> {
    let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    match names.as_slice() {
        [] => bail!("{source} has no pools; is it an aggregator?"),
        [one] => Ok((*one).to_owned()),
        several => bail!(
            "{source} has several pools; choose one with --pool: {}",
            several.join(", ")
        ),
    }
}
