//! What servers and gateways send, cut at every byte.

use proptest::prelude::*;

use super::{Begun, MAX_BYTES, Waiting};

/// The index of the piece in which the content or error begins, and which of the two.
fn begins(pieces: &[&[u8]], streams: bool) -> Option<(usize, Begun)> {
    let mut waiting = Waiting::new(streams);
    let each = pieces.iter().enumerate();
    each.filter(|(_, piece)| !piece.is_empty())
        .find_map(|(place, piece)| Some((place, waiting.feed(piece)?)))
}

/// Asserts that an answer begins with the byte after `|`, however it is cut, and not before.
/// Numbers and escapes count once they end.
#[track_caller]
fn begins_at_the_mark(answer: &str, streams: bool, how: Begun) {
    let at = answer.find('|').expect("a mark");
    let answer = answer.replacen('|', "", 1).into_bytes();
    assert_eq!(
        begins(&[&answer[..at]], streams),
        None,
        "{}",
        String::from_utf8_lossy(&answer[..at])
    );
    let single: Vec<&[u8]> = answer.chunks(1).collect();
    assert_eq!(
        begins(&single, streams),
        Some((at, how)),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    for cut in 0..answer.len() {
        let (left, right) = answer.split_at(cut);
        let place = usize::from(cut <= at);
        assert_eq!(
            begins(&[left, right], streams),
            Some((place, how)),
            "cut at {cut}"
        );
    }
}

const CONTENT: [&str; 26] = [
    // OpenAI, vLLM, SGLang: a chunk with the role alone, then text, reasoning, or a tool call.
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"|Hi\"},\"finish_reason\":null}]}\n\ndata: [DONE]\n\n",
    ": OPENROUTER PROCESSING\n\n: keep-alive\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"|Let\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}}]}\r\n\r\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[|{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":\"\"}}]}}]}\r\n\r\n",
    // Azure: what the content filter says about the prompt. llama.cpp: the progress of prefill.
    "data: {\"choices\":[],\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{\"hate\":{\"filtered\":false,\"severity\":\"safe\"}}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"|stop\"}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}],\"prompt_progress\":{\"total\":4000,\"cache\":0,\"processed\":2048,\"time_ms\":900}}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"|a\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"token_ids\":null,\"prompt_token_ids\":[1,2]}]}\n\ndata: {\"choices\":[{\"index\":0,\"text\":\"\",\"token_ids\":[12|]}]}\n\n",
    // The end of a stream without content.
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: [|DONE]\n\n",
    // Anthropic.
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m\",\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"|Hello\"}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"look\",\"input\":{}}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"|{\\\"\"}}\n\n",
    "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\ndata: {\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"|W\"}}\n\n",
    // The Responses API; vLLM writes `type` last.
    "event: response.created\ndata: {\"response\":{\"id\":\"resp_1\",\"created_at\":1,\"instructions\":[{\"role\":\"developer\",\"content\":[{\"type\":\"input_text\",\"text\":\"Be brief\"}]}],\"metadata\":{\"text\":\"x\"},\"error\":null,\"object\":\"response\",\"output\":[],\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"content\":\"x\"}],\"text\":{\"format\":{\"type\":\"json_schema\",\"content\":\"x\"},\"verbosity\":\"low\"},\"reasoning\":{\"effort\":\"high\",\"summary\":null},\"status\":\"in_progress\",\"usage\":null},\"sequence_number\":0,\"type\":\"response.created\"}\n\nevent: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"response\":{\"instructions\":\"Be brief\"}}\n\nevent: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"}}\n\nevent: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}}\n\nevent: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"delta\":\"|Hi\",\"obfuscation\":\"x\"}\n\n",
    "event: response.output_item.added\ndata: {\"item\":{\"type\":\"function_call\",\"name\":\"look\",\"call_id\":\"c\",\"arguments\":\"\"}}\n\ndata: {\"type\":\"keepalive\",\"sequence_number\":3}\n\nevent: response.function_call_arguments.delta\ndata: {\"delta\":\"|{\"}\n\n",
    // TGI writes no space; Triton; the own forms of SGLang and llama.cpp.
    "data:{\"index\":1,\"token\":{\"id\":5,\"text\":\"|a\",\"logprob\":-0.1,\"special\":false},\"generated_text\":null}\n\n",
    "data: {\"model_name\":\"m\",\"model_version\":\"1\",\"text_output\":\"|a\"}\n\n",
    "data: {\"text\":\"|a\",\"meta_info\":{\"finish_reason\":null}}\n\n",
    "data: {\"content\":\"|a\",\"stop\":false}\n\n",
    // Cohere, Gemini.
    "event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"1\",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}}\n\ndata: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\ndata: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"|a\"}}}}\n\n",
    "data: {\"response\":{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"|a\"}],\"role\":\"model\"}}]}}\n\n",
    // Lines of every kind: a byte order mark, retry and id, events of several lines, only carriage
    // returns, a list of texts, unknown fields.
    "\u{feff}retry: 100\nid: 7\nxyz: 1\ndata\n\ndata: {\"choices\":[{\"delta\":\ndata: {\"content\":\ndata:\"|a\"}}]}\n\n",
    ":\r\revent: progress\rdata: {\"position\":3,\"message\":\"queued\"}\r\rdata: {\"content\":[\"\",\"|a\"]}\r\r",
    "event: heartbeat\r\ndata: alive\r\n\r\nevent: x\r\ndata: |alive\r\n\r\n",
    // What only keeps the connection open, in various words; a gateway's queue; the request
    // repeated.
    "data: ping\n\ndata: NULL\n\nevent: Keep_Alive\ndata: {\"text\":\"x\"}\n\ndata: keep-alive\n\ndata: keep|ing on\n\n",
    "data: {\"queue\":{\"position\":3,\"text\":\"waiting\"}}\n\ndata: {\"request\":{\"messages\":[{\"content\":\"x\"}]}}\n\ndata: {\"text\":\"|a\"}\n\n",
    // An escape is text too. Names may also contain escapes. A value that looks like a name is not
    // a name.
    "data: {\"a\":\"content\",\"conten\\u0074\":\"\\u004|8\"}\n\n",
    "data: {\"model\":\"text\",\"x\":[\"content\",\"y\"],\"delta\":\"\",\"text\":\"| \"}\n\n",
    "data: {\"a\":1|]\n\n",
];

