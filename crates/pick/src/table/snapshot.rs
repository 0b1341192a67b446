//! The pool as one table describes it, indexed for decisions.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::config::FORMER_MS;
use crate::table::choosable::Choosable;
use crate::table::holders::Holders;
use crate::table::key_ranks::{KeyRanks, Member};
use crate::table::row::{self, Row, rows};
use crate::table::water_level_index::WaterLevelIndex;
use crate::{EndpointId, EndpointLoad, Millis, PoolFacts, Rng, State};

/// Ranks that are tried to replace one that is left out. With half of the endpoints left out, one
/// rank of 256 finds none.
const STAND_INS: u32 = 8;
/// Distance from one stand-in rank to the next. It is beyond the ranks of all but the hottest keys,
/// so stand-ins are seldom ranks themselves.
const STAND_IN_STEP: u32 = 1 << 16;

/// An immutable, indexed view of one table. Indices of [`EndpointLoad`] are positions in the list
/// that the snapshot was made from.
#[derive(Debug, Clone)]
pub struct Snapshot {
    endpoints: Rc<Vec<EndpointLoad>>,
    pool: PoolFacts,
    arrived_at: Millis,
    age_ms: u64,
    rows: Rc<Vec<Row>>,
    /// Indices of the endpoints that the table allows to be chosen, ascending. These own the places
    /// of keys: the ready ones, and the suspect ones too when more are suspect than ready.
    members: Rc<Vec<u32>>,
    /// The members that this view leaves out, ascending.
    left_out: Vec<u32>,
    /// The other members.
    usable: Choosable,
    only_suspects: bool,
    holders: Rc<Holders>,
    /// Shares of the pool's requests by shared key, ascending by key. Absent: the table has no heat
    /// list.
    heat: Option<Rc<Vec<(u64, f32)>>>,
    placement: Rc<KeyRanks>,
    former: Option<Former>,
    by_id: Rc<[(EndpointId, u32)]>,
}

/// Where keys belonged before members came, went or changed their speed.
#[derive(Debug, Clone)]
struct Former {
    placement: Rc<KeyRanks>,
    /// From then on the former places no longer say where conversations are.
    until: Millis,
}

impl Former {
    /// Returns the former places after this table. While one change follows another, those before
    /// the first change stay. Conversations that went elsewhere since then were reported.
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
    /// Indexes `endpoints`, in the caller's order. The table as a whole is as old as its youngest
    /// row. O(n log n), and a fixed part for the placement of keys.
    ///
    /// - `arrived_at`: when the table came, on the caller's clock.
    #[must_use]
    pub fn new(endpoints: Vec<EndpointLoad>, pool: PoolFacts, arrived_at: Millis) -> Self {
        Self::with_previous(endpoints, pool, arrived_at, None)
    }

