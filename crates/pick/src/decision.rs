//! What was decided and why.

use crate::Booking;

/// Why an endpoint was chosen, or why there is no opinion. Each reason has one label for log,
/// metric and test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No endpoint may be chosen: the table lists none, or none that takes requests. The proxy
    /// balances on its own.
    NoEndpoints,
    /// There is no table yet. The proxy balances on its own.
    NoTable,
    /// Only one endpoint may be chosen.
    Single,
    /// No endpoint is ready. The choice is the cheapest of the suspect ones.
    Suspect,
    /// The cheapest is the home of the conversation.
    Conversation,
    /// The cheapest is one of the ranks of the prompt's shared beginning.
    Prefix,
    /// The cheapest has the adapter, or is one of its ranks.
    Adapter,
    /// The cheapest is one of the drawn endpoints, and no candidate had anything cached.
    Load,
    /// The cheapest is one of the drawn endpoints. The candidates where the prompt is cached cost
    /// more.
    Spill,
    /// The endpoint holds what the request continues or asks for.
    Held,
    /// The aggregator asks this proxy to try out the endpoint.
    Probe,
    /// The table is too old for load, and the request has a key. The choice is the first of the
    /// key's ranks that this picker itself does not overload.
    StaleAffinity,
    /// The table is too old for load, and the request has no key. The choice is the less loaded of
    /// two draws, by this picker's own requests.
    StaleLoad,
}

impl Reason {
    /// Every reason, in the order of declaration. For registering one metric each.
    pub const ALL: [Self; 13] = [
        Self::NoEndpoints,
        Self::NoTable,
        Self::Single,
        Self::Suspect,
        Self::Conversation,
        Self::Prefix,
        Self::Adapter,
        Self::Load,
        Self::Spill,
        Self::Held,
        Self::Probe,
        Self::StaleAffinity,
        Self::StaleLoad,
    ];

    /// Returns the label, in lower case with underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEndpoints => "no_endpoints",
            Self::NoTable => "no_table",
            Self::Single => "single",
            Self::Suspect => "suspect",
            Self::Conversation => "conversation",
            Self::Prefix => "prefix",
            Self::Adapter => "adapter",
            Self::Load => "load",
            Self::Spill => "spill",
            Self::Held => "held",
            Self::Probe => "probe",
            Self::StaleAffinity => "stale_affinity",
            Self::StaleLoad => "stale_load",
        }
    }
}

/// At most three endpoints, best first, as indices of the snapshot. The later ones are for retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choices {
    indices: [u32; Self::MOST],
    len: u8,
}

impl Choices {
    /// Most endpoints that a decision lists.
    pub(crate) const MOST: usize = 3;

    /// Returns the chosen indices, best first, each once. Empty: no opinion.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        self.indices.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Returns the same endpoints after `first`, as many as fit.
    pub(crate) fn behind(&self, first: u32) -> Self {
        let others = self.as_slice().iter().copied();
        core::iter::once(first).chain(others).collect()
    }

    /// Returns the indices for changes, for a copy whose order does not matter.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u32] {
        self.indices
            .get_mut(..usize::from(self.len))
            .unwrap_or_default()
    }

    /// Returns whether no more endpoints fit.
    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.len) == self.indices.len()
    }

    /// Appends an endpoint, unless it is already there or no more fit.
    pub(crate) fn push(&mut self, index: u32) {
        if self.as_slice().contains(&index) {
            return;
        }
        if let Some(slot) = self.indices.get_mut(usize::from(self.len)) {
            *slot = index;
            self.len += 1;
        }
    }
}

/// Takes the first three endpoints that differ, best first.
impl FromIterator<u32> for Choices {
    fn from_iter<I: IntoIterator<Item = u32>>(indices: I) -> Self {
        let mut choices = Self::default();
        indices.into_iter().for_each(|index| choices.push(index));
        choices
    }
}

/// The outcome of one choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Chosen endpoints, best first. Empty: no opinion.
    pub choices: Choices,
    /// Why.
    pub reason: Reason,
    /// Predicted seconds until the first choice starts this request's prefill. Absent: there is no
    /// fresh table, the endpoint's wait is not known, the first choice is [`Reason::Held`] or
    /// [`Reason::Probe`], or the cheapest endpoint refuses this client.
    pub wait_s: Option<f64>,
    /// How many endpoints were weighed.
    pub candidates: u32,
    /// How many endpoints were left out because requests failed there, or because they asked for a
    /// rest.
    pub left_out: u32,
    /// The request as it was decided on. For [`Picker::on_sent`](crate::Picker::on_sent).
    pub booking: Booking,
}

impl Decision {
    /// Returns the same decision with another endpoint first. If `index` is absent, nothing
    /// changes.
    pub(crate) fn led_by(mut self, index: Option<u32>, reason: Reason) -> Self {
        if let Some(index) = index {
            self.choices = self.choices.behind(index);
            self.reason = reason;
            self.wait_s = None;
        }
        self
    }

    /// Puts the endpoints last that `is_last` names.
    pub(crate) fn avoid(&mut self, is_last: impl Fn(u32) -> bool) {
        let before = self.choices;
        let all = before.as_slice().iter().copied();
        let others = all.clone().filter(|index| !is_last(*index));
        self.choices = others.chain(all).collect();
        if self.choices != before {
            self.wait_s = None;
        }
    }

    /// Returns a decision for no endpoint, with that reason.
    #[must_use]
    pub fn no_opinion(reason: Reason) -> Self {
        Self {
            choices: Choices::default(),
            reason,
            wait_s: None,
            candidates: 0,
            left_out: 0,
            booking: Booking::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn labels_are_unique() {
        let mut labels = Reason::ALL.map(Reason::as_str);
        labels.sort_unstable();
        assert!(
            labels.windows(2).all(|pair| pair[0] != pair[1]),
            "{labels:?}"
        );
    }
}
