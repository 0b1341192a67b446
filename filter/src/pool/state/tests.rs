use super::*;
use crate::facts::{Body, Plan};
use crate::pool::table::tests::table;
use std::collections::BTreeSet;

const NOW: Millis = Millis(10_000);

fn head() -> Head {
    Head {
        plan: Plan::Read,
        forged: 0,
        content_length: None,
        route: Default::default(),
        model: None,
        session: None,
        client: None,
        held: None,
        makes: false,
        tells: false,
        is_plain: false,
        is_prompt: true,
        pools: crate::config::PoolSet::one(0),
        mode: None,
        routed: false,
        passed_shape: None,
        explain: true,
    }
}

fn with_table(addresses: &[&str]) -> (Config, PoolState) {
    let mut config = Config::example();
    config.explain_header = Some("x-why".into());
    let mut state = PoolState::new(&config, "chat", 1);
    state.adopt(table(1, 1, addresses), NOW, None);
    (config, state)
}

fn hosts_first(placement: &Choice) -> Option<&str> {
    placement.hosts.split(',').next()
}

#[test]
fn without_a_table_there_is_no_opinion() {
    let config = Config::example();
    let mut state = PoolState::new(&config, "chat", 1);
    let placed = state.place(NOW, &config, Mode::Enforce, &head(), None);
    assert!(placed.placement.is_none());
    assert_eq!(placed.explanation.unwrap().reason, "no_table");
    assert_eq!(state.books.write("chat", 1, 0).1.decided, 1);
}

#[test]
fn the_header_lists_as_many_hosts_of_the_table_as_configured_and_no_host_twice() {
    let addresses = [
        "10.0.0.1:80",
        "10.0.0.2:80",
        "10.0.0.3:80",
        "[2001:db8::1]:80",
    ];
    let (mut config, mut state) = with_table(&addresses);
    for max_hosts in 1..=3 {
        config.max_hosts = max_hosts;
        let placed = state.place(NOW, &config, Mode::Enforce, &head(), None);
        let placement = placed.placement.unwrap();
        let hosts: BTreeSet<&str> = placement.hosts.split(',').collect();
        assert_eq!(hosts.len(), max_hosts, "{}", placement.hosts);
        assert!(hosts.iter().all(|host| addresses.contains(host)));
        let endpoint = placed.explanation.unwrap().endpoint;
        assert_eq!(endpoint.as_deref(), hosts_first(&placement));
    }
}

#[test]
fn an_adapter_is_one_that_the_table_names() {
    let (_, state) = with_table(&["10.0.0.1:80"]);
    let loaded = state.loaded().unwrap();
    let adapter = |model: &str| {
        let head = Head {
            model: Some(model.into()),
            ..head()
        };
        facts::request(&head, None, loaded.key, &loaded.table).adapter
    };
    assert_eq!(adapter("poet").unwrap().index, Some(0));
    assert_eq!(adapter("base"), None);
}

#[test]
fn an_adapter_has_a_cache_of_its_own_and_a_base_model_is_the_same_also_where_its_name_is_out_of_sight()
 {
    let (_, state) = with_table(&["10.0.0.1:80"]);
    let loaded = state.loaded().unwrap();
    // As clients write it: the model after the messages.
    let asked = |model: &str, turns: usize| {
        let system = "You are a helper. ".repeat(200);
        let answer = "as I said ".repeat(1_200 * turns);
        let json = format!(
            r#"{{"messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"hello"}},{{"role":"assistant","content":"{answer}"}}],"model":"{model}"}}"#
        );
        let mut body = Body::new(head().route.shape);
        body.feed(&json.as_bytes()[..json.len().min(16_384)]);
        let ending = body.ending().unwrap_or(facts::Ending::Cap);
        let facts = body.facts(ending, facts::Length::Whole(json.len() as u64));
        assert_eq!(facts.model.is_some(), turns < 2);
        let request = facts::request(&head(), Some(&facts), loaded.key, &loaded.table);
        let conversation = request.conversation.expect("a turn");
        (request.prefix.expect("a system prompt"), conversation.key)
    };
    let (prefix, conversation) = asked("base", 1);
    assert_eq!(asked("base", 2), (prefix, conversation));
    assert_eq!(asked("other", 1), (prefix, conversation));
    assert_ne!(asked("poet", 1).0.key, prefix.key);
}

