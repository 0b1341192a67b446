//! What the workers of one proxy share: keys of shared data and the bytes behind them.
//!
//! Shared data belongs to the proxy's `vm_id`. Other plugins may have the same one, so every key
//! begins with `trimtab/`. A value that does not have the expected form reads as absent: another
//! version of this filter may have written it during an update.

/// The keys of one pool.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// Who syncs: [`Lease`].
    pub(crate) lease: String,
    /// [`Stamp`] of the table; small, because each tick reads it.
    pub(crate) stamp: String,
    /// The table: [`StoredTable`].
    pub(crate) table: String,
    /// For each worker, the number of its lists that the holder of the lease took last.
    pub(crate) taken: String,
    /// Numbers of all workers.
    pub(crate) workers: String,
    /// The bytes of the first table of the aggregator. Later tables do not repeat what it says
    /// about what endpoints keep.
    pub(crate) first: String,
    /// The probe that a worker took last: [`Probed`].
    pub(crate) probed: String,
    /// Number of workers that there have been.
    pub(crate) count: String,
    kept: String,
    report: String,
    wake: String,
}

/// The most workers of one proxy. Envoy has one per core.
pub(crate) const MAX_WORKERS: usize = 512;
/// Places for what servers keep. A newer name replaces an older one in its place. Bounds the
/// memory: some 100 bytes for each.
const KEPT: u64 = 16_384;

impl Keys {
    pub(crate) fn new(pool: &str) -> Self {
        let key = |name: &str| format!("trimtab/{pool}/{name}");
        Self {
            lease: key("lease"),
            stamp: key("stamp"),
            table: key("table"),
            taken: key("taken"),
            workers: key("workers"),
            first: key("first"),
            probed: key("probed"),
            count: key("count"),
            kept: key("kept/"),
            // The `2` stands for the second form of the value, which has the VM's memory.
            report: key("report2/"),
            wake: key("wake/"),
        }
    }

    /// Key of a worker's report: [`StoredReport`].
    pub(crate) fn report(&self, worker: u64) -> String {
        format!("{}{worker:016x}", self.report)
    }

    /// Key of the place of a name with these bits: [`Kept`].
    pub(crate) fn kept(&self, name: u64) -> String {
        format!("{}{:03x}", self.kept, name % KEPT)
    }

    /// Name of the queue that wakes the worker of that count.
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
    /// When the lease expires, on the host's clock.
    pub(crate) expires_ns: u64,
    /// The proxy's number in reports, drawn once.
    pub(crate) proxy: u64,
    /// Sequence of the last report sent.
    pub(crate) sequence: u64,
    /// How often the lease has been claimed before its first use; see [`crate::sync::lease`].
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

/// Something that a server keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept<'a> {
    /// Bits of the name's digest.
    pub(crate) name: u64,
    /// The server's address, as in tables.
    pub(crate) address: &'a str,
}

impl<'a> Kept<'a> {
    pub(crate) fn encode(self) -> Vec<u8> {
        [&self.name.to_le_bytes(), self.address.as_bytes()].concat()
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (name, address) = bytes.split_first_chunk()?;
        Some(Self {
            name: u64::from_le_bytes(*name),
            address: std::str::from_utf8(address).ok()?,
        })
    }
}

/// A probe that a worker has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probed {
    /// Epoch of the table that asked for the probe.
    pub(crate) epoch: u64,
    pub(crate) number: u64,
}

impl Probed {
    pub(crate) fn encode(self) -> Vec<u8> {
        words([self.epoch, self.number])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let [epoch, number] = numbers(bytes)?;
        Some(Self { epoch, number })
    }

    /// Whether this probe was asked for after `last`, or by another aggregator.
    pub(crate) fn is_after(self, last: Self) -> bool {
        self.epoch != last.epoch || self.number > last.number
    }
}

/// Which table is stored, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// When the table arrived, on the host's clock.
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

/// A table as it is stored: when it arrived, which reports of the workers it has taken in, and its
/// bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredTable<'a> {
    pub(crate) arrived_ns: u64,
    /// Pairs of a worker's number and the number of its report.
    included: &'a [[u8; 8]],
    pub(crate) bytes: &'a [u8],
}

