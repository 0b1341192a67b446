//! The last good table, and why others were refused.

use trimtab_loadtable::{DecodeError, Table, Version, snapshot_after};
use trimtab_pick::{Millis, Snapshot};

use crate::facts::HashKey;
use crate::metrics::TableRefusals;

/// A table in use.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) table: Table,
    pub(crate) key: HashKey,
    /// When it arrived, on the host's clock.
    pub(crate) arrived_at: Millis,
}

impl Loaded {
    pub(crate) fn new(table: Table, arrived_at: Millis) -> Self {
        let key = HashKey::new(table.placement_key);
        Self {
            table,
            key,
            arrived_at,
        }
    }

    /// Returns the table as the picker needs it.
    ///
    /// - `previous`: the snapshot of the table before; it saves work.
    pub(crate) fn snapshot(&self, previous: Option<&Snapshot>) -> Snapshot {
        snapshot_after(&self.table, self.arrived_at, previous)
    }

    /// Age of the table's contents in milliseconds.
    pub(crate) fn age_ms(&self, now: Millis) -> u64 {
        now.since(self.arrived_at)
            .saturating_add(u64::from(self.table.age_ms))
    }
}

/// Why a table was refused. The last good one stays in use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// The bytes are not a table of a format that this filter reads.
    Decode(DecodeError),
    /// The table is of another pool.
    Pool(String),
    /// The table is not newer than the one in use.
    NotNewer { found: Version, have: Version },
}

impl Refusal {
    /// Whether the refused table is the very table that is in use.
    pub(crate) fn is_same(&self) -> bool {
        matches!(self, Self::NotNewer { found, have } if found == have)
    }

    /// Whether another worker's table has overtaken the refused one: it has come since the call.
    ///
    /// - `asked_with`: version of the table that was in use at the call.
    pub(crate) fn is_overtaken(&self, asked_with: Option<Version>) -> bool {
        matches!(self, Self::NotNewer { have, .. } if Some(*have) != asked_with)
    }

    /// Returns how the refusal counts.
    pub(crate) fn counts_as(&self) -> TableRefusals {
        match self {
            Self::Decode(DecodeError::Format { .. }) => TableRefusals::Format,
            Self::Decode(DecodeError::TooLarge { .. }) => TableRefusals::TooLarge,
            Self::Decode(_) => TableRefusals::Malformed,
            Self::Pool(_) => TableRefusals::OtherPool,
            Self::NotNewer { .. } => TableRefusals::NotNewer,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Pool(pool) => write!(
                f,
                "it is of pool `{pool}`; check that the aggregator's pools have distinct URLs"
            ),
            Self::NotNewer { found, have } => write!(
                f,
                "sequence {} of epoch {:x} is not newer than sequence {}",
                found.sequence, found.epoch, have.sequence
            ),
        }
    }
}

/// Reads and checks a table. Within an epoch sequences only go up. A table of another epoch is
/// accepted: it is of another aggregator, whose sequences cannot be compared.
///
/// - `have`: version of the table in use.
pub(crate) fn accept(bytes: &[u8], pool: &str, have: Option<Version>) -> Result<Table, Refusal> {
    let table = Table::decode(bytes).map_err(Refusal::Decode)?;
    if table.pool != pool {
        return Err(Refusal::Pool(table.pool));
    }
    match have {
        Some(have)
            if have.epoch == table.version.epoch && have.sequence >= table.version.sequence =>
        {
            Err(Refusal::NotNewer {
                found: table.version,
                have,
            })
        }
        _ => Ok(table),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use trimtab_loadtable::{Demand, Endpoint};

    pub(crate) fn table(epoch: u64, sequence: u64, addresses: &[&str]) -> Table {
        let mut endpoints: Vec<Endpoint> = addresses
            .iter()
            .map(|address| Endpoint {
                address: (*address).into(),
                wait_ms: Some(5),
                ..Endpoint::default()
            })
            .collect();
        endpoints.sort_by(|a, b| a.address.cmp(&b.address));
        Table {
            pool: "chat".into(),
            version: Version { epoch, sequence },
            age_ms: 40,
            deciders: None,
            demand: Demand::default(),
            placement_key: [7; 16],
            classes: vec![],
            adapters: vec!["poet".into()],
            endpoints,
            heat: None,
            moved: None,
            probes: vec![],
            held: vec![],
        }
    }

    #[test]
    fn sequences_go_up_within_an_epoch_and_start_anew_with_another() {
        let bytes = table(1, 5, &["10.0.0.1:80"]).encode();
        let have = |epoch, sequence| Some(Version { epoch, sequence });
        assert!(accept(&bytes, "chat", None).is_ok());
        assert!(accept(&bytes, "chat", have(1, 4)).is_ok());
        assert!(accept(&bytes, "chat", have(2, 9)).is_ok());
        for sequence in [5, 6] {
            let refusal = accept(&bytes, "chat", have(1, sequence)).unwrap_err();
            assert_eq!(refusal.counts_as(), TableRefusals::NotNewer);
            assert_eq!(refusal.is_same(), sequence == 5);
        }
    }

    #[test]
    fn every_other_table_is_refused_with_its_reason() {
        let bytes = table(1, 5, &["10.0.0.1:80"]).encode();
        let reason = |bytes: &[u8], pool: &str| accept(bytes, pool, None).unwrap_err().counts_as();
        assert_eq!(reason(&bytes, "code"), TableRefusals::OtherPool);
        let cut = &bytes[..bytes.len() - 1];
        assert_eq!(reason(cut, "chat"), TableRefusals::Malformed);
        assert_eq!(reason(&vec![0; 3 << 20], "chat"), TableRefusals::TooLarge);
    }

    #[test]
    fn age_goes_on_from_arrival_and_stands_still_when_the_clock_steps_back() {
        let loaded = Loaded::new(table(1, 1, &[]), Millis(1_000));
        assert_eq!(loaded.age_ms(Millis(1_500)), 540);
        assert_eq!(loaded.age_ms(Millis(10)), 40);
    }
}
