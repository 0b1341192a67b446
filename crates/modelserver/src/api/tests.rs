//! Bodies from hostile clients, without a socket.

use super::body::Body;
use super::kinds::Kind;
use super::prepare::Job;
use super::*;
use crate::driver::Submission;
use axum::body::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use trimtab_engine::Profile;

fn shared() -> (Arc<Shared>, mpsc::UnboundedReceiver<Command>) {
    let spec = Spec {
        model: "m".to_owned(),
        max_model_len: 512,
        ..Spec::new("api", Profile::named("l4").unwrap())
    };
    let (commands, receiver) = mpsc::unbounded_channel();
    let observed = Arc::new(Mutex::new(Observed::new(512)));
    (
        Arc::new(Shared::new(spec, commands, observed, Arc::default())),
        receiver,
    )
}

/// Generates any JSON, a few levels deep.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..600u32).prop_map(Value::from),
        any::<f64>().prop_map(|x| json!(x)),
        "[a-z ]{0,40}".prop_map(Value::from),
        Just(json!("user")),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let key = prop_oneof![
            Just("role"),
            Just("content"),
            Just("type"),
            Just("text"),
            Just("output"),
            Just("include_usage")
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn body() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "model",
        "prompt",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "min_tokens",
        "ignore_eos",
        "n",
        "seed",
        "stream",
        "stream_options",
        "input",
        "instructions",
        "max_output_tokens",
        "unknown",
    ]);
    prop::collection::btree_map(key, value(), 0..8).prop_map(|map| json!(map))
}

fn start(shared: &Arc<Shared>, kind: Kind, bytes: Vec<u8>) -> Result<Job, error::ApiError> {
    let bytes = Bytes::from(bytes);
    let body = match kind {
        Kind::Response => responses::chat_of(&bytes)?,
        Kind::Chat | Kind::Completion => Body::parse(&bytes)?,
    };
    Job::start(shared.clone(), kind, body)
}

proptest! {
    #[test]
    fn a_body_is_either_refused_as_the_clients_fault_or_planned_within_the_limits(body in body(), cut in any::<prop::sample::Index>()) {
        let (shared, mut commands) = shared();
        let text = body.to_string().into_bytes();
        let cut = text[..cut.index(text.len() + 1)].to_vec();
        for bytes in [text, cut] {
            for kind in [Kind::Chat, Kind::Completion, Kind::Response] {
                match start(&shared, kind, bytes.clone()) {
                    Err(error) => prop_assert!(error.status.is_client_error(), "{:?}", error),
                    Ok(job) => {
                        let Ok(Command::Submit(submissions)) = commands.try_recv() else {
                            return Err(TestCaseError::fail("nothing was submitted"));
                        };
                        prop_assert_eq!(submissions.len(), job.choices.len());
                        for Submission { request, max_tokens, .. } in submissions {
                            prop_assert!(request.prompt_tokens >= 1 && request.output_tokens >= 1);
                            prop_assert!(request.output_tokens <= max_tokens);
                            prop_assert!(request.prompt_tokens + max_tokens <= 512);
                            let blocks = (request.prompt_tokens + request.output_tokens) / 16;
                            prop_assert_eq!(request.chain.len() as u32, blocks);
                        }
                        drop(job);
                        prop_assert!(matches!(commands.try_recv(), Ok(Command::Cancel(_))));
                    }
                }
                // Its place is free again in every case.
                prop_assert_eq!(shared.sequences.load(std::sync::atomic::Ordering::Relaxed), 0);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_not_a_request(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (shared, _commands) = shared();
        for kind in [Kind::Chat, Kind::Completion, Kind::Response] {
            prop_assert!(start(&shared, kind, bytes.clone()).is_err());
        }
    }
}

#[test]
fn a_deeply_nested_body_is_refused() {
    let (shared, _commands) = shared();
    let nested = format!(
        r#"{{"prompt":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(start(&shared, Kind::Completion, nested.into_bytes()).is_err());
}

#[test]
fn the_base_model_and_an_adapter_share_no_block() {
    let (shared, mut commands) = shared();
    shared.adapters.write().unwrap().load("sql", "/a").unwrap();
    let mut chain = |model: &str| {
        let body = json!({"model": model, "prompt": "w ".repeat(64), "max_tokens": 16, "ignore_eos": true});
        let _job = start(&shared, Kind::Completion, body.to_string().into_bytes()).unwrap();
        loop {
            // The previous job was dropped, and so it was cancelled.
            match commands.try_recv() {
                Ok(Command::Submit(mut submissions)) => break submissions.remove(0).request.chain,
                Ok(Command::Cancel(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let (base, adapter) = (chain("m"), chain("sql"));
    assert_eq!((base.len(), adapter.len()), (5, 5));
    assert!(base.iter().all(|hash| !adapter.contains(hash)));
}
