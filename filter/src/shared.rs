//! What the workers of one proxy share: keys of shared data and the bytes behind them.
//!
//! Shared data belongs to the proxy's `vm_id`, which other plugins may share, so every key begins with `trimtab/`. A value that does
//! not have the expected form reads as absent: another version of this filter may have written it during an update.

/// Names of the values of one pool.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// Who syncs: [`Lease`].
    pub(crate) lease: String,
    /// [`Stamp`] of the table; small, read on every tick.
    pub(crate) stamp: String,
    /// The table: when it arrived, and its bytes.
    pub(crate) table: String,
    /// Numbers of all workers.
    pub(crate) workers: String,
    /// How many workers there have been.
    pub(crate) count: String,
    report: String,
    wake: String,
}

impl Keys {
    pub(crate) fn new(pool: &str) -> Self {
        let key = |name: &str| format!("trimtab/{pool}/{name}");
        Self {
            lease: key("lease"),
            stamp: key("stamp"),
            table: key("table"),
            workers: key("workers"),
            count: key("count"),
            report: key("report/"),
            wake: key("wake/"),
        }
    }

    /// A worker's report: when it was written, and its bytes.
    pub(crate) fn report(&self, worker: u64) -> String {
        format!("{}{worker:016x}", self.report)
    }

    /// The queue by which the worker of that count is woken.
    pub(crate) fn wake(&self, count: u32) -> String {
        format!("{}{count}", self.wake)
    }
}

/// Writes numbers as 8 bytes each, little endian.
fn words<const N: usize>(numbers: [u64; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Reads exactly `N` numbers.
fn numbers<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let chunks: &[[u8; 8]; N] = chunks.try_into().ok().filter(|_| rest.is_empty())?;
    Some(chunks.map(u64::from_le_bytes))
}

/// The right to sync for the whole proxy, and what goes from one holder to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lease {
    /// The worker that holds it.
    pub(crate) holder: u64,
    /// Until when, on the host's clock.
    pub(crate) expires_ns: u64,
    /// The proxy's number in reports, drawn once.
    pub(crate) proxy: u64,
    /// Sequence of the last report sent.
    pub(crate) sequence: u64,
    /// How often it has been claimed before its first use; see [`crate::lease`].
    pub(crate) claims: u64,
}

impl Lease {
    pub(crate) fn encode(self) -> Vec<u8> {
        words([
            self.holder,
            self.expires_ns,
            self.proxy,
            self.sequence,
            self.claims,
        ])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let [holder, expires_ns, proxy, sequence, claims] = numbers(bytes)?;
        Some(Self {
            holder,
            expires_ns,
            proxy,
            sequence,
            claims,
        })
    }
}

/// Which table is stored, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// When it arrived, on the host's clock.
    pub(crate) arrived_ns: u64,
}

impl Stamp {
    pub(crate) fn encode(self) -> Vec<u8> {
        words([self.epoch, self.sequence, self.arrived_ns])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let [epoch, sequence, arrived_ns] = numbers(bytes)?;
        Some(Self {
            epoch,
            sequence,
            arrived_ns,
        })
    }
}

/// Bytes with the time they are from.
pub(crate) fn timed(at_ns: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + bytes.len());
    out.extend(at_ns.to_le_bytes());
    out.extend(bytes);
    out
}

/// Takes [`timed`] bytes apart.
pub(crate) fn split_timed(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (at, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*at), rest))
}

/// How many workers there have been.
pub(crate) fn decode_count(bytes: &[u8]) -> Option<u64> {
    numbers(bytes).map(|[count]| count)
}

pub(crate) fn encode_count(count: u64) -> Vec<u8> {
    words([count])
}

/// The numbers of workers.
pub(crate) fn decode_workers(bytes: &[u8]) -> Vec<u64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks.iter().copied().map(u64::from_le_bytes).collect()
}

pub(crate) fn encode_workers(workers: &[u64]) -> Vec<u8> {
    workers.iter().copied().flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let lease = Lease {
            holder: 1,
            expires_ns: 2,
            proxy: 3,
            sequence: u64::MAX,
            claims: 5,
        };
        assert_eq!(Lease::decode(&lease.encode()), Some(lease));
        let stamp = Stamp {
            epoch: 1,
            sequence: 2,
            arrived_ns: 3,
        };
        assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
        assert_eq!(split_timed(&timed(7, b"table")), Some((7, &b"table"[..])));
        assert_eq!(decode_workers(&encode_workers(&[1, 2])), [1, 2]);
    }

    #[test]
    fn values_of_another_form_read_as_absent() {
        let lease = Lease::default().encode();
        assert_eq!(Lease::decode(&lease[1..]), None);
        assert_eq!(Lease::decode(b""), None);
        assert_eq!(Stamp::decode(&lease), None);
        assert_eq!(split_timed(b"short"), None);
        assert_eq!(decode_workers(b"odd"), [0_u64; 0]);
    }
}
