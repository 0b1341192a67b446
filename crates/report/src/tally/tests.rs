use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Send(u64),
    FirstByte(usize),
    Done(usize, bool),
    Table(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..6_u64).prop_map(Event::Send),
        any::<usize>().prop_map(Event::FirstByte),
        (any::<usize>(), any::<bool>()).prop_map(|(i, failed)| Event::Done(i, failed)),
        (0..64_u64).prop_map(Event::Table),
    ]
}

proptest! {
    #[test]
    fn in_flight_is_what_was_sent_and_not_ended_under_any_order_of_events(events in prop::collection::vec(event(), 0..200)) {
        let mut tally = Tally::default();
        let mut live: Vec<Entry> = Vec::new();
        for event in events {
            match event {
                Event::Send(id) => live.push(tally.on_sent(EndpointId(id), &format!("10.0.0.{id}:80").into(), 10, true).unwrap()),
                Event::FirstByte(at) if !live.is_empty() => {
                    let at = at % live.len();
                    tally.on_first_byte(&mut live[at]);
                }
                Event::Done(at, failed) if !live.is_empty() => tally.on_done(live.swap_remove(at % live.len()), failed),
                Event::Table(set) => tally.retain(|id| set >> id.0 & 1 == 1),
                _ => {}
            }
            for id in 0..6 {
                let on = live.iter().filter(|entry| entry.endpoint == EndpointId(id));
                let pending = on.clone().filter(|entry| !entry.started).count();
                let line = tally.lines.get(&EndpointId(id)).map(|line| &line.counts);
                prop_assert_eq!(line.map_or(0, |c| c.in_flight as usize), on.count());
                prop_assert_eq!(line.map_or((0, 0), |c| (c.pending as usize, c.pending_tokens as usize)), (pending, 10 * pending));
                prop_assert!(line.is_none_or(|c| c.sent_tokens == 10 * c.sent && c.started <= c.sent && c.finished <= c.sent && c.failed <= c.finished));
            }
        }
        for entry in live {
            tally.on_done(entry, false);
        }
        tally.retain(|_| false);
        prop_assert!(tally.lines.is_empty());
    }
}

#[test]
fn merging_adds_up_by_address() {
    let line = |address: &str, n: u64| EndpointReport {
        address: address.into(),
        in_flight: 1,
        pending: 1,
        sent: n,
        sent_tokens: 100 * n,
        finished: n - 1,
        ..Default::default()
    };
    let merged = merge([line("b:1", 2), line("a:1", 1), line("b:1", 5)]);
    let flat: Vec<_> = merged
        .iter()
        .map(|r| {
            (
                r.address.as_str(),
                r.in_flight + r.pending,
                r.sent,
                r.sent_tokens,
                r.finished,
            )
        })
        .collect();
    assert_eq!(flat, [("a:1", 2, 1, 100, 0), ("b:1", 4, 7, 700, 5)]);
}

#[test]
fn what_was_seen_is_handed_over_once_and_added_up_within_the_limit_of_a_report() {
    let mut tally = Tally::default();
    let entry = tally
        .on_sent(EndpointId(1), &"a:1".into(), 10, true)
        .unwrap();
    tally.saw_first_byte(Some(&entry), 100, Some(170));
    tally.saw_first_byte(Some(&entry), 120, None);
    tally.saw_end(Some(&entry), 5_000);
    tally.saw_error(Some(&entry), ErrorKind::Reset);
    let flat = |seen: &[Seen]| -> Vec<_> { seen.iter().map(|one| (one.kind, one.count)).collect() };
    let taken = tally.take_seen();
    assert_eq!(taken.len(), 1);
    let sums = [(64, 220), (65, 5_000), (67, 1), (71, 170), (72, 100)];
    let predicted = [(73, 70), (96 + 9, 1)];
    let expected = [&[(10, 2), (32 + 21, 1)][..], &sums, &predicted].concat();
    assert_eq!(flat(&taken[0].1), expected);
    assert!(tally.take_seen().is_empty());
    tally.on_done(entry, false);

    let row = |address: usize, seen: Vec<Seen>| EndpointReport {
        address: format!("{address:05}"),
        seen,
        ..Default::default()
    };
    let both = merge([row(1, taken[0].1.clone()), row(1, taken[0].1.clone())]);
    assert_eq!(
        flat(&both[0].seen),
        Vec::from_iter(expected.iter().map(|(kind, count)| (*kind, 2 * count)))
    );
    let many: Vec<Seen> = (0..100).map(|kind| Seen { kind, count: 1 }).collect();
    let full = merge((0..200).map(|address| row(address, many.clone())));
    assert_eq!(
        full.iter().map(|row| row.seen.len()).sum::<usize>(),
        limits::SEEN
    );
}

#[test]
fn who_waits_for_a_body_at_an_endpoint_that_left_is_counted_when_the_body_has_gone_out() {
    let mut tally = Tally::default();
    let id = EndpointId(1);
    let mut entry = tally.on_sent(id, &"a:1".into(), 10, false).unwrap();
    tally.retain(|_| false);
    tally.on_whole(&mut entry);
    assert_eq!(tally.lines[&id].counts.in_flight, 1);
    tally.on_done(entry, false);
    tally.retain(|_| false);
    assert!(tally.lines.is_empty());
}

#[test]
fn changes_are_reported_once() {
    let mut tally = Tally::default();
    assert!(!tally.is_changed());
    tally.on_decided();
    assert!(tally.is_changed());
    tally.take();
    assert!(!tally.is_changed());
}
