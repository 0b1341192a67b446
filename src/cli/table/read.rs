//! Reads a table from an aggregator or a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use trimtab_loadtable::json::PredictionsView;
use trimtab_loadtable::{Table, limits};

use super::source::Source;
use crate::cli::fetch;
use crate::cli::pools::{only_pool, pools};

/// What an aggregator adds to a table. Empty for a file.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Predicted and seen times to first token; absent if no proxy has reported any.
    pub(super) predictions: Option<PredictionsView>,
    /// Why the last scrape brought no page in time, by address.
    pub(super) reasons: BTreeMap<String, String>,
}

/// Returns the table at `source`. `pool` names the pool; it is needed if the aggregator has
/// several.
pub(super) async fn read(source: &str, pool: Option<&str>) -> Result<(Table, Said)> {
    let (shown, bytes, said) = match Source::of(source)? {
        Source::Aggregator(url) => {
            let (bytes, said) = ask(&url, pool).await?;
            (url, bytes, said)
        }
        Source::File(path) => (
            path.display().to_string(),
            read_file(&path)?,
            Said::default(),
        ),
    };
    if bytes.first() == Some(&b'{') {
        bail!(
            "{shown} holds JSON; a table is read as protobuf, which GET /v1/pools/POOL/table answers unless JSON is asked for"
        );
    }
    let table = Table::decode(&bytes)
        .with_context(|| format!("{shown} holds no load table that this version can read"))?;
    Ok((table, said))
}

async fn ask(url: &str, pool: Option<&str>) -> Result<(Vec<u8>, Said)> {
    let (pool, listed) = match pool {
        // The table can be shown without the list.
        Some(pool) => (pool.to_owned(), pools(url).await.unwrap_or_default()),
        None => {
            let listed = pools(url).await?;
            (only_pool(url, &listed)?, listed)
        }
    };
    let own = listed.into_iter().find(|listed| listed.name == pool);
    let said = own.map_or_else(Said::default, |own| Said {
        predictions: own.predictions,
        reasons: own.reasons,
    });
    let table = format!("{url}/v1/pools/{pool}/table");
    let bytes = fetch::get(&table, "application/x-protobuf").await?.to_vec();
    Ok((bytes, said))
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read {shown}"))?
        .len();
    let most = limits::TABLE_BYTES as u64;
    if size > most {
        bail!("{shown} has {size} bytes, a table has at most {most}");
    }
    std::fs::read(path).with_context(|| format!("cannot read {shown}"))
}
