use super::*;
use trimtab_loadtable::{Seen, limits};
use trimtab_pick::{Config, EndpointLoad, PoolFacts, State};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Millis = Millis(1_000);

/// Returns a table of those of eight endpoints whose bits are set.
fn table(set: u64) -> Rc<Snapshot> {
    let row = |id| EndpointLoad {
        id: EndpointId(id),
        state: State::Ready,
        wait_s: Some(0.0),
        prefill_tokens_per_s: Some(10_000.0),
        speed: Some(1.0),
        ..EndpointLoad::default()
    };
    let rows = (0..8).filter(|id| set >> id & 1 == 1).map(row).collect();
    Rc::new(Snapshot::new(rows, PoolFacts::default(), NOW))
}

fn books() -> Books {
    let mut books = Books::new(Picker::new(Config::default()));
    books.on_table(table(0xff), None);
    books
}

fn address(id: u64) -> Rc<str> {
    format!("10.0.0.{id}:80").into()
}

fn booking(prompt_tokens: u32) -> Booking {
    Booking::from(Request {
        prompt_tokens: Some(prompt_tokens),
        ..Request::default()
    })
}

fn sent(books: &mut Books, id: u64, counted: Counted) -> Sent {
    books.on_sent(NOW, EndpointId(id), &address(id), &booking(10), counted)
}

/// Returns the totals of an endpoint. All 0: reports do not have it.
fn totals(books: &Books, id: u64) -> EndpointReport {
    let all = books.tally.report();
    let own = all.into_iter().find(|row| row.address == *address(id));
    own.unwrap_or_default()
}

#[test]
fn in_flight_is_what_was_sent_and_not_ended_in_both_books_under_any_order_of_events() {
    let mut rng = Rng::new(1);
    let mut below = |n: usize| rng.next_u64() % n as u64;
    for _ in 0..30 {
        let (mut books, mut live) = (books(), Vec::<Sent>::new());
        for _ in 0..100 {
            let at = (!live.is_empty()).then(|| below(live.len()) as usize);
            match (below(5), at) {
                (0, _) => live.push(sent(&mut books, below(8), Counted::Whole)),
                (1, Some(at)) => books.on_first_byte(NOW, &mut live[at]),
                (2, Some(at)) => books.on_done(live.swap_remove(at), below(2) == 0),
                (3, Some(at)) => {
                    let (request, to) = (live.swap_remove(at), below(8));
                    let to = Some((EndpointId(to), &address(to)));
                    live.extend(books.on_rerouted(NOW, request, to, &booking(10)));
                }
                _ => books.on_table(table(below(256)), None),
            }
            for id in 0..8 {
                let on = live
                    .iter()
                    .filter(|sent| sent.ticket.endpoint() == EndpointId(id));
                let pending = on.clone().filter(|sent| sent.ticket.is_pending()).count();
                let tokens: u32 = on.clone().map(Sent::pending_tokens).sum();
                let own = totals(&books, id);
                assert_eq!(own.in_flight as usize, on.clone().count());
                let told = (own.pending as usize, own.pending_tokens);
                assert_eq!(told, (pending, tokens));
                assert!(own.started <= own.sent && own.finished <= own.sent);
                assert!(own.failed <= own.finished && own.sent_tokens <= 10 * own.sent);
                let picked = books.picker.own_work();
                let picked = picked.filter(|work| work.endpoint == EndpointId(id));
                let flight = |work: trimtab_pick::OwnWork| (work.in_flight, work.pending_tokens);
                let picked = picked.map(flight).next().unwrap_or_default();
                assert_eq!(picked, (own.in_flight, u64::from(tokens)));
            }
        }
        live.into_iter().for_each(|sent| books.on_done(sent, false));
        books.on_table(table(0), None);
        assert!(books.tally.report().is_empty() && books.picker.own_work().next().is_none());
    }
}

