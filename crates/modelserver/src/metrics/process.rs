//! The metrics of a Python process.

use super::exposition::Exposition;

/// Writes `python_*` and `process_*`. There is no Python here, so the values of `python_*` are 0.
/// `process_*` describes this process, from `/proc`. Systems without `/proc` have no such families,
/// as with the Python client.
pub(super) fn render(page: &mut Exposition<'_>, started_unix_s: f64) {
    let generations =
        ["0", "1", "2"].map(|generation| (format!("generation=\"{generation}\""), 0.0));
    page.counter(
        "python_gc_objects_collected",
        "Objects collected during gc",
        &generations,
    );
    page.counter(
        "python_gc_objects_uncollectable",
        "Uncollectable objects found during GC",
        &generations,
    );
    page.counter(
        "python_gc_collections",
        "Number of times this generation was collected",
        &generations,
    );
    let version =
        r#"implementation="CPython",major="3",minor="12",patchlevel="12",version="3.12.12""#;
    page.gauge(
        "python_info",
        "Python platform information",
        &[(version, 1.0)],
    );
    if let Some((virtual_bytes, resident_bytes)) = memory_bytes() {
        page.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            &[("", virtual_bytes)],
        );
        page.gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            &[("", resident_bytes)],
        );
    }
    page.gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        &[("", started_unix_s)],
    );
    if let Some(cpu_s) = cpu_s() {
        page.counter(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            &[("", cpu_s)],
        );
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            &[("", open.count() as f64)],
        );
    }
}

/// Returns the virtual and the resident size.
fn memory_bytes() -> Option<(f64, f64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? * 1_024.0)
    };
    Some((field("VmSize:")?, field("VmRSS:")?))
}

fn cpu_s() -> Option<f64> {
    // `schedstat` counts nanoseconds of the main thread only. `stat` counts ticks of all threads.
    // The tick is 100 Hz on every Linux that matters, and asking for it would need libc.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in parentheses. It may contain blanks.
    let mut fields = stat
        .get(stat.rfind(')')? + 1..)?
        .split_whitespace()
        .skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / 100.0)
}
