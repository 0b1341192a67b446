//! The speed assumed of a hardware class until it has been measured.

use std::collections::BTreeMap;

/// Speeds of a class before any measurement. They are rough on purpose: a factor of 2 costs little,
/// and measurements take over within seconds of load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Prompt tokens per second.
    pub prefill_tokens_per_s: f64,
    /// Seconds that one more running sequence adds to the time between tokens of the others.
    pub itl_s_per_sequence: f64,
}

/// Name, prefill tokens/s and decode seconds per sequence, for an 8-billion-parameter model in
/// bf16.
///
/// The lines of l4, a100 and h100 come from the step model of `crates/engine`
/// (docs/algorithm.md#prior): `1 / c`, and `c + k * 500` tokens of context. The others are scaled
/// by dense bf16 compute and memory bandwidth of data sheets. Order matters: the first name that is
/// part of the class's name wins.
const ACCELERATORS: [(&str, f64, f64); 17] = [
    ("b200", 50_000.0, 4e-5),
    ("h200", 24_000.0, 5e-5),
    ("h100", 24_000.0, 6.3e-5),
    ("h800", 24_000.0, 6.3e-5),
    ("h20", 5_000.0, 5e-5),
    ("mi300", 24_000.0, 5e-5),
    ("mi325", 24_000.0, 5e-5),
    ("a100", 11_700.0, 1.2e-4),
    ("a800", 11_700.0, 1.2e-4),
    ("l40", 8_000.0, 2.5e-4),
    ("a10", 4_000.0, 4e-4),
    ("v6e", 24_000.0, 1e-4),
    ("v5p", 14_000.0, 8e-5),
    ("l4", 3_600.0, 5e-4),
    ("v5lite", 6_000.0, 2e-4),
    ("v5-lite", 6_000.0, 2e-4),
    ("t4", 1_000.0, 7e-4),
];

impl Default for Prior {
    /// An A100.
    fn default() -> Self {
        Self {
            prefill_tokens_per_s: 11_700.0,
            itl_s_per_sequence: 1.2e-4,
        }
    }
}

impl Prior {
    /// Returns the prior for a product or label that names an accelerator (`NVIDIA-H100-80GB-HBM3`,
    /// `nvidia-l4`). An unknown name gives an A100's. Words after the name tell how much of it
    /// there is, as in `NVIDIA-H100-80GB-HBM3 mig-1g.10gb` and `NVIDIA-L4 x2`.
    #[must_use]
    pub fn of_accelerator(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        ACCELERATORS
            .iter()
            .find(|(part, ..)| lower.contains(part))
            .map_or_else(Self::default, |entry| Self {
                prefill_tokens_per_s: entry.1,
                itl_s_per_sequence: entry.2,
            })
            .times(amount(name))
    }

    /// Returns the prior for a class. Where `known` does not have it, goes by the longest beginning
    /// that `known` has: who names a product means it with any memory and number.
    pub(crate) fn of_class(class: &str, known: &BTreeMap<String, Self>) -> Self {
        if let Some(prior) = known.get(class) {
            return prior.cleaned();
        }
        let mut begins = class
            .rmatch_indices(' ')
            .map(|(end, _)| class.split_at(end));
        let begun =
            begins.find_map(|(begin, rest)| Some(known.get(begin)?.cleaned().times(amount(rest))));
        begun.unwrap_or_else(|| Self::of_accelerator(class))
    }

    /// Returns the prior of so many of these.
    fn times(self, amount: f64) -> Self {
        Self {
            prefill_tokens_per_s: self.prefill_tokens_per_s * amount,
            itl_s_per_sequence: self.itl_s_per_sequence / amount,
        }
        .cleaned()
    }

    /// Returns the speeds of prefill and of decoding over those of the default.
    pub(crate) fn relative(&self) -> (f64, f64) {
        let usual = Self::default();
        (
            self.prefill_tokens_per_s / usual.prefill_tokens_per_s,
            usual.itl_s_per_sequence / self.itl_s_per_sequence.max(1e-9),
        )
    }

    /// Returns this prior with numbers that can be divided by. A number that is not finite, or
    /// outside of any real range, becomes the default's.
    pub(crate) fn cleaned(self) -> Self {
        let or = |value: f64, range: std::ops::RangeInclusive<f64>, default| {
            if range.contains(&value) {
                value
            } else {
                default
            }
        };
        let default = Self::default();
        Self {
            prefill_tokens_per_s: or(
                self.prefill_tokens_per_s,
                1.0..=1e8,
                default.prefill_tokens_per_s,
            ),
            itl_s_per_sequence: or(
                self.itl_s_per_sequence,
                0.0..=10.0,
                default.itl_s_per_sequence,
            ),
        }
    }
}

