//! Shapes of the other APIs.

use super::*;

pub(super) const SHAPES: &[Shape] = &[
    ("anthropic", "/v1/messages", |size| {
        Object(vec![
            ("max_tokens", number(1_024)),
            ("messages", List(turns(size).split_off(1))),
            ("model", text("claude")),
            ("system", long(1, size / 2)),
            ("stream", flag(true)),
        ])
    }),
    (
        "anthropic, blocks, tools and image",
        "/v1/messages",
        |size| {
            let mark = Object(vec![("type", text("ephemeral")), ("ttl", text("1h"))]);
            let block = |seed| {
                Object(vec![
                    ("type", text("text")),
                    ("text", long(seed, size / 4)),
                    ("cache_control", mark.clone()),
                ])
            };
            let input = Object(vec![
                ("file", text("a.rs")),
                ("source", text("b")),
                ("type", text("c")),
                ("depth", number(3)),
            ]);
            let call = Object(vec![
                ("type", text("tool_use")),
                ("id", text("t1")),
                ("name", text("bash")),
                ("input", input),
            ]);
            let shot = Object(vec![
                ("type", text("base64")),
                ("media_type", text("image/png")),
                ("data", data(size)),
            ]);
            let result = Object(vec![
                ("type", text("tool_result")),
                ("tool_use_id", text("t1")),
                (
                    "content",
                    List(vec![said(long(5, size)), part("image", "source", shot)]),
                ),
            ]);
            let tool = Object(vec![
                ("name", text("bash")),
                ("input_schema", schema()),
                ("cache_control", mark.clone()),
            ]);
            Object(vec![
                ("model", text("claude")),
                ("max_tokens", number(32_000)),
                ("system", List(vec![block(1), block(2)])),
                (
                    "messages",
                    List(vec![
                        message("user", List(vec![block(3)])),
                        message("assistant", List(vec![said(long(4, size)), call])),
                        message("user", List(vec![result])),
                    ]),
                ),
                ("tools", List(vec![tool])),
                ("metadata", Object(vec![("user_id", text("u"))])),
            ])
        },
    ),
    ("anthropic, document", "/v1/messages", |size| {
        let pdf = Object(vec![
            ("type", text("base64")),
            ("media_type", text("application/pdf")),
            ("data", data(size)),
        ]);
        asked(vec![part("document", "source", pdf), said(long(1, 99))])
    }),
    (
        "anthropic, document in plain text",
        "/v1/messages",
        |size| {
            let plain = Object(vec![
                ("type", text("text")),
                ("media_type", text("text/plain")),
                ("data", long(2, size)),
            ]);
            asked(vec![part("document", "source", plain), said(long(1, 99))])
        },
    ),
    ("gemini", "/v1beta/models/gemini:generateContent", |size| {
        let said = |role, seed| {
            let parts = List(vec![Object(vec![("text", long(seed, size))])]);
            Object(vec![("role", text(role)), ("parts", parts)])
        };
        let system = List(vec![Object(vec![("text", long(1, size / 2))])]);
        Object(vec![
            (
                "contents",
                List(vec![said("user", 2), said("model", 3), said("user", 4)]),
            ),
            ("systemInstruction", Object(vec![("parts", system)])),
            (
                "generationConfig",
                Object(vec![("maxOutputTokens", number(99))]),
            ),
            (
                "tools",
                List(vec![Object(vec![(
                    "functionDeclarations",
                    functions(size),
                )])]),
            ),
        ])
    }),
    (
        "gemini, image and file",
        "/v1beta/models/gemini:generateContent",
        |size| {
            let inline = |kind| {
                Object(vec![(
                    "inlineData",
                    Object(vec![("mimeType", text(kind)), ("data", data(size))]),
                )])
            };
            let parts = vec![
                Object(vec![("text", text("Compare."))]),
                inline("image/png"),
                inline("application/pdf"),
                inline("audio/wav"),
            ];
            Object(vec![(
                "contents",
                List(vec![Object(vec![
                    ("role", text("user")),
                    ("parts", List(parts)),
                ])]),
            )])
        },
    ),
    ("cohere, chat with sources", "/v2/chat", |size| {
        let source = |seed| {
            Object(vec![(
                "data",
                Object(vec![("title", text("t")), ("snippet", long(seed, size))]),
            )])
        };
        let Object(mut fields) = chat(turns(size)) else {
            unreachable!()
        };
        fields.push(("documents", List(vec![source(7), source(8)])));
        Object(fields)
    }),
    ("cohere, chat of version 1", "/v1/chat", |size| {
        let said = |role, seed| Object(vec![("role", text(role)), ("message", long(seed, size))]);
        Object(vec![
            ("message", long(1, size)),
            ("preamble", long(2, size / 2)),
            (
                "chat_history",
                List(vec![said("USER", 3), said("CHATBOT", 4)]),
            ),
            ("model", text("command")),
        ])
    }),
    ("cohere, embed", "/v2/embed", |size| {
        Object(vec![
            ("model", text("e")),
            ("texts", List(vec![long(1, size), long(2, size)])),
            ("input_type", text("x")),
        ])
    }),
    ("rerank", "/v2/rerank", |size| {
        Object(vec![
            ("model", text("r")),
            ("query", long(1, 80)),
            ("documents", List(vec![long(2, size), long(3, size)])),
            ("top_n", number(3)),
        ])
    }),
    ("score", "/score", |size| {
        Object(vec![
            ("model", text("r")),
            ("text_1", long(1, 80)),
            ("text_2", List(vec![long(2, size)])),
        ])
    }),
    ("vLLM, ids", "/inference/v1/generate", |size| {
        Object(vec![
            ("token_ids", ids(size / 5)),
            ("sampling_params", Object(vec![("max_tokens", number(16))])),
            ("stream", flag(true)),
        ])
    }),
    ("SGLang", "/generate", |size| {
        Object(vec![
            ("text", long(1, size)),
            (
                "sampling_params",
                Object(vec![("max_new_tokens", number(8))]),
            ),
        ])
    }),
    ("llama.cpp", "/completion", |size| {
        Object(vec![
            ("prompt", long(1, size)),
            ("n_predict", number(8)),
            ("cache_prompt", flag(true)),
            ("stream", flag(true)),
        ])
    }),
    ("SGLang, ids and image", "/generate", |size| {
        Object(vec![
            ("image_data", List(vec![data(size)])),
            ("input_ids", ids(size / 6)),
            ("stream", flag(false)),
        ])
    }),
    ("TGI", "/generate_stream", |size| {
        let parameters = Object(vec![
            ("max_new_tokens", number(20)),
            ("stop", List(vec![text("x")])),
        ]);
        Object(vec![("inputs", long(1, size)), ("parameters", parameters)])
    }),
    ("Triton", "/v2/models/vllm/generate", |size| {
        let parameters = Object(vec![("stream", flag(false)), ("max_tokens", number(48))]);
        Object(vec![
            ("text_input", long(1, size)),
            ("parameters", parameters),
        ])
    }),
    ("KServe, tensor of text", "/v2/models/vllm/infer", |size| {
        let tensor = |name: &str, data| {
            Object(vec![
                ("name", text(name)),
                ("shape", List(vec![number(1)])),
                ("datatype", text("BYTES")),
                ("data", data),
            ])
        };
        Object(vec![
            ("id", text("42")),
            (
                "inputs",
                List(vec![
                    tensor("text_input", List(vec![long(1, size), long(2, size)])),
                    tensor("stream", List(vec![flag(false)])),
                    tensor("max_tokens", List(vec![List(vec![number(64)])])),
                ]),
            ),
        ])
    }),
    ("KServe, tensor of ids", "/v2/models/trt/infer", |size| {
        let tensor = |name: &str, data| {
            Object(vec![
                ("name", text(name)),
                ("shape", List(vec![number(1)])),
                ("data", data),
            ])
        };
        Object(vec![(
            "inputs",
            List(vec![
                tensor("input_ids", List(vec![ids(2 + size / 6)])),
                tensor("input_lengths", List(vec![List(vec![number(4)])])),
                tensor("request_output_len", List(vec![List(vec![number(30)])])),
                tensor("stream", List(vec![List(vec![flag(true)])])),
            ]),
        )])
    }),
    ("Ollama, chat with images", "/api/chat", |size| {
        let arguments = Object(vec![
            ("source", text("here")),
            ("images", List(vec![text("none")])),
        ]);
        let call = Object(vec![(
            "function",
            Object(vec![("name", text("look")), ("arguments", arguments)]),
        )]);
        Object(vec![
            ("model", text("llava")),
            (
                "messages",
                List(vec![
                    message("system", long(1, size / 3)),
                    Object(vec![
                        ("role", text("user")),
                        ("content", long(2, size)),
                        ("images", List(vec![data(size), data(size)])),
                    ]),
                    Object(vec![
                        ("role", text("assistant")),
                        ("content", text("")),
                        ("tool_calls", List(vec![call])),
                    ]),
                ]),
            ),
            ("stream", flag(false)),
            ("options", Object(vec![("num_ctx", number(4_096))])),
        ])
    }),
    ("Ollama, generate with an image", "/api/generate", |size| {
        Object(vec![
            ("model", text("llava")),
            ("system", long(1, size / 3)),
            ("prompt", long(2, size)),
            ("images", List(vec![data(size)])),
            ("keep_alive", text("5m")),
        ])
    }),
];