    /// Returns the same as [`new`](Self::new), to the bit, but computes less.
    ///
    /// While the endpoints, and which of them may be chosen, stay the same, only what depends on
    /// load is computed anew. Where members changed, the new snapshot also remembers for a while
    /// where keys belonged before.
    ///
    /// - `previous`: the snapshot of the table before.
    #[must_use]
    pub fn with_previous(
        endpoints: Vec<EndpointLoad>,
        pool: PoolFacts,
        arrived_at: Millis,
        previous: Option<&Self>,
    ) -> Self {
        let count = |state| endpoints.iter().filter(|one| one.state == state).count();
        let (ready, suspect) = (count(State::Ready), count(State::Suspect));
        // Where most are suspect the scraping has failed and not the endpoints. All are used, as
        // Envoy does below its panic threshold of one half. Otherwise the few that are left would
        // be overrun.
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
        let mean_uncached_tokens = row::mean_uncached_tokens(&pool);
        let placement = KeyRanks::new(&weighted, previous.map(|previous| &previous.placement));
        Self {
            former: previous.and_then(|previous| Former::after(previous, &placement, arrived_at)),
            usable: Choosable::new(members.clone(), &endpoints, &rows, mean_uncached_tokens),
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

    /// Returns the same table without the endpoints `left_out`, which are ascending. The others
    /// keep their indices and their places. O(n log n).
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
                self.mean_uncached_tokens(),
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

    /// Adds the heat list: shared keys with their shares of the pool's requests, 0 to 1, ascending
    /// by key. A key that is not listed counts as 0.
    #[must_use]
    pub fn with_heat(mut self, heat: Vec<(u64, f32)>) -> Self {
        self.heat = Some(Rc::new(heat));
        self
    }

    /// Returns the endpoints, in the caller's order.
    #[must_use]
    pub fn endpoints(&self) -> &[EndpointLoad] {
        &self.endpoints
    }

    /// Returns what holds for the pool.
    #[must_use]
    pub fn pool(&self) -> &PoolFacts {
        &self.pool
    }

    /// Returns when the table came.
    #[must_use]
    pub fn arrived_at(&self) -> Millis {
        self.arrived_at
    }

    /// Returns how old the table is at `now`, in milliseconds: its age when it came, plus the time
    /// since.
    #[must_use]
    pub fn age_ms(&self, now: Millis) -> u64 {
        now.since(self.arrived_at).saturating_add(self.age_ms)
    }

    /// Returns the mean age of the rows at `now`, in seconds: how long ago their signals were true.
    pub(crate) fn mean_age_s(&self, now: Millis) -> f64 {
        (now.since(self.arrived_at) as f64 + self.usable.mean_age_ms) / 1e3
    }

    pub(crate) fn level(&self) -> &WaterLevelIndex {
        &self.usable.level
    }

    /// Uncached tokens of a mean request.
    pub(crate) fn mean_uncached_tokens(&self) -> f64 {
        row::mean_uncached_tokens(&self.pool)
    }

    /// Returns the share of the pool's requests that have `key`, 0 to 1. `None`: there is no heat
    /// list.
    pub(crate) fn share(&self, key: u64) -> Option<f64> {
        let heat = self.heat.as_ref()?;
        let found = heat.binary_search_by_key(&key, |(key, _)| *key).ok();
        let share = found.and_then(|at| heat.get(at)).map(|(_, share)| *share);
        Some(f64::from(share.unwrap_or(0.0)).clamp(0.0, 1.0))
    }

    /// Returns the members that hold the adapter of this index, including those that are left out.
    pub(crate) fn holders(&self, adapter: u16) -> &[u32] {
        self.holders.of(adapter)
    }

    /// Returns the index of an endpoint, or `None` if this table does not have it. O(log n).
    #[must_use]
    pub fn index_of(&self, id: EndpointId) -> Option<u32> {
        let at = self.by_id.partition_point(|(other, _)| *other < id);
        self.by_id
            .get(at)
            .filter(|(other, _)| *other == id)
            .map(|(_, index)| *index)
    }

    /// Returns the endpoint at `index`, or `None` if there is no such endpoint.
    #[must_use]
    pub fn endpoint(&self, index: u32) -> Option<&EndpointLoad> {
        self.endpoints.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn row(&self, index: u32) -> Option<&Row> {
        self.rows.get(usize::try_from(index).ok()?)
    }

    /// Returns the indices of the endpoints that may be chosen, ascending.
    #[must_use]
    pub fn choosable(&self) -> &[u32] {
        &self.usable.choosable
    }

    /// The endpoints that the table allows to be chosen, ascending, including those that are left
    /// out.
    pub(crate) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Returns whether this view leaves out an endpoint that the table allows to be chosen.
    pub(crate) fn leaves_out(&self, index: u32) -> bool {
        !self.left_out.is_empty() && self.left_out.binary_search(&index).is_ok()
    }

    /// Returns whether a request may go there: the table allows it, and this view does not leave it
    /// out.
    ///
    /// Every index that comes from a key is checked with this, because the table may have changed
    /// since.
    pub(crate) fn may_choose(&self, index: u32) -> bool {
        self.row(index).is_some_and(|row| row.is_member) && !self.leaves_out(index)
    }

    /// Returns whether a request may try out the endpoint: it is ready or suspect.
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

    /// Prompt tokens per second of all endpoints that may be chosen, together.
    pub(crate) fn prefill_tokens_per_s(&self) -> f64 {
        self.usable.prefill_tokens_per_s
    }

    /// Returns the place of `key`: its first rank, even if that is left out. O(1).
    pub(crate) fn place(&self, key: u64) -> Option<u32> {
        self.ranked(key, 0)
    }

    /// Returns the place of `key` from before members changed, if that may still be chosen. `None`:
    /// no recent change, or it may not be chosen. O(log n).
    pub(crate) fn former_place(&self, now: Millis, key: u64) -> Option<u32> {
        let former = self.former.as_ref().filter(|former| now < former.until)?;
        let index = self.index_of(former.placement.owner(key)?)?;
        self.may_choose(index).then_some(index)
    }

    /// Returns the `rank`-th endpoint of `key`. O(1).
    ///
    /// Where that endpoint is left out, a later rank replaces it: the same one for all pickers that
    /// leave out the same endpoints. `None`: there are no members, or all that were tried are left
    /// out.
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

    /// Draws an endpoint in proportion to speed from those that are not in `taken`. `None`: there
    /// is no other. O(log n) for each of `taken`, however unequal the speeds.
    ///
    /// - `taken`: endpoints that may be chosen, each once. Left in ascending order.
    ///
    /// Rejected: redrawing until a new endpoint comes has no bound. Taking a neighbour after some
    /// redraws favours the neighbours of fast endpoints.
    pub fn sample(&self, rng: &mut Rng, taken: &mut [u32]) -> Option<u32> {
        if taken.len() >= self.usable.choosable.len() {
            return None;
        }
        // In a large pool the first draw is nearly always new. If it is, it has the right
        // distribution.
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
        // Rounding may still put the point on an endpoint that is taken.
        self.first_not_in(self.position(point), taken)
    }

    /// Returns the position in `choosable` whose part of the summed speeds contains `point`.
    fn position(&self, point: f64) -> usize {
        self.usable
            .cumulative_speed
            .partition_point(|sum| *sum <= point)
    }

    /// Returns the first endpoint at or after `position` that is not in `taken`. After the last
    /// endpoint the search begins again at the first, because rounding may put a point on the total
    /// itself.
    fn first_not_in(&self, position: usize, taken: &[u32]) -> Option<u32> {
        let behind = self.usable.choosable.get(position..).unwrap_or(&[]);
        let mut all = behind.iter().chain(&self.usable.choosable);
        all.find(|index| !taken.contains(index)).copied()
    }
}

/// Sorts a few numbers. The sort of the standard library would add 2.5 KB of code.
fn sort_few(few: &mut [u32]) {
    for end in (1..few.len()).rev() {
        for at in 0..end {
            if few.get(at) > few.get(at + 1) {
                few.swap(at, at + 1);
            }
        }
    }
}

/// Returns the index of each endpoint, ascending by identity. Shares the list of `previous` if that
/// has the same endpoints in the same positions.
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
