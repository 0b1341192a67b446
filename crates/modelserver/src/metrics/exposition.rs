//! The Prometheus text format as Python's `prometheus_client` writes it.

use super::histogram::Histogram;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A page that is being written. With a filter, it keeps only samples with those names. A family
/// without samples is left out.
#[derive(Debug)]
pub(super) struct Exposition<'a> {
    out: String,
    filter: Option<&'a BTreeSet<String>>,
    /// Time when the samples began, the value of `_created`. `None` leaves those samples out.
    created_unix_s: Option<f64>,
}

/// The parts of a label list before and after the bucket's `le`, each with its comma. Python sorts
/// labels by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels<'a> {
    pub(super) before_le: &'a str,
    pub(super) after_le: &'a str,
}

impl Labels<'_> {
    fn joined(&self) -> String {
        format!("{}{}", self.before_le, self.after_le)
    }
}

impl<'a> Exposition<'a> {
    pub(super) fn new(filter: Option<&'a BTreeSet<String>>, created_unix_s: Option<f64>) -> Self {
        Self {
            out: String::with_capacity(48 << 10),
            filter,
            created_unix_s,
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn wants(&self, sample: &str) -> bool {
        self.filter.is_none_or(|names| names.contains(sample))
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        self.out.push_str(name);
        if !labels.is_empty() {
            let _ = write!(self.out, "{{{}}}", labels.trim_end_matches(','));
        }
        self.out.push(' ');
        push_value(&mut self.out, value);
        self.out.push('\n');
    }

    /// Writes a gauge with one sample per entry of `samples`: (labels, value).
    pub(super) fn gauge<L: AsRef<str>>(&mut self, name: &str, help: &str, samples: &[(L, f64)]) {
        if self.wants(name) {
            self.head(name, help, "gauge");
            for (labels, value) in samples {
                self.sample(name, labels.as_ref(), *value);
            }
        }
    }

    /// Writes a counter. `base` is the name without `_total`.
    pub(super) fn counter<L: AsRef<str>>(&mut self, base: &str, help: &str, samples: &[(L, f64)]) {
        let name = format!("{base}_total");
        if self.wants(&name) {
            self.head(&name, help, "counter");
            for (labels, value) in samples {
                self.sample(&name, labels.as_ref(), *value);
            }
        }
        for (place, (labels, _)) in samples.iter().enumerate() {
            self.created(base, help, labels.as_ref(), place == 0);
        }
    }

    /// Writes a histogram with one series.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        histogram: &Histogram,
    ) {
        self.histograms(name, help, &[(labels, histogram)]);
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        series: &[(Labels<'_>, &Histogram)],
    ) {
        let [bucket, count, sum] =
            ["bucket", "count", "sum"].map(|suffix| format!("{name}_{suffix}"));
        if self.wants(&bucket) || self.wants(&count) || self.wants(&sum) {
            self.head(name, help, "histogram");
        }
        for (labels, histogram) in series {
            if self.wants(&bucket) {
                self.buckets(&bucket, *labels, histogram);
            }
            let joined = labels.joined();
            if self.wants(&count) {
                self.sample(&count, &joined, histogram.count() as f64);
            }
            if self.wants(&sum) {
                self.sample(&sum, &joined, histogram.sum());
            }
        }
        for (place, (labels, _)) in series.iter().enumerate() {
            self.created(name, help, &labels.joined(), place == 0);
        }
    }

    fn buckets(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        for (bound, total) in histogram.cumulative() {
            let _ = write!(self.out, "{name}{{{}le=\"", labels.before_le);
            push_value(&mut self.out, bound);
            let _ = write!(self.out, "\",{}", labels.after_le);
            self.out.truncate(self.out.trim_end_matches(',').len());
            self.out.push_str("} ");
            push_value(&mut self.out, total as f64);
            self.out.push('\n');
        }
    }

    /// Writes a summary without quantiles. The Python client has no others.
    pub(super) fn summary(&mut self, name: &str, help: &str, samples: &[(String, f64, f64)]) {
        let [count_name, sum_name] = ["count", "sum"].map(|suffix| format!("{name}_{suffix}"));
        if self.wants(&count_name) || self.wants(&sum_name) {
            self.head(name, help, "summary");
        }
        for (labels, count, sum) in samples {
            if self.wants(&count_name) {
                self.sample(&count_name, labels, *count);
            }
            if self.wants(&sum_name) {
                self.sample(&sum_name, labels, *sum);
            }
        }
        for (place, (labels, ..)) in samples.iter().enumerate() {
            self.created(name, help, labels, place == 0);
        }
    }

    fn created(&mut self, base: &str, help: &str, labels: &str, first: bool) {
        let name = format!("{base}_created");
        if let Some(created) = self.created_unix_s
            && self.wants(&name)
        {
            if first {
                self.head(&name, help, "gauge");
            }
            self.sample(&name, labels, created);
        }
    }
}

/// Writes a number as the Python client does. Every number is a float. From seven digits before the
/// point on, the form is `1.234567e+06`. An exponent of 10 or more gets a third digit (`e+010`),
/// which breaks naive parsers.
fn push_value(out: &mut String, value: f64) {
    if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        return;
    }
    let plain = format!("{value:?}");
    let point = plain.find('.').unwrap_or(plain.len());
    if value <= 0.0 || point <= 6 || plain.contains('e') {
        out.push_str(&plain);
        return;
    }
    let (whole, fraction) = plain.split_at(point);
    let (first, rest) = whole.split_at(1);
    let digits = format!("{first}.{rest}{}", fraction.trim_start_matches('.'));
    let _ = write!(
        out,
        "{}e+0{}",
        digits.trim_end_matches('0').trim_end_matches('.'),
        point - 1
    );
}

/// Escapes the value of a label.
pub(super) fn escape(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('\n', r"\n")
        .replace('"', r#"\""#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_by_the_python_client() {
        for (value, text) in [
            (0.0, "0.0"),
            (3.0, "3.0"),
            (0.25, "0.25"),
            (999_999.0, "999999.0"),
            (1_000_000.0, "1e+06"),
            (8_128_902.0, "8.128902e+06"),
            (1_784_023_449.25, "1.78402344925e+09"),
            (19_392_065_536.0, "1.9392065536e+010"),
            (f64::INFINITY, "+Inf"),
        ] {
            let mut out = String::new();
            push_value(&mut out, value);
            assert_eq!(out, text);
            assert!(
                value.is_infinite() || out.parse::<f64>() == Ok(value),
                "{out}"
            );
        }
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