#[test]
fn content_begins_with_its_first_byte_however_the_stream_is_cut() {
    for answer in CONTENT {
        for streams in [true, false] {
            begins_at_the_mark(answer, streams, Begun::Content);
        }
    }
}

#[test]
fn compressed_answers_hide_where_their_content_begins_and_text_of_no_known_form_is_content() {
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b];
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58];
    let brotli = [0x8b, 0x05, 0x80, b'h', b'e'];
    let zlib = [0x78, 0x9c, 0xcb, 0x48];
    for streams in [true, false] {
        for hidden in [&gzip[..], &zstd, &brotli, &zlib] {
            assert_eq!(begins(&[hidden], streams), Some((0, Begun::Hidden)));
        }
        let cut = "\u{4f60}".as_bytes();
        for text in ["text", "\u{4f60}\u{597d}", "(", "x\t\r\n"] {
            let begun = begins(&[text.as_bytes()], streams);
            assert_eq!(begun, Some((0, Begun::Content)), "{text}");
        }
        assert_eq!(begins(&[&cut[..2]], streams), Some((0, Begun::Content)));
    }
}

#[test]
fn documents_of_a_streamed_answer_are_events_and_a_whole_answer_begins_with_its_first_key() {
    for answer in [
        // Ollama.
        "{\"model\":\"m\",\"created_at\":\"t\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"|a\"},\"done\":false}\n",
        "{\"response\":\"\",\"done\":false}\n\n{\"response\":\"\",\"thinking\":\"|a\",\"done\":false}\n",
        "\r\n[{\"candidates\":[{\"content\":{\"parts\":[]}}]}\n,\n{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"|a\"}]}}]}]",
        "{\n  \"choices\": [\n {\"message\": {\"content\": \"|a\"}}]\n}",
    ] {
        begins_at_the_mark(answer, true, Begun::Content);
    }
    for answer in [
        "{\"|choices\":[]}",
        " \n\n{\"|a\":1}",
        "{\"de|lta\":1}",
        "{ \"object\" : \"|list\"}",
        "{|}",
        "\n|[1]",
        "|text",
        "|x: y\n",
        "\r\n|\"a\"",
        "da|ily: x",
        "data|x",
    ] {
        begins_at_the_mark(answer, false, Begun::Content);
    }
}

