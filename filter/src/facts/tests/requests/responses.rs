//! OpenAI's responses.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "responses, a string",
        path: "/v1/responses",
        body: r#"{"model":"gpt-4.1","instructions":"Talk like a pirate.","input":"Are semicolons optional in JavaScript?","max_output_tokens":1000,"stream":true,"prompt_cache_key":"docs-bot"}"#,
        model: Some("gpt-4.1"),
        stream: Some(true),
        max_output_tokens: Some(1000),
        system: "Talk like a pirate.",
        says: &["Are semicolons optional in JavaScript?"],
        ..Case::CHAT
    },
    Case {
        name: "responses, items of an agent",
        path: "/v1/responses",
        body: r#"{"input":[{"role":"user","content":"Horoscope for Aquarius?"},{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Need the tool."}]},{"arguments":"{\"sign\":\"Aquarius\"}","call_id":"call_9","name":"get_horoscope","type":"function_call","id":"fc_1","status":"completed"},{"type":"function_call_output","call_id":"call_9","output":"An otter."}],"model":"gpt-5","store":false,"tools":[{"type":"function","name":"get_horoscope","description":"Get today's horoscope.","parameters":{"type":"object","properties":{"sign":{"type":"string"}}}}],"text":{"format":{"type":"text"}}}"#,
        model: Some("gpt-5"),
        says: &[
            "Horoscope for Aquarius?",
            "rs_1",
            "Need the tool.",
            "{\"sign\":\"Aquarius\"}",
            "call_9",
            "get_horoscope",
            "fc_1",
            "completed",
            "call_9",
            "An otter.",
        ],
        history: 8,
        tools: (100, 180),
        ..Case::CHAT
    },
    Case {
        name: "responses, an image and a file",
        path: "/v1/responses",
        body: r#"{"model":"gpt-4.1-mini","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"what's in these?"},{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="},{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQKJcfsj6IKNSAwIG9iago8PC9MZW5n"}]}],"prompt":{"id":"pmpt_1","variables":{"city":"Rome"}}}"#,
        model: Some("gpt-4.1-mini"),
        says: &["what's in these?", "a.pdf"],
        tokens: 6_000,
        ..Case::CHAT
    },
];
