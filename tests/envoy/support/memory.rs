//! Measures Envoy's memory over time, and checks that it does not grow.

use serde_json::{Value, json};

use super::stage::Stage;

/// Allowed growth between the first third and the end, in bytes. Envoy takes memory from the system
/// in steps.
const GROWTH: u64 = 6 << 20;

/// Envoy's memory at one moment, in bytes.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Memory that it has from the system.
    resident: u64,
    /// Memory that its allocator counts, without the memories of VMs.
    allocated: u64,
    /// Memory of the largest VM.
    vm: u64,
}

/// Selects one value of a sample.
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

    /// Returns two medians: just after the first third of the time, and at its end.
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

    /// Returns the medians for a record, in MiB.
    pub(crate) fn recorded(&self) -> Value {
        let recorded = |of| {
            let (warm, end) = self.medians(of);
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            json!({"warm": mib(warm), "end": mib(end)})
        };
        json!({
            "resident": recorded(RESIDENT),
            "allocated": recorded(ALLOCATED),
            "largest_vm": recorded(VM),
        })
    }

    /// Formats the medians for people.
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

    /// Fails the test if one of the values grows. `pages` is the allowed growth of a VM, whose
    /// memory never shrinks.
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