#[test]
fn a_body_that_was_read_under_one_table_is_placed_under_the_key_of_the_next() {
    let (config, mut state) = with_table(&["10.0.0.1:80", "10.0.0.2:80"]);
    let mut body = Body::new(head().route.shape);
    let json = format!(r#"{{"prompt": "{}"}}"#, "word ".repeat(1_000));
    body.feed(json.as_bytes());
    let facts = body.facts(facts::Ending::Whole, facts::Length::AtLeast(0));
    let prefix = |state: &mut PoolState| {
        let placed = state.place(NOW, &config, Mode::Enforce, &head(), Some(&facts));
        placed.placement.unwrap().booking.shared_keys().next()
    };
    let before = prefix(&mut state);
    assert!(before.is_some());
    assert_eq!(prefix(&mut state), before);
    let mut next = table(1, 2, &["10.0.0.1:80", "10.0.0.2:80"]);
    next.placement_key = [9; 16];
    state.adopt(next, NOW, None);
    assert_ne!(prefix(&mut state), before);
}

#[test]
fn a_request_is_booked_where_it_went_and_leaves_nothing_behind() {
    let (config, mut state) = with_table(&["10.0.0.1:80", "10.0.0.2:80"]);
    let placed = state.place(NOW, &config, Mode::Enforce, &head(), None);
    let placement = placed.placement.unwrap();
    let first = placement.address.to_string();
    let other = if first == "10.0.0.1:80" {
        "10.0.0.2:80"
    } else {
        "10.0.0.1:80"
    };
    let on = |state: &mut PoolState, address: &str| {
        let (_, report) = state.books.write("chat", 1, 0);
        let mut rows = report.endpoints.into_iter();
        rows.find(|line| line.address == address)
            .map_or((0, 0), |line| (line.in_flight, line.failed))
    };
    let (mut sent, _) = state.on_sent(NOW, &placement);
    assert_eq!(**sent.address(), *first);
    assert_eq!(on(&mut state, &first), (0, 0), "its body is still coming");
    (0..2).for_each(|_| state.books.on_whole(&mut sent));
    assert_eq!(on(&mut state, &first), (1, 0));

    let mut sent = state
        .on_rerouted(NOW, sent, other, &placement.booking)
        .unwrap();
    assert_eq!(on(&mut state, &first), (0, 1));
    assert_eq!(on(&mut state, other), (1, 0));
    state.books.on_first_byte(NOW, &mut sent);
    // A table without either of the two endpoints comes while the request is under way.
    state.adopt(table(1, 2, &["10.0.0.9:80"]), NOW, None);
    assert_eq!(on(&mut state, other), (1, 0));
    state.books.on_done(sent, false);
    state.adopt(table(1, 3, &["10.0.0.9:80"]), NOW, None);
    assert!(state.books.write("chat", 1, 0).1.endpoints.is_empty());
}

#[test]
fn a_request_that_went_to_a_stranger_is_not_booked() {
    let (config, mut state) = with_table(&["10.0.0.1:80"]);
    let placed = state.place(NOW, &config, Mode::Enforce, &head(), None);
    let placement = placed.placement.unwrap();
    let (sent, _) = state.on_sent(NOW, &placement);
    assert!(
        state
            .on_rerouted(NOW, sent, "10.9.9.9:1", &placement.booking)
            .is_none()
    );
    let (_, report) = state.books.write("chat", 1, 0);
    assert!(report.endpoints.iter().all(|line| line.in_flight == 0));
}
