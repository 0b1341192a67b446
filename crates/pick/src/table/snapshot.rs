//! The pool as one table describes it, indexed for decisions.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::config::{FORMER_MS, UNCACHED_TOKENS};
use crate::table::choosable::Choosable;
use crate::table::holders::Holders;
use crate::table::key_ranks::{KeyRanks, Member};
use crate::table::row::{Row, cost, rows};
use crate::table::water_level_index::WaterLevelIndex;
use crate::{EndpointId, EndpointLoad, Millis, PoolFacts, Rng, State};

/// Ranks that are tried for one: with half of the endpoints left out, one of 256 finds none.
const STAND_INS: u32 = 8;
/// From one to the next: beyond the ranks of all but the hottest keys, so that stand-ins are seldom ranks themselves.
const STAND_IN_STEP: u32 = 1 << 16;

/// An immutable, indexed view of one table. Indices of [`EndpointLoad`] are positions in the list it was made from.
#[derive(Debug, Clone)]
pub struct Snapshot {
    endpoints: Rc<Vec<EndpointLoad>>,
    pool: PoolFacts,
    arrived_at: Millis,
    age_ms: u64,
    rows: Rc<Vec<Row>>,
    /// Indices of the endpoints that own places: the ready ones, and the suspect ones too when these are more.
    members: Rc<Vec<u32>>,
    /// Of these, the ones that are not to be chosen although the table would allow it, ascending.
    left_out: Vec<u32>,
    /// The others.
    usable: Choosable,
    only_suspects: bool,
    /// Uncached tokens of a mean request.
    mean_uncached_tokens: f64,
    holders: Rc<Holders>,
    /// Shares of the pool's requests by shared beginning, ascending by key; absent: the publisher does not know.
    heat: Option<Rc<Vec<(u64, f32)>>>,
    placement: Rc<KeyRanks>,
    former: Option<Former>,
    by_id: Rc<[(EndpointId, u32)]>,
}

/// Where keys were before members came, went or changed their speed.
#[derive(Debug, Clone)]
struct Former {
    placement: Rc<KeyRanks>,
    /// When that no longer tells where conversations are.
    until: Millis,
}

impl Former {
    /// While one change follows another, what was before the first stays: who went elsewhere since was told of.
    fn after(previous: &Snapshot, placement: &Rc<KeyRanks>, now: Millis) -> Option<Self> {
        let known = previous.former.clone().filter(|former| now < former.until);
        if Rc::ptr_eq(&previous.placement, placement) {
            return known;
        }
        let before = known.map_or_else(|| Rc::clone(&previous.placement), |known| known.placement);
        Some(Self {
            placement: before,
            until: Millis(now.0.saturating_add(FORMER_MS)),
        })
    }
}

impl Snapshot {
    /// Indexes `endpoints`, in the caller's order. `arrived_at`: when the table came, on the caller's clock.
    ///
    /// The table as a whole is as old as its youngest row. Cost: O(n log n), and a fixed part for the placement.
    #[must_use]
    pub fn new(endpoints: Vec<EndpointLoad>, pool: PoolFacts, arrived_at: Millis) -> Self {
        Self::with_previous(endpoints, pool, arrived_at, None)
    }

    /// The same as [`new`](Self::new), to the bit, from the table before where that saves work: while the endpoints and
    /// who may be chosen stay the same, only what loads change is computed. Cost then: O(n). Where that changed, the new one also knows for a
    /// while where conversations were.
    #[must_use]
    pub fn with_previous(
        endpoints: Vec<EndpointLoad>,
        pool: PoolFacts,
        arrived_at: Millis,
        previous: Option<&Self>,
    ) -> Self {
        let count = |state| endpoints.iter().filter(|one| one.state == state).count();
        let (ready, suspect) = (count(State::Ready), count(State::Suspect));
        // Where most are suspect it is the scraping that fails and not they: all are used, as Envoy does below its panic
        // threshold of one half, before the few that are left are overrun.
        let panics = ready < suspect;
        let only_suspects = ready == 0;
        let mut rows = rows(&endpoints, &pool);
        let (mut members, mut weighted) = (Vec::new(), Vec::new());
        for (index, (endpoint, row)) in (0..).zip(endpoints.iter().zip(&mut rows)) {
            if endpoint.state == State::Ready || (panics && endpoint.state == State::Suspect) {
                row.is_member = true;
                members.push(index);
                weighted.push(Member {
                    id: endpoint.id,
                    speed: row.speed,
                });
            }
        }
        let youngest = endpoints.iter().map(|endpoint| endpoint.age_ms).min();
        let mean_uncached_tokens = cost(pool.uncached_tokens).unwrap_or(UNCACHED_TOKENS);
        let placement = KeyRanks::new(&weighted, previous.map(|previous| &previous.placement));
        Self {
            former: previous.and_then(|previous| Former::after(previous, &placement, arrived_at)),
            usable: Choosable::new(members.clone(), &endpoints, &rows, mean_uncached_tokens),
            mean_uncached_tokens,
            holders: Rc::new(Holders::new(&endpoints, &members)),
            heat: None,
            pool,
            arrived_at,
            age_ms: u64::from(youngest.unwrap_or(0)),
            rows: Rc::new(rows),
            members: Rc::new(members),
            left_out: Vec::new(),
            only_suspects,
            placement,
            by_id: by_id(&endpoints, previous),
            endpoints: Rc::new(endpoints),
        }
    }

