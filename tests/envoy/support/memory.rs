//! What Envoy takes over time, and whether it grows.

use super::stage::Stage;

/// What Envoy may have more at the end than after the first third, in bytes: what it takes from the system comes in steps.
const GROWTH: u64 = 6 << 20;

/// What Envoy takes, in bytes.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// From the system.
    resident: u64,
    /// As its allocator counts; without the memories of VMs.
    allocated: u64,
    /// Of the largest VM.
    vm: u64,
}

/// One part of it.
type Part = fn(&Sample) -> u64;
const RESIDENT: Part = |sample| sample.resident;
const ALLOCATED: Part = |sample| sample.allocated;
const VM: Part = |sample| sample.vm;

/// Samples in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Sample>);

impl Memory {
    /// Takes a sample.
    pub(crate) async fn take(&mut self, stage: &mut Stage) {
        let pid = stage.envoy.child().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.unwrap().trim().trim_end_matches(" kB").trim();
        let allocated = stage.envoy.stat("server.memory_allocated").await.unwrap();
        self.0.push(Sample {
            resident: kib.parse::<u64>().unwrap() << 10,
            allocated,
            vm: stage.metric("trimtab_memory_bytes.pool.default").await,
        });
    }

    /// Medians after the first third of the time and at its end.
    fn medians(&self, of: Part) -> (u64, u64) {
        let third = self.0.len() / 3;
        let median = |samples: &[Sample]| {
            let mut values: Vec<u64> = samples.iter().map(of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        (
            median(&self.0[third..third + third / 2]),
            median(&self.0[self.0.len() - third / 2..]),
        )
    }

    /// For people.
    pub(crate) fn told(&self) -> String {
        let told = |of| {
            let (warm, end) = self.medians(of);
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            format!("{:.2} -> {:.2} MiB", mib(warm), mib(end))
        };
        format!(
            "Envoy's resident set {}, allocated {}, largest VM {} (median after a third, median at the end)",
            told(RESIDENT),
            told(ALLOCATED),
            told(VM)
        )
    }

    /// Fails the test when one of them grows; of a VM, whose memory never shrinks, by more than so many pages.
    pub(crate) fn does_not_grow(&self, pages: u64) {
        assert!(self.medians(VM).1 > 0, "the VM's memory is told");
        for (what, of, growth) in [
            ("Envoy grows", RESIDENT, GROWTH),
            ("Envoy allocates more", ALLOCATED, GROWTH),
            ("a VM grows", VM, pages << 16),
        ] {
            let (warm, end) = self.medians(of);
            assert!(end <= warm + growth, "{what}: {}", self.told());
        }
    }
}
