//! Shapes of the APIs of OpenAI, which vLLM and others also offer.

use super::*;

const CHAT: &str = "/v1/chat/completions";

pub(super) const SHAPES: &[Shape] = &[
    ("chat", CHAT, |size| chat(turns(size))),
    ("chat, one question", CHAT, |size| {
        chat(vec![message("user", long(1, size))])
    }),
    ("chat, short turns", CHAT, |size| {
        let turn = |at: usize| message(["user", "assistant"][at % 2], long(at, 90));
        chat((0..1 + size / 100).map(turn).collect())
    }),
    ("chat, parts", CHAT, |size| {
        asked(vec![said(long(1, size)), said(long(2, 30))])
    }),
    ("chat, tools", CHAT, |size| {
        let call = Object(vec![
            ("id", text("call_1")),
            ("type", text("function")),
            (
                "function",
                Object(vec![
                    ("name", text("get_weather")),
                    ("arguments", text("{\"city\":\"Rome\"}")),
                ]),
            ),
        ]);
        let mut messages = turns(size);
        messages.push(Object(vec![
            ("role", text("assistant")),
            ("content", Node::Plain("null".into())),
            ("tool_calls", List(vec![call])),
        ]));
        messages.push(Object(vec![
            ("role", text("tool")),
            ("tool_call_id", text("call_1")),
            ("content", long(5, size / 3)),
        ]));
        let Object(mut fields) = chat(messages) else {
            unreachable!()
        };
        fields.push(("tools", functions(size)));
        fields.push(("tool_choice", text("auto")));
        Object(fields)
    }),
    ("chat, image", CHAT, |size| {
        let url = Object(vec![("url", data(size)), ("detail", text("high"))]);
        asked(vec![
            said(text("What is this?")),
            part("image_url", "image_url", url),
        ])
    }),
    ("chat, images first", CHAT, |size| {
        let image = |_| part("image_url", "image_url", Object(vec![("url", data(size))]));
        let mut parts: Vec<Node> = (0..3).map(image).collect();
        parts.push(said(long(1, size)));
        asked(parts)
    }),
    ("chat, audio and file", CHAT, |size| {
        let sound = Object(vec![("data", data(size)), ("format", text("wav"))]);
        let file = Object(vec![("filename", text("a.pdf")), ("file_data", data(size))]);
        asked(vec![
            part("input_audio", "input_audio", sound),
            part("file", "file", file),
            said(text("Compare them.")),
        ])
    }),
    ("vLLM, video", CHAT, |size| {
        let video = Object(vec![("url", data(size))]);
        let sound = Object(vec![("url", text("http://a/b.wav"))]);
        asked(vec![
            part("video_url", "video_url", video),
            part("audio_url", "audio_url", sound),
        ])
    }),
    ("responses, a string", "/v1/responses", |size| {
        Object(vec![
            ("model", text("gpt-4.1")),
            ("instructions", long(1, size / 2)),
            ("input", long(2, size)),
            ("max_output_tokens", number(1_000)),
            (
                "text",
                Object(vec![("format", Object(vec![("type", text("text"))]))]),
            ),
            ("stream", flag(true)),
        ])
    }),
    ("responses, items", "/v1/responses", |size| {
        let summary = List(vec![part("summary_text", "text", long(2, size / 2))]);
        let items = vec![
            message(
                "user",
                List(vec![part("input_text", "text", long(1, size))]),
            ),
            Object(vec![
                ("id", text("rs_1")),
                ("type", text("reasoning")),
                ("summary", summary),
            ]),
            Object(vec![
                ("type", text("function_call")),
                ("call_id", text("c1")),
                ("name", text("get")),
                ("arguments", text("{}")),
            ]),
            Object(vec![
                ("type", text("function_call_output")),
                ("call_id", text("c1")),
                ("output", long(3, size)),
            ]),
        ];
        Object(vec![
            ("input", List(items)),
            ("model", text("gpt-5")),
            ("store", flag(false)),
            ("tools", functions(size)),
        ])
    }),
    (
        "responses, references and containers",
        "/v1/responses",
        |size| {
            let reference = Object(vec![
                ("type", text("item_reference")),
                ("id", text("msg_1")),
            ]);
            let files = List(vec![text("file-1"), text("file-2")]);
            let container = Object(vec![("type", text("auto")), ("file_ids", files)]);
            let tools = vec![
                Object(vec![
                    ("type", text("code_interpreter")),
                    ("container", container),
                ]),
                Object(vec![
                    ("type", text("file_search")),
                    ("vector_store_ids", List(vec![text("vs_1")])),
                ]),
            ];
            Object(vec![
                ("model", text("m")),
                ("tools", List(tools)),
                (
                    "input",
                    List(vec![reference, message("user", long(1, size))]),
                ),
            ])
        },
    ),
    ("responses, image and file", "/v1/responses", |size| {
        let parts = vec![
            part("input_image", "image_url", data(size)),
            part("input_file", "file_data", data(size)),
            part("input_image", "file_id", text("file-17")),
            part("input_text", "text", long(1, size)),
        ];
        Object(vec![
            ("model", text("m")),
            ("input", List(vec![message("user", List(parts))])),
        ])
    }),
    ("completions", "/v1/completions", |size| {
        Object(vec![
            ("model", text("m")),
            ("prompt", long(1, size)),
            ("suffix", text("end")),
            ("max_tokens", number(7)),
            ("logprobs", Node::Plain("null".into())),
        ])
    }),
    ("completions, several", "/v1/completions", |size| {
        let prompts = (0..4).map(|seed| long(seed, size / 4)).collect();
        Object(vec![
            ("prompt", List(prompts)),
            ("model", text("m")),
            ("stream", flag(false)),
        ])
    }),
    ("completions, ids", "/v1/completions", |size| {
        Object(vec![
            ("model", text("m")),
            ("prompt", ids(size / 5)),
            ("echo", flag(true)),
        ])
    }),
    ("embeddings", "/v1/embeddings", |size| {
        let inputs = (0..1 + size / 400).map(|seed| long(seed, 300)).collect();
        Object(vec![
            ("input", List(inputs)),
            ("model", text("e")),
            ("encoding_format", text("base64")),
        ])
    }),
    ("embeddings, ids", "/v1/embeddings", |size| {
        Object(vec![
            ("input", List(vec![ids(size / 9), ids(size / 8)])),
            ("model", text("e")),
        ])
    }),
];
