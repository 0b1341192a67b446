//! The speed assumed of a hardware class until it has been measured.

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
const ACCELERATORS: [(&str, f64, f64); 16] = [
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
    /// `nvidia-l4`). An unknown name gives an A100's.
    #[must_use]
    pub fn of_accelerator(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        ACCELERATORS
            .iter()
            .find(|(part, ..)| name.contains(part))
            .map_or_else(Self::default, |entry| Self {
                prefill_tokens_per_s: entry.1,
                itl_s_per_sequence: entry.2,
            })
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