#[test]
fn an_error_in_place_of_content_is_no_content() {
    for answer in [
        "data: {\"error\": |{\"message\": \"out of memory\", \"code\": 500}}\n\ndata: [DONE]\n\n",
        "event: ping\ndata: {}\n\nevent: error|\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
        "data:{\"error\":\"|Incomplete generation\",\"error_type\":\"x\"}\n\n",
        "data: {\"error\":null,\"choices\":[]}\n\ndata: {\"type\":\"error\",\"error\":|{}}\n\n",
    ] {
        begins_at_the_mark(answer, false, Begun::Error);
    }
    begins_at_the_mark("{\"error\":\"|no such model\"}\n", true, Begun::Error);
}

#[test]
fn a_whole_answer_that_begins_as_an_error_is_no_content() {
    for answer in [
        "{\"erro|r\":{\"message\":\"no such model\"}}",
        "\n{ \"erro|r\": \"x\", \"error_type\": \"validation\"}",
        "{\n  \"erro|rs\": []}",
        "{\"detail|\":\"Not Found\"}",
        "{\"object\": \"error|\",\"message\":\"too long\"}",
        "{\"type\":\"error|\",\"error\":{}}",
        "{\"message\":|\"denied\"}",
    ] {
        begins_at_the_mark(answer, false, Begun::Error);
    }
    for answer in [
        "{\"message\":|{\"role\":\"assistant\"}}",
        "{\"|id\":\"1\",\"error\":null}",
    ] {
        begins_at_the_mark(answer, false, Begun::Content);
    }
}

#[test]
fn what_never_ends_is_waited_for_up_to_a_bound() {
    // What begins, and what then repeats.
    let endless: [(&[u8], &[u8]); 5] = [
        (b"", b": comment\n\n"),
        (b"", b"data: {}\n\n"),
        (b"", b" "),
        (b"event: ", b"x"),
        (b"data: {", b"\"a\":\"b\","),
    ];
    for (head, piece) in endless {
        let mut waiting = Waiting::new(true);
        assert_eq!(waiting.feed(head), None);
        let piece = piece.repeat(1_000);
        let taken = (1..).find(|_| waiting.feed(&piece).is_some()).unwrap();
        let bytes = taken * piece.len();
        assert!(
            (MAX_BYTES - 10..MAX_BYTES + 2 * piece.len()).contains(&bytes),
            "{bytes}"
        );
    }
}

/// Pieces of streams, good and bad.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "data: ",
            "data:",
            "event: ",
            "event: ping",
            ": x",
            "\n",
            "\r\n",
            "\r",
            "\n\n",
            "{",
            "}",
            "[",
            "]",
            "\"",
            ",",
            ":",
            "\\",
            "{\"content\":\"\"}",
            "{\"error\":null}",
            "\"content\"",
            "\"text\"",
            "\"response\"",
            "\"tools\"",
            "null",
            "1",
            "[DONE]",
            "{\"delta\":{}}",
            "\\u00",
            "id: 1",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn how_a_hostile_stream_is_cut_changes_nothing(stream in parts(), sizes in prop::collection::vec(1_usize..9, 1..6), streams in any::<bool>()) {
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        let expected = begins(&single, streams);
        let (mut rest, mut at, mut waiting, mut found) = (&stream[..], 0, Waiting::new(streams), None);
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            if piece.is_empty() {
                break;
            }
            if let Some(begun) = waiting.feed(piece) {
                found = Some((at..at + piece.len(), begun));
                break;
            }
            at += piece.len();
            rest = after;
        }
        match (expected, found) {
            (None, None) => {}
            (Some((place, how)), Some((piece, begun))) => {
                prop_assert!(piece.contains(&place), "{place} {piece:?}");
                // Bytes of no known form are known for text only where enough of them come.
                let is_error = |how| how == Begun::Error;
                prop_assert_eq!(is_error(how), is_error(begun));
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn only_a_line_shows_that_an_answer_is_a_stream_of_events() {
    let has_events = |answer: &[u8]| {
        let mut waiting = Waiting::new(false);
        let _ = waiting.feed(answer);
        waiting.has_events()
    };
    for answer in [
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        ": ping\n\n",
        "\nevent: ping\n",
    ] {
        assert!(has_events(answer.as_bytes()), "{answer}");
    }
    // Transcriptions.
    for answer in [
        "data",
        "reading aloud: a",
        "dear sir",
        "it is",
        "{\"a\":1}",
        "text",
        "",
    ] {
        assert!(!has_events(answer.as_bytes()), "{answer}");
    }
}