    /// The same table without some of the endpoints that may be chosen: `left_out`, ascending. The others keep their indices
    /// and their places. O(n log n).
    #[cold]
    #[inline(never)]
    pub(crate) fn without(&self, left_out: Vec<u32>) -> Self {
        let stays = |index: &u32| left_out.binary_search(index).is_err();
        let choosable = self.members.iter().copied().filter(stays).collect();
        Self {
            usable: Choosable::new(
                choosable,
                &self.endpoints,
                &self.rows,
                self.mean_uncached_tokens,
            ),
            left_out,
            endpoints: Rc::clone(&self.endpoints),
            rows: Rc::clone(&self.rows),
            members: Rc::clone(&self.members),
            holders: Rc::clone(&self.holders),
            heat: self.heat.clone(),
            placement: Rc::clone(&self.placement),
            former: self.former.clone(),
            by_id: Rc::clone(&self.by_id),
            ..*self
        }
    }

    /// Adds the heat list: shared beginnings of prompts with their shares of the pool's requests, 0 to 1, ascending by key.
    /// One that is not listed has next to none.
    #[must_use]
    pub fn with_heat(mut self, heat: Vec<(u64, f32)>) -> Self {
        self.heat = Some(Rc::new(heat));
        self
    }

    /// The endpoints, in the caller's order.
    #[must_use]
    pub fn endpoints(&self) -> &[EndpointLoad] {
        &self.endpoints
    }

    /// What holds for the pool.
    #[must_use]
    pub fn pool(&self) -> &PoolFacts {
        &self.pool
    }

    /// When the table came.
    #[must_use]
    pub fn arrived_at(&self) -> Millis {
        self.arrived_at
    }

    /// How old the table is at `now`, in milliseconds: what it was when it came plus the time since.
    #[must_use]
    pub fn age_ms(&self, now: Millis) -> u64 {
        now.since(self.arrived_at).saturating_add(self.age_ms)
    }

    /// Mean age of the rows at `now`, in seconds: how long ago what they say was true.
    pub(crate) fn mean_age_s(&self, now: Millis) -> f64 {
        (now.since(self.arrived_at) as f64 + self.usable.mean_age_ms) / 1e3
    }

    pub(crate) fn level(&self) -> &WaterLevelIndex {
        &self.usable.level
    }

    /// Uncached tokens of a mean request.
    pub(crate) fn mean_uncached_tokens(&self) -> f64 {
        self.mean_uncached_tokens
    }

    /// The share of the pool's requests that begin with `key`, 0 to 1; absent: there is no heat list.
    pub(crate) fn share(&self, key: u64) -> Option<f64> {
        let heat = self.heat.as_ref()?;
        let found = heat.binary_search_by_key(&key, |(key, _)| *key).ok();
        let share = found.and_then(|at| heat.get(at)).map(|(_, share)| *share);
        Some(f64::from(share.unwrap_or(0.0)).clamp(0.0, 1.0))
    }

    /// The endpoints that the table allows to be chosen and that hold the adapter of this index, also those that are left out.
    pub(crate) fn holders(&self, adapter: u16) -> &[u32] {
        self.holders.of(adapter)
    }

    /// The index of an endpoint; `None` when this table does not have it. O(log n).
    #[must_use]
    pub fn index_of(&self, id: EndpointId) -> Option<u32> {
        let at = self.by_id.partition_point(|(other, _)| *other < id);
        self.by_id
            .get(at)
            .filter(|(other, _)| *other == id)
            .map(|(_, index)| *index)
    }

    pub(crate) fn endpoint(&self, index: u32) -> Option<&EndpointLoad> {
        self.endpoints.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn row(&self, index: u32) -> Option<&Row> {
        self.rows.get(usize::try_from(index).ok()?)
    }

    /// The endpoints that may be chosen, ascending.
    pub(crate) fn choosable(&self) -> &[u32] {
        &self.usable.choosable
    }

    /// Endpoints that the table allows to be chosen, ascending: also those that are left out.
    pub(crate) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Whether the table would allow to choose the endpoint, and this view does not.
    pub(crate) fn leaves_out(&self, index: u32) -> bool {
        !self.left_out.is_empty() && self.left_out.binary_search(&index).is_ok()
    }

    /// Whether a request may go there: the table allows it, and this view does not leave it out. Whatever says where a key is goes
    /// through this, because the table may have changed since.
    pub(crate) fn may_choose(&self, index: u32) -> bool {
        self.row(index).is_some_and(|row| row.is_member) && !self.leaves_out(index)
    }

    /// Whether a request may try the endpoint out: it is none that the pool's owner keeps from getting any.
    pub(crate) fn may_probe(&self, index: u32) -> bool {
        let state = self.endpoint(index).map(|endpoint| endpoint.state);
        matches!(state, Some(State::Ready | State::Suspect))
    }

    /// How many endpoints are left out.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out.len()
    }