/// More devices than one server has.
const MOST_DEVICES: u32 = 4_096;

/// Reads how many accelerators the words of a class tell: those of each device of different ones.
fn amount(words: &str) -> f64 {
    let devices = words.split(" + ");
    devices
        .map(|device| device.split(' ').map(factor).product::<f64>())
        .sum()
}

/// Reads one word: a number of devices, or which part of one they are. 1 for any other.
fn factor(word: &str) -> f64 {
    let number = |text: &str| text.parse::<u32>().ok();
    let count = word.strip_prefix('x').and_then(number);
    if let Some(count) = count.filter(|count| (1..=MOST_DEVICES).contains(count)) {
        return f64::from(count);
    }
    let slices = word
        .strip_prefix("mig-")
        .and_then(|part| part.split_once("g."));
    if let Some(slices) = slices.and_then(|(slices, _)| number(slices)) {
        // NVIDIA divides the compute of a device into seven.
        return f64::from(slices.clamp(1, 7)) / 7.0;
    }
    match word.split_once("_nps") {
        // AMD's profiles: eight, four or two parts.
        Some(("cpx", _)) => 1.0 / 8.0,
        Some(("qpx", _)) => 1.0 / 4.0,
        Some(("dpx", _)) => 1.0 / 2.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: &str = "NVIDIA-H100-80GB-HBM3";

    /// How much faster one class is assumed to be than the other, at prefill and at decoding.
    fn ratio(prior: &Prior, other: &Prior) -> [i64; 2] {
        [
            prior.prefill_tokens_per_s / other.prefill_tokens_per_s,
            other.itl_s_per_sequence / prior.itl_s_per_sequence,
        ]
        .map(|ratio| (ratio * 1_000.0).round() as i64)
    }

    #[test]
    fn several_devices_and_parts_of_one_have_the_speed_of_as_many() {
        for (class, of, permille) in [
            (format!("{H100} 80GiB"), H100, 1_000),
            (format!("{H100} 80GiB x8"), H100, 8_000),
            (format!("{H100} mig-1g.10gb 10GiB"), H100, 143),
            (format!("{H100} mig-3g.40gb 40GiB x2"), H100, 857),
            (format!("{H100} 80GiB + {H100} mig-7g.80gb"), H100, 2_000),
            (
                "AMD_Instinct_MI300X_OAM cpx_nps4 24GiB".to_owned(),
                "mi300",
                125,
            ),
            (
                "AMD_Instinct_MI300X_OAM spx_nps1 192GiB x2".to_owned(),
                "mi300",
                2_000,
            ),
            // Words that tell no amount.
            (format!("{H100} x0"), H100, 1_000),
            (format!("{H100} x-1"), H100, 1_000),
            (format!("{H100} xNaN"), H100, 1_000),
            (format!("{H100} x99999999"), H100, 1_000),
            (format!("{H100} mig-xg.1gb"), H100, 1_000),
            ("tpu-v5-lite-podslice".to_owned(), "v5litepod", 1_000),
        ] {
            let ratio = ratio(&Prior::of_accelerator(&class), &Prior::of_accelerator(of));
            assert_eq!(ratio, [permille; 2], "{class}");
        }
    }

    #[test]
    fn a_class_that_the_operator_names_keeps_its_speed_with_what_discovery_adds() {
        let prior = |speed| Prior {
            prefill_tokens_per_s: speed,
            itl_s_per_sequence: 1e-4,
        };
        let two = format!("{H100} 80GiB x2");
        let known = BTreeMap::from([
            (H100.to_owned(), prior(10_000.0)),
            (two.clone(), prior(15_000.0)),
            ("mine".to_owned(), prior(70.0)),
        ]);
        for (class, speed) in [
            (H100.to_owned(), 10_000.0),
            (format!("{H100} 80GiB"), 10_000.0),
            (format!("{H100} 80GiB x4"), 40_000.0),
            (format!("{H100} mig-1g.10gb 10GiB"), 10_000.0 / 7.0),
            (two, 15_000.0),
            ("mine".to_owned(), 70.0),
            // Another product whose name begins alike.
            (format!("{H100}-MIG"), 24_000.0),
            ("mines".to_owned(), 11_700.0),
            (String::new(), 11_700.0),
        ] {
            let prior = Prior::of_class(&class, &known);
            let error = prior.prefill_tokens_per_s / speed - 1.0;
            assert!(error.abs() < 1e-9, "{class}: {prior:?}");
        }
    }
}
