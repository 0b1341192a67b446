//! Anthropic's messages.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "anthropic-python, system prompt last",
        path: "/v1/messages",
        body: r#"{"max_tokens":1024,"messages":[{"role":"user","content":"Hello there."},{"role":"assistant","content":"Hi, I'm Claude. How can I help you?"},{"role":"user","content":"Can you explain LLMs in plain English?"}],"model":"claude-sonnet-4-5","system":"Answer in one sentence.","stream":true}"#,
        model: Some("claude-sonnet-4-5"),
        stream: Some(true),
        max_output_tokens: Some(1024),
        system: "Answer in one sentence.",
        says: &[
            "Hello there.",
            "Hi, I'm Claude. How can I help you?",
            "Can you explain LLMs in plain English?",
        ],
        history: 2,
        ..Case::CHAT
    },
    Case {
        name: "anthropic-node, marks for the cache",
        path: "/v1/messages",
        body: r#"{"model":"claude-opus-4-1","max_tokens":32000,"messages":[{"role":"user","content":[{"type":"text","text":"List the files."},{"type":"text","text":"And count them.","cache_control":{"type":"ephemeral"}}]}],"system":[{"type":"text","text":"You are an agent for coding. ","cache_control":{"type":"ephemeral"}},{"type":"text","text":"Follow the rules.","cache_control":{"type":"ephemeral","ttl":"1h"}}],"tools":[{"name":"bash","description":"Run a command.","input_schema":{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]},"cache_control":{"type":"ephemeral"}}],"metadata":{"user_id":"user_1_session_2"},"stream":true}"#,
        model: Some("claude-opus-4-1"),
        stream: Some(true),
        max_output_tokens: Some(32_000),
        // Two blocks; `says` has the second.
        system: "You are an agent for coding. ",
        says: &["List the files.", "And count them.", "Follow the rules."],
        tools: (100, 190),
        ..Case::CHAT
    },
    Case {
        name: "anthropic, thinking and a tool's result with an image",
        path: "/v1/messages",
        body: r#"{"model":"claude-sonnet-4-5","max_tokens":4096,"thinking":{"type":"enabled","budget_tokens":2048},"messages":[{"role":"user","content":"Screenshot, please."},{"role":"assistant","content":[{"type":"thinking","thinking":"I need the tool.","signature":"EqQBCgIYAhIM"},{"type":"tool_use","id":"toolu_01","name":"shot","input":{"url":"http://example/","wait":3}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_01","content":[{"type":"text","text":"done"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"}}],"is_error":false}]}]}"#,
        model: Some("claude-sonnet-4-5"),
        max_output_tokens: Some(4096),
        says: &[
            "Screenshot, please.",
            "I need the tool.",
            "EqQBCgIYAhIM",
            "toolu_01",
            "shot",
            "http://example/",
            "toolu_01",
            "done",
        ],
        history: 6,
        tokens: 1_000,
        ..Case::CHAT
    },
    Case {
        name: "langchain, ChatAnthropic",
        path: "/v1/messages",
        body: r#"{"max_tokens":1024,"messages":[{"role":"user","content":"What is the capital of France?"}],"model":"claude-3-5-haiku-latest","system":"You are a geographer.","temperature":0.2}"#,
        model: Some("claude-3-5-haiku-latest"),
        max_output_tokens: Some(1024),
        system: "You are a geographer.",
        says: &["What is the capital of France?"],
        ..Case::CHAT
    },
];
