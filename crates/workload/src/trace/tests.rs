use proptest::prelude::*;

use super::*;
use crate::block_hashes;

const REPLAY: Replay = Replay {
    time_scale: 1.0,
    limits: Limits {
        context_tokens: 32_000,
    },
};

const MOONCAKE: &str = r#"{"timestamp": 3000, "input_length": 1100, "output_length": 52, "hash_ids": [0, 1, 2]}
{"timestamp": 3000, "input_length": 1536, "output_length": 26, "hash_ids": [0, 1, 9]}
{"timestamp": 6500, "input_length": 700, "output_length": 10}
"#;

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8\r\n";

#[test]
fn mooncake_rows_become_requests_that_share_their_blocks() {
    let trace = Trace::parse(MOONCAKE.as_bytes()).unwrap();
    assert_eq!(
        (trace.format, trace.rows.len(), trace.span_s()),
        ("mooncake", 3, 3.5)
    );
    let turns: Vec<Turn> = trace
        .sessions(1, REPLAY)
        .map(|mut session| session.next().unwrap())
        .collect();
    assert_eq!(
        turns
            .iter()
            .map(|turn| turn.prompt.tokens())
            .collect::<Vec<_>>(),
        [1_100, 1_536, 700]
    );
    let hashes = |turn| {
        let mut out = Vec::new();
        block_hashes(turn, 512, &mut out);
        out
    };
    let (first, second, third) = (hashes(&turns[0]), hashes(&turns[1]), hashes(&turns[2]));
    assert_eq!(first[..2], second[..2]);
    assert_ne!(second[2], first[1]);
    assert_ne!(third[0], first[0]);
}

#[test]
fn azure_rows_keep_their_times() {
    let trace = Trace::parse(AZURE.as_bytes()).unwrap();
    assert_eq!(
        trace.rows[0],
        Row {
            at_s: 0.0,
            prompt_tokens: 4_808,
            output_tokens: 10,
            blocks: vec![]
        }
    );
    assert!((trace.rows[1].at_s - 0.052).abs() < 1e-6);
    let slow = Replay {
        time_scale: 10.0,
        ..REPLAY
    };
    assert!((trace.sessions(1, slow).nth(1).unwrap().start_s() - 0.52).abs() < 1e-5);
}

#[test]
fn a_prompt_that_does_not_fit_is_shortened() {
    let trace = Trace::parse(AZURE.as_bytes()).unwrap();
    let small = Replay {
        time_scale: 1.0,
        limits: Limits {
            context_tokens: 100,
        },
    };
    let turn = trace.sessions(1, small).next().unwrap().next().unwrap();
    assert_eq!((turn.prompt.tokens(), turn.answer.tokens), (90, 10));
}

#[test]
fn an_error_names_line_field_value_and_fix() {
    let azure = |row: &str| {
        Trace::parse(format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{row}\n").as_bytes())
            .unwrap_err()
            .to_string()
    };
    let mooncake = |row: &str| {
        Trace::parse(format!("{MOONCAKE}{row}\n").as_bytes())
            .unwrap_err()
            .to_string()
    };
    for (text, wanted) in [
        (
            azure("yesterday,1,2"),
            ["line 2", "TIMESTAMP", "yesterday", "YYYY-MM-DD"],
        ),
        (
            azure("2023-11-16 18:17:03,-4,2"),
            ["line 2", "ContextTokens", "-4", "whole number"],
        ),
        (
            azure("2023-11-16 18:17:03,4,99999999999"),
            ["line 2", "GeneratedTokens", "99999999999", "10,000,000"],
        ),
        (
            azure("2023-11-16 18:17:03,4"),
            ["line 2", "columns", "18:17:03,4", "time,context,generated"],
        ),
        (
            azure("2023-11-16 18:17:03,4,4\n2023-11-16 18:17:02,4,4"),
            ["line 3", "line", "18:17:02", "sort the file"],
        ),
        (mooncake("{}"), ["line 4", "line", "{}", "input_length"]),
        (
            mooncake(r#"{"timestamp":-5,"input_length":1,"output_length":1}"#),
            ["line 4", "timestamp", "-5", "milliseconds"],
        ),
        (
            mooncake(r#"{"timestamp":9000,"input_length":1,"output_length":1,"hash_ids":[1,2]}"#),
            ["line 4", "hash_ids", "2", "512"],
        ),
    ] {
        assert!(
            wanted.iter().all(|part| text.contains(part)),
            "{text} should name {wanted:?}"
        );
    }
    let other = Trace::parse(b"a,b,c\n").unwrap_err().to_string();
    assert!(
        other.contains("line 1") && other.contains("a,b,c"),
        "{other}"
    );
    assert!(Trace::parse(b"TIMESTAMP,ContextTokens,GeneratedTokens\n").is_err());
}

#[test]
fn a_line_beyond_the_limit_is_refused_and_not_echoed_whole() {
    let mut bytes = MOONCAKE.as_bytes().to_vec();
    bytes.extend(std::iter::repeat_n(b'x', LONGEST_LINE_BYTES + 1));
    let error = Trace::parse(&bytes).unwrap_err();
    assert_eq!(error.line, 4);
    assert!(error.to_string().len() < 300);
}

/// Reads the published files if they lie beside the project. The tests above run the same code
/// without the files.
#[test]
fn published_traces_have_their_published_means() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/traces");
    for (file, rows, mean_input, mean_output) in [
        ("azure_llm_2023_conv.csv", 19_366, 1_155.0, 211.0),
        ("azure_llm_2023_code.csv", 8_819, 2_048.0, 27.9),
        (
            "mooncake_conversation_first20min.jsonl",
            3_658,
            13_403.0,
            348.5,
        ),
    ] {
        let Ok(bytes) = std::fs::read(format!("{folder}/{file}")) else {
            continue;
        };
        let trace = Trace::parse(&bytes).unwrap();
        let mean = |of: fn(&Row) -> u32| {
            trace.rows.iter().map(|row| f64::from(of(row))).sum::<f64>() / trace.rows.len() as f64
        };
        assert_eq!(trace.rows.len(), rows, "{file}");
        assert!(
            (mean(|row| row.prompt_tokens) / mean_input - 1.0).abs() < 0.1,
            "{file}"
        );
        assert!(
            (mean(|row| row.output_tokens) / mean_output - 1.0).abs() < 0.05,
            "{file}"
        );
    }
}

proptest! {
    #[test]
    fn bytes_cut_and_changed_anywhere_never_panic(cut in 0_usize..600, at in 0_usize..600, byte: u8, azure: bool) {
        let mut bytes = if azure { AZURE.as_bytes().to_vec() } else { MOONCAKE.as_bytes().to_vec() };
        if let Some(target) = bytes.get_mut(at) {
            *target = byte;
        }
        bytes.truncate(cut);
        if let Ok(trace) = Trace::parse(&bytes) {
            prop_assert!(trace.sessions(1, REPLAY).all(|session| session.count() == 1));
        }
    }
}
