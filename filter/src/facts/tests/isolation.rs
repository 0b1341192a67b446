//! What is not text of the prompt but matters for the decision: salts, and names of what servers
//! keep.

use super::super::head::tests::head;
use super::super::{Body, BodyFacts, Digest, Length, Purpose};

fn read(json: &str) -> BodyFacts {
    let head = head("/v1/responses");
    let mut body = Body::new(head.route.shape);
    body.feed(json.as_bytes());
    let ending = body.ending().expect("it is whole");
    body.facts(ending, Length::Whole(json.len() as u64))
}

fn chat(salt: &str) -> String {
    let system = "You are a helper. ".repeat(200);
    format!(
        r#"{{"model":"m","messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"hello"}}]{salt}}}"#
    )
}

#[test]
fn a_salt_makes_another_prefix_and_another_conversation_wherever_it_stands() {
    let plain = read(&chat(""));
    let salted = read(&chat(r#","cache_salt":"ann""#));
    let (a, b) = (plain.beginning.unwrap(), salted.beginning.unwrap());
    assert_ne!(a.digest, b.digest);
    assert_ne!(a.blocks[0], b.blocks[0]);
    assert_eq!((a.tokens, a.blocks[6]), (b.tokens, b.blocks[6]), "as long");
    assert_ne!(plain.conversation, salted.conversation);
    let again = read(&chat(r#","temperature":1,"cache_salt":"ann""#));
    assert_eq!(
        (again.beginning, again.conversation),
        (Some(b), salted.conversation)
    );
    let before = chat("").replacen('{', r#"{"cache_salt":"ann","#, 1);
    assert_eq!(read(&before).beginning, Some(b));
    let long = |end: &str| format!(r#","cache_salt":"{}{end}""#, "x".repeat(2_000));
    let others = [
        r#","cache_salt":"bob""#.to_owned(),
        r#","extra_key":["ann","bob"]"#.to_owned(),
        r#","extra_key":["annb","ob"]"#.to_owned(),
        r#","extra_key":["bob",7]"#.to_owned(),
        long("ann"),
        long("bob"),
    ];
    let mut digests = vec![a.digest.bits(), b.digest.bits()];
    digests.extend(others.map(|other| read(&chat(&other)).beginning.unwrap().digest.bits()));
    let different: std::collections::HashSet<_> = digests.iter().collect();
    assert_eq!(different.len(), digests.len());
    for none in [r#","cache_salt":null"#, r#","cache_salt":"""#] {
        assert_eq!(read(&chat(none)).beginning, Some(a), "{none}");
    }
}

#[test]
fn the_name_of_what_a_server_keeps_is_found() {
    let held = |name: &str| Some(Digest::of(Purpose::Held, name.as_bytes()));
    for (fields, expected) in [
        (r#""previous_response_id":"resp_1""#, held("resp_1")),
        (r#""conversation":"conv_1""#, held("conv_1")),
        (r#""conversation":{"id":"conv_1"}"#, held("conv_1")),
        (
            r#""conversation":{"x":"y","id":"conv_1","z":{"id":"no"}}"#,
            held("conv_1"),
        ),
        (
            r#""conversation":"conv_1","previous_response_id":"resp_1""#,
            held("resp_1"),
        ),
        (r#""input_file_id":"file-1""#, held("file-1")),
        (
            r#""previous_response_id":"resp_0","previous_response_id":"resp_1""#,
            held("resp_1"),
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-2"}},{"type":"text","text":"x"}]}]"#,
            held("file-2"),
        ),
        (
            r#""messages":[{"content":[{"type":"tool_use","input":{"a":{"file_id":"file-2"}}}]}]"#,
            None,
        ),
        (r#""metadata":{"file_id":"file-2"}"#, None),
        (r#""previous_response_id":null"#, None),
        (r#""previous_response_id":["resp_1"]"#, None),
        (r#""conversation":null"#, None),
        (r#""session_params":{"rid":null,"id":"s1"}"#, held("s1")),
        (r#""container":"cntr_1""#, held("cntr_1")),
        (
            r#""tools":[{"type":"code_interpreter","container":"cntr_1"}]"#,
            held("cntr_1"),
        ),
        (
            r#""tools":[{"container":{"type":"auto","file_ids":["file-1","file-2"],"x":"y"},"z":"w"}]"#,
            held("file-2"),
        ),
        (
            r#""tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]"#,
            held("vs_1"),
        ),
        (
            r#""tools":[{"container":{"type":"auto"},"name":"f","parameters":{"container":{"type":"string"}}}]"#,
            None,
        ),
    ] {
        let facts = read(&format!(r#"{{"model":"m","input":"and then?",{fields}}}"#));
        assert_eq!(facts.held, expected, "{fields}");
    }
    let long = "r".repeat(5_000);
    let facts = read(&format!(r#"{{"previous_response_id":"{long}"}}"#));
    assert_eq!(facts.held, held(&long), "gateways put much into a name");
}

#[test]
fn an_item_that_is_nothing_but_a_name_is_kept_by_a_server() {
    let held = |name: &str| Some(Digest::of(Purpose::Held, name.as_bytes()));
    for (items, expected) in [
        (r#"{"type":"item_reference","id":"msg_1"}"#, held("msg_1")),
        (
            r#"{"role":"user","content":"x"},{"id":"rs_1"}"#,
            held("rs_1"),
        ),
        (
            r#"{"id":"msg_1","type":"message","role":"assistant","content":"x"}"#,
            None,
        ),
        (r#"{"id":7,"type":"item_reference"}"#, None),
        (r#"{"id":{"id":"x"}}"#, None),
        (r#"{"type":"reasoning","summary":[{"id":"x"}]}"#, None),
    ] {
        let facts = read(&format!(r#"{{"input":[{items}]}}"#));
        assert_eq!(facts.held, expected, "{items}");
    }
}

#[test]
fn turns_of_a_conversation_that_a_server_keeps_have_one_key_whatever_they_say() {
    let turn = |input: &str| {
        read(&format!(
            r#"{{"model":"m","conversation":"conv_1","input":[{{"role":"user","content":"{input}"}}]}}"#
        ))
    };
    let (first, second) = (turn("hello"), turn("and then?"));
    assert_eq!(first.conversation, second.conversation);
    assert!(first.is_named && first.conversation.is_some());
    let other = read(r#"{"model":"m","session_id":"s","input":"hello"}"#);
    assert!(other.is_named && other.held.is_none());
}
