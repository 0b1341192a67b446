//! OpenAI's completions, chat completions and embeddings.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "openai-python 2, chat",
        body: r#"{"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Who won the world series in 2020?"}],"model":"meta-llama/Llama-3.1-8B-Instruct","max_tokens":256,"stream":true,"user":"user-1234"}"#,
        model: Some("meta-llama/Llama-3.1-8B-Instruct"),
        stream: Some(true),
        max_output_tokens: Some(256),
        system: "You are a helpful assistant.",
        says: &["Who won the world series in 2020?"],
        ..Case::CHAT
    },
    Case {
        name: "openai-node, chat with history",
        body: r#"{"model":"gpt-4o","stream":false,"messages":[{"role":"developer","content":"Be brief."},{"role":"user","content":"Hello!"},{"role":"assistant","content":"Hi \ud83d\ude00, how can I help?"},{"role":"user","content":"Write a \"haiku\"\nabout trim tabs."}]}"#,
        model: Some("gpt-4o"),
        stream: Some(false),
        system: "Be brief.",
        says: &[
            "Hello!",
            "Hi 😀, how can I help?",
            "Write a \"haiku\"\nabout trim tabs.",
        ],
        history: 2,
        ..Case::CHAT
    },
    Case {
        name: "openai, reasoning model",
        body: r#"{
  "model": "o4-mini",
  "messages": [
    {"role": "user", "content": "Prove that there are infinitely many primes."}
  ],
  "reasoning_effort": "high",
  "max_completion_tokens": 4096,
  "response_format": {"type": "json_schema", "json_schema": {"name": "proof", "schema": {"type": "object", "properties": {"messages": {"type": "array"}, "stream": {"type": "boolean"}, "model": {"type": "string"}}}}}
}"#,
        model: Some("o4-mini"),
        max_output_tokens: Some(4096),
        says: &["Prove that there are infinitely many primes."],
        ..Case::CHAT
    },
    Case {
        name: "openai-python, vision",
        body: r#"{"messages":[{"role":"user","content":[{"type":"text","text":"What is in this image?"},{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/","detail":"high"}}]}],"model":"gpt-4o-mini","max_tokens":300}"#,
        model: Some("gpt-4o-mini"),
        max_output_tokens: Some(300),
        says: &["What is in this image?"],
        tokens: 1_000,
        ..Case::CHAT
    },
    Case {
        name: "openai-python, sound and a file",
        body: r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=","format":"wav"}},{"type":"file","file":{"filename":"draconomicon.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQKJcfsj6IKNSAwIG9iago8PC9MZW5ndGg="}},{"type":"text","text":"Compare them."}]}],"model":"gpt-4o-audio-preview","modalities":["text","audio"],"stream":true}"#,
        model: Some("gpt-4o-audio-preview"),
        stream: Some(true),
        says: &["wav", "draconomicon.pdf", "Compare them."],
        tokens: 5_500,
        ..Case::CHAT
    },
    Case {
        name: "openai-python, tools called in parallel",
        body: r#"{"messages":[{"role":"user","content":"What's the weather like in Paris and Rome?"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}},{"id":"call_2","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Rome\"}"}}]},{"role":"tool","tool_call_id":"call_1","content":"14 C"},{"role":"tool","tool_call_id":"call_2","content":"21 C"}],"model":"gpt-4.1","stream":true,"tool_choice":"auto","tools":[{"type":"function","function":{"name":"get_weather","description":"Get current temperature for a given city.","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false},"strict":true}}],"stream_options":{"include_usage":true}}"#,
        model: Some("gpt-4.1"),
        stream: Some(true),
        says: &[
            "What's the weather like in Paris and Rome?",
            "call_1",
            "get_weather",
            "{\"city\":\"Paris\"}",
            "call_2",
            "get_weather",
            "{\"city\":\"Rome\"}",
            "call_1",
            "14 C",
            "call_2",
            "21 C",
        ],
        history: 7,
        tools: (180, 280),
        ..Case::CHAT
    },
    Case {
        name: "langchain, ChatOpenAI after a tool",
        body: r#"{"messages":[{"content":"You answer from the documents.","role":"system"},{"content":"When was it built?","role":"user"},{"content":null,"role":"assistant","tool_calls":[{"type":"function","id":"call_GZ","function":{"name":"search","arguments":"{\"query\": \"built\"}"}}]},{"content":"Built in 1889.","role":"tool","tool_call_id":"call_GZ"}],"model":"gpt-4o","stream":true,"temperature":0.0,"tools":[{"type":"function","function":{"name":"search","description":"Search.","parameters":{"properties":{"query":{"type":"string"}},"required":["query"],"type":"object"}}}]}"#,
        model: Some("gpt-4o"),
        stream: Some(true),
        system: "You answer from the documents.",
        says: &[
            "When was it built?",
            "call_GZ",
            "search",
            "{\"query\": \"built\"}",
            "Built in 1889.",
            "call_GZ",
        ],
        history: 4,
        tools: (100, 190),
        ..Case::CHAT
    },
    Case {
        name: "llama-index, OpenAILike chat",
        body: r#"{"messages":[{"role":"system","content":"You are an expert Q&A system that is trusted around the world."},{"role":"user","content":"Context information is below.\n---------------------\nfile_path: a.txt\n\nThe author grew up in Ohio.\n---------------------\nQuery: Where?\nAnswer: "}],"model":"qwen2.5-7b","stream":false,"max_tokens":512,"temperature":0.1}"#,
        model: Some("qwen2.5-7b"),
        stream: Some(false),
        max_output_tokens: Some(512),
        system: "You are an expert Q&A system that is trusted around the world.",
        says: &[
            "Context information is below.\n---------------------\nfile_path: a.txt\n\nThe author grew up in Ohio.\n---------------------\nQuery: Where?\nAnswer: ",
        ],
        ..Case::CHAT
    },
    Case {
        name: "completions, one prompt with a session",
        path: "/v1/completions",
        body: r#"{"model":"davinci-002","prompt":"Say this is a test","max_tokens":7,"temperature":0,"stop":null,"logprobs":null,"session_id":"s-17"}"#,
        model: Some("davinci-002"),
        max_output_tokens: Some(7),
        says: &["Say this is a test"],
        ..Case::CHAT
    },
    Case {
        name: "completions, several prompts",
        path: "/v1/completions",
        body: r#"{"prompt":["Once upon a time","In a hole in the ground"],"model":"m","n":2,"best_of":2,"max_tokens":16}"#,
        model: Some("m"),
        max_output_tokens: Some(16),
        says: &["Once upon a time", "In a hole in the ground"],
        ..Case::PROMPT
    },
    Case {
        name: "completions, token ids of lm-evaluation-harness",
        path: "/v1/completions",
        body: r#"{"prompt": [[128000, 9906, 1917, 0], [128000, 791, 2217]], "model": "m", "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": true}"#,
        model: Some("m"),
        max_output_tokens: Some(1),
        tokens: 7,
        ..Case::PROMPT
    },
    Case {
        name: "llama-index, embeddings",
        path: "/v1/embeddings",
        body: r#"{"input":["The food was delicious and the waiter...","Trim tabs are small."],"model":"text-embedding-3-small","encoding_format":"base64"}"#,
        model: Some("text-embedding-3-small"),
        says: &[
            "The food was delicious and the waiter...",
            "Trim tabs are small.",
        ],
        ..Case::PROMPT
    },
    Case {
        name: "langchain, OpenAIEmbeddings sends token ids",
        path: "/v1/embeddings",
        body: r#"{"input":[[791,3691,574,18406],[9906]],"model":"text-embedding-ada-002","encoding_format":"base64"}"#,
        model: Some("text-embedding-ada-002"),
        tokens: 5,
        ..Case::PROMPT
    },
];
