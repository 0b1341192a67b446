//! What was decided and why.

/// Why an endpoint was chosen, or why there is no opinion. One label each for log, metric and test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No endpoint may be chosen: the proxy balances on its own.
    NoEndpoints,
    /// There is no table yet.
    NoTable,
    /// The cheapest candidate of a fresh table.
    Load,
}

impl Reason {
    /// The label, lower case with underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEndpoints => "no_endpoints",
            Self::NoTable => "no_table",
            Self::Load => "load",
        }
    }
}

/// At most three endpoints, best first, as indices of the snapshot; later ones serve retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choices {
    indices: [u32; 3],
    len: u8,
}

impl Choices {
    /// The chosen indices, best first; empty: no opinion.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        self.indices.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// The outcome of one choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Chosen endpoints, best first; empty means no opinion.
    pub choices: Choices,
    /// Why.
    pub reason: Reason,
    /// Predicted seconds until the first choice starts this request's prefill.
    pub wait_s: Option<f64>,
    /// How many endpoints were weighed.
    pub candidates: u32,
}