    pub(crate) fn only_suspects(&self) -> bool {
        self.only_suspects
    }

    /// Sum of the speeds of the endpoints that may be chosen.
    pub(crate) fn total_speed(&self) -> f64 {
        self.usable.cumulative_speed.last().copied().unwrap_or(0.0)
    }

    /// Prompt tokens per second of all endpoints that may be chosen.
    pub(crate) fn prefill_tokens_per_s(&self) -> f64 {
        self.usable.prefill_tokens_per_s
    }

    /// The place of `key`: where its first rank is, whether or not that is left out. O(1).
    pub(crate) fn place(&self, key: u64) -> Option<u32> {
        self.ranked(key, 0)
    }

    /// Where the place of `key` was before members changed, if that may still be chosen; absent: nothing has changed lately. O(log n).
    pub(crate) fn former_place(&self, now: Millis, key: u64) -> Option<u32> {
        let former = self.former.as_ref().filter(|former| now < former.until)?;
        let index = self.index_of(former.placement.owner(key)?)?;
        self.may_choose(index).then_some(index)
    }

    /// The `rank`-th endpoint of `key`; `None` when nothing may be chosen. Where that one is left out, a later rank stands in
    /// for it, the same for all deciders that leave out the same; `None` when these are left out too. O(1).
    pub(crate) fn rank(&self, key: u64, rank: u32) -> Option<u32> {
        if self.left_out.is_empty() {
            return self.ranked(key, rank);
        }
        let ranks = (0..STAND_INS).map(|nth| rank.saturating_add(nth * STAND_IN_STEP));
        let mut owners = ranks.map_while(|rank| self.ranked(key, rank));
        owners.find(|index| !self.leaves_out(*index))
    }

    fn ranked(&self, key: u64, rank: u32) -> Option<u32> {
        self.members.get(self.placement.rank(key, rank)?).copied()
    }

    /// An endpoint drawn in proportion to speed from those that are not in `taken`, which must name endpoints that may
    /// be chosen, each once, and is left in ascending order; `None` when there is no other. O(log n) for each of
    /// `taken`, however unequal the speeds: redrawing until a new one comes has no bound, and taking a neighbour after
    /// some redraws favours the neighbours of fast endpoints.
    pub(crate) fn sample(&self, rng: &mut Rng, taken: &mut [u32]) -> Option<u32> {
        if taken.len() >= self.usable.choosable.len() {
            return None;
        }
        // In a large pool the first draw is nearly always new; given that it is, it has the same distribution.
        let drawn = self.first_not_in(self.position(rng.unit() * self.total_speed()), &[])?;
        if !taken.contains(&drawn) {
            return Some(drawn);
        }
        sort_few(taken);
        let speed = |index: &u32| self.row(*index).map_or(0.0, |row| row.speed);
        let left = self.total_speed() - taken.iter().map(speed).sum::<f64>();
        let mut point = rng.unit() * left;
        for index in taken.iter() {
            let at = self.usable.choosable.partition_point(|other| other < index);
            let before = at
                .checked_sub(1)
                .and_then(|at| self.usable.cumulative_speed.get(at));
            if point < before.copied().unwrap_or(0.0) {
                break;
            }
            point += speed(index);
        }
        // Rounding may still put the point on one that is taken.
        self.first_not_in(self.position(point), taken)
    }

    /// The position in `choosable` whose share of the summed speeds holds `point`.
    fn position(&self, point: f64) -> usize {
        self.usable
            .cumulative_speed
            .partition_point(|sum| *sum <= point)
    }

    /// The first endpoint at or after `position` that is not in `taken`, from the beginning again after the last one
    /// (rounding may put a point on the total itself).
    fn first_not_in(&self, position: usize, taken: &[u32]) -> Option<u32> {
        let behind = self.usable.choosable.get(position..).unwrap_or(&[]);
        let mut all = behind.iter().chain(&self.usable.choosable);
        all.find(|index| !taken.contains(index)).copied()
    }
}

/// Sorts a handful. The sort of the standard library would be 2.5 KB of code for three numbers.
fn sort_few(few: &mut [u32]) {
    for end in (1..few.len()).rev() {
        for at in 0..end {
            if few.get(at) > few.get(at + 1) {
                few.swap(at, at + 1);
            }
        }
    }
}

/// The index of each endpoint in the order of identities: that of `previous` when it has the same endpoints in the
/// same places.
fn by_id(endpoints: &[EndpointLoad], previous: Option<&Snapshot>) -> Rc<[(EndpointId, u32)]> {
    let ids = || endpoints.iter().map(|endpoint| endpoint.id);
    if let Some(previous) = previous
        && ids().eq(previous.endpoints.iter().map(|endpoint| endpoint.id))
    {
        return Rc::clone(&previous.by_id);
    }
    let mut by_id: Vec<(EndpointId, u32)> = ids().zip(0..).collect();
    by_id.sort_unstable();
    by_id.into()
}