#[test]
fn a_prompt_that_grows_is_pending_as_a_whole_until_the_first_byte() {
    let mut books = books();
    let mut request = sent(&mut books, 1, Counted::Whole);
    books.on_grown(NOW, &mut request, &booking(10), 90);
    let tokens = |books: &Books| {
        let own = totals(books, 1);
        (own.sent_tokens, own.pending_tokens, own.started)
    };
    assert_eq!(tokens(&books), (100, 100, 0));
    (0..2).for_each(|_| books.on_first_byte(NOW, &mut request));
    assert_eq!(tokens(&books), (100, 0, 1));
    assert!(!books.on_grown(NOW, &mut request, &booking(100), 1_000_000));
    assert_eq!(tokens(&books), (100, 0, 1));
    books.on_done(request, false);
}

#[test]
fn who_waits_for_a_body_at_an_endpoint_that_left_is_counted_when_the_body_has_gone_out() {
    let mut books = books();
    let mut request = sent(&mut books, 1, Counted::Coming);
    assert_eq!(
        (totals(&books, 1).in_flight, totals(&books, 1).pending),
        (0, 1)
    );
    books.on_table(table(0), None);
    (0..2).for_each(|_| books.on_whole(&mut request));
    assert_eq!(totals(&books, 1).in_flight, 1);
    books.on_done(request, false);
    books.on_table(table(0), None);
    assert!(books.tally.report().is_empty());
}

#[test]
fn what_is_not_counted_is_in_the_pickers_books_alone() {
    let mut books = books();
    let mut request = sent(&mut books, 1, Counted::No);
    books.on_whole(&mut request);
    books.on_grown(NOW, &mut request, &booking(10), 5);
    books.on_first_byte(NOW, &mut request);
    books.saw_end(&request, 5);
    assert_eq!(books.picker.own_work().count(), 1);
    books.on_done(request, true);
    assert!(!books.is_changed() && books.tally.report().is_empty());
    assert!(books.tally.take_seen().is_empty());
}

#[test]
fn what_was_seen_is_handed_over_once() {
    let mut books = books();
    let request = sent(&mut books, 1, Counted::Whole);
    books.saw_first_byte(&request, 100, Some(170));
    books.saw_first_byte(&request, 120, None);
    books.saw_end(&request, 5_000);
    books.saw_error(&request, ErrorKind::Reset);
    let (lists, report) = books.write("chat", 7, 0);
    let flat = |seen: &[Seen]| -> Vec<_> { seen.iter().map(|one| (one.kind, one.count)).collect() };
    let sums = [(64, 220), (65, 5_000), (67, 1), (71, 170), (72, 100)];
    let predicted = [(73, 70), (96 + 9, 1)];
    let expected = [&[(10, 2), (32 + 21, 1)][..], &sums, &predicted].concat();
    assert_eq!(flat(&report.endpoints[0].seen), expected);
    let (_, report) = books.write("chat", 7, lists);
    assert!(report.endpoints[0].seen.is_empty());
    books.on_done(request, false);
}

#[test]
fn changes_are_reported_once_and_each_report_remembers_what_had_been_sent() {
    let mut books = books();
    assert!(!books.is_changed());
    books.on_undecided();
    assert!(books.is_changed());
    let (_, first) = books.write("chat", 7, 0);
    let before = books.picker.sends();
    assert!(!books.is_changed());
    let request = sent(&mut books, 1, Counted::Whole);
    let (_, second) = books.write("chat", 7, 0);
    assert_eq!((first.sequence, second.sequence), (1, 2));
    assert_eq!((first.decided, second.proxy, second.workers), (1, 7, 1));
    assert_eq!(books.sends(1), Some(before));
    assert_eq!(books.sends(2), Some(books.picker.sends()));
    assert_eq!(books.sends(3), None);
    books.on_done(request, false);
}

#[test]
fn no_more_endpoints_are_counted_than_a_report_may_have() {
    let mut books = books();
    let most = limits::ENDPOINTS as u64;
    let all: Vec<Sent> = (0..=most)
        .map(|id| sent(&mut books, id, Counted::Whole))
        .collect();
    assert_eq!(books.tally.report().len(), limits::ENDPOINTS);
    assert_eq!(all.last().map(|sent| sent.counted), Some(Counted::No));
    all.into_iter().for_each(|sent| books.on_done(sent, false));
}