impl<'a> StoredTable<'a> {
    /// The bytes to store.
    pub(crate) fn encode(arrived_ns: u64, included: &[(u64, u64)], bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 16 * included.len() + bytes.len());
        out.extend(words([arrived_ns, included.len() as u64]));
        out.extend(encode_pairs(included));
        out.extend(bytes);
        out
    }

    pub(crate) fn decode(stored: &'a [u8]) -> Option<Self> {
        let (arrived_ns, rest) = stored.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let pairs = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let (included, bytes) = rest.split_at_checked(pairs.checked_mul(16)?)?;
        Some(Self {
            arrived_ns: u64::from_le_bytes(*arrived_ns),
            included: included.as_chunks().0,
            bytes,
        })
    }

    /// Returns the newest report of this worker that the table has taken in. `None`: not known.
    pub(crate) fn report_of(&self, worker: u64) -> Option<u64> {
        let (pairs, _) = self.included.as_chunks::<2>();
        pairs
            .iter()
            .map(|pair| pair.map(u64::from_le_bytes))
            .find_map(|[number, report]| (number == worker).then_some(report))
    }
}

/// A worker's report as it is stored: when it was written, the number of its lists, the memory of
/// its VM, and the report's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredReport<'a> {
    pub(crate) at_ns: u64,
    pub(crate) lists: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> StoredReport<'a> {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + self.bytes.len());
        out.extend(words([self.at_ns, self.lists, self.memory_bytes]));
        out.extend(self.bytes);
        out
    }

    pub(crate) fn decode(stored: &'a [u8]) -> Option<Self> {
        let (head, bytes) = stored.split_first_chunk::<24>()?;
        let [at_ns, lists, memory_bytes] = numbers(head)?;
        Some(Self {
            at_ns,
            lists,
            memory_bytes,
            bytes,
        })
    }
}

/// Writes pairs of numbers, by worker.
pub(crate) fn encode_pairs(pairs: &[(u64, u64)]) -> Vec<u8> {
    let each = |(a, b): &(u64, u64)| words([*a, *b]);
    pairs.iter().flat_map(each).collect()
}

/// Reads what [`encode_pairs`] has written.
pub(crate) fn decode_pairs(bytes: &[u8]) -> Vec<(u64, u64)> {
    let (words, _) = bytes.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    pairs
        .iter()
        .map(|[a, b]| (u64::from_le_bytes(*a), u64::from_le_bytes(*b)))
        .collect()
}

/// Reads the number of workers that there have been.
pub(crate) fn decode_count(bytes: &[u8]) -> Option<u64> {
    numbers(bytes).map(|[count]| count)
}

pub(crate) fn encode_count(count: u64) -> Vec<u8> {
    words([count])
}

/// Reads the numbers of workers.
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
        let included = [(7, 70), (8, 80)];
        let kept = Kept {
            name: u64::MAX - 1,
            address: "10.0.0.1:8000",
        };
        assert_eq!(Kept::decode(&kept.encode()), Some(kept));
        let stored = StoredTable::encode(5, &included, b"table");
        let table = StoredTable::decode(&stored).unwrap();
        assert_eq!((table.arrived_ns, table.bytes), (5, &b"table"[..]));
        let reports = [7, 8, 9].map(|state| table.report_of(state));
        assert_eq!(reports, [Some(70), Some(80), None]);
        assert_eq!(decode_pairs(&encode_pairs(&included)), included);
        let report = StoredReport {
            at_ns: 1,
            lists: 2,
            memory_bytes: 3,
            bytes: b"report",
        };
        assert_eq!(StoredReport::decode(&report.encode()), Some(report));
        assert_eq!(decode_workers(&encode_workers(&[1, 2])), [1, 2]);
        let probed = Probed {
            epoch: 1,
            number: 2,
        };
        assert_eq!(Probed::decode(&probed.encode()), Some(probed));
    }

    #[test]
    fn a_probe_is_taken_once_and_those_of_another_aggregator_begin_anew() {
        let probed = |epoch, number| Probed { epoch, number };
        assert!(probed(1, 3).is_after(probed(1, 2)));
        assert!(!probed(1, 2).is_after(probed(1, 2)));
        assert!(!probed(1, 1).is_after(probed(1, 2)));
        assert!(probed(2, 1).is_after(probed(1, 2)));
    }

    #[test]
    fn values_of_another_form_read_as_absent() {
        let lease = Lease::default().encode();
        assert_eq!(Lease::decode(&lease[1..]), None);
        assert_eq!(Lease::decode(b""), None);
        assert_eq!(Stamp::decode(&lease), None);
        assert_eq!(StoredReport::decode(b"longer than one"), None);
        // A table of another version of this filter, which begins with its arrival alone.
        let earlier = [&words([5])[..], b"\x08\x01\x12\x04chat and so on"].concat();
        assert_eq!(StoredTable::decode(&earlier), None);
        assert_eq!(StoredTable::decode(&words([5, u64::MAX])), None);
        assert_eq!(decode_workers(b"odd"), [0_u64; 0]);
    }
}
