//! Bodies in the shapes of the APIs, with texts of several sizes, keys in several orders, written in two ways.

use crate::facts::tests::words;

/// A document whose keys have an order.
#[derive(Debug, Clone)]
enum Node {
    Text(String),
    /// A number, `true`, `false` or `null`.
    Plain(String),
    List(Vec<Node>),
    Object(Vec<(&'static str, Node)>),
}

use Node::{List, Object};

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) path: &'static str,
    pub(super) json: String,
    /// It has nothing but text.
    pub(super) is_text: bool,
    /// What a medium is may stand behind it.
    pub(super) names_late: bool,
}

type Shape = (&'static str, &'static str, fn(usize) -> Node);

/// Bytes of the long text in each.
const SIZES: [usize; 4] = [40, 1_500, 9_000, 40_000];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    AsWritten,
    Sorted,
    Reversed,
}

pub(super) fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (name, path, shape) in SHAPES {
        for size in SIZES {
            for order in [Order::AsWritten, Order::Sorted, Order::Reversed] {
                let node = shape(size);
                let is_text = ![
                    "image", "audio", "file", "document", "video", "ids", "tensor",
                ]
                .iter()
                .any(|word| name.contains(word));
                let spaced = (size / 20) % 4 == 2 || order == Order::Reversed;
                let mut json = String::new();
                write(&node, order, spaced, &mut json);
                samples.push(Sample {
                    name: format!("{name}, {size}, {order:?}"),
                    path,
                    is_text,
                    names_late: order != Order::AsWritten && !is_text,
                    json,
                });
            }
        }
    }
    samples
}

fn write(node: &Node, order: Order, spaced: bool, out: &mut String) {
    let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
    match node {
        Node::Text(text) => out.push_str(&serde_json::to_string(text).expect("text")),
        Node::Plain(literal) => out.push_str(literal),
        List(items) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                out.push_str(if number > 0 { comma } else { "" });
                write(item, order, spaced, out);
            }
            out.push(']');
        }
        Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            match order {
                Order::AsWritten => {}
                Order::Sorted => fields.sort_by_key(|(key, _)| *key),
                Order::Reversed => fields.reverse(),
            }
            out.push('{');
            for (number, (key, value)) in fields.into_iter().enumerate() {
                out.push_str(if number > 0 { comma } else { "" });
                out.push_str(&format!("\"{key}\"{colon}"));
                write(value, order, spaced, out);
            }
            out.push('}');
        }
    }
}

fn text(text: &str) -> Node {
    Node::Text(text.into())
}

/// Lines of words with what JSON has to escape.
fn long(seed: usize, bytes: usize) -> Node {
    let text = words(seed, bytes)
        .replace("w7 ", "\"é\"\n")
        .replace("w14 ", "日本\\");
    Node::Text(text)
}

fn number(number: usize) -> Node {
    Node::Plain(number.to_string())
}

fn flag(flag: bool) -> Node {
    Node::Plain(flag.to_string())
}

fn message(role: &'static str, content: Node) -> Node {
    Object(vec![("role", text(role)), ("content", content)])
}

fn part(kind: &'static str, key: &'static str, value: Node) -> Node {
    Object(vec![("type", text(kind)), (key, value)])
}

fn said(value: Node) -> Node {
    part("text", "text", value)
}

fn data(size: usize) -> Node {
    Node::Text("QUJD".repeat(size / 4))
}

fn ids(count: usize) -> Node {
    List(
        (0..count)
            .map(|id| number(100 + id * 7_919 % 128_000))
            .collect(),
    )
}

fn schema() -> Node {
    let property = Object(vec![("type", text("string")), ("minLength", number(1))]);
    Object(vec![
        ("type", text("object")),
        ("properties", Object(vec![("city", property)])),
        ("required", List(vec![text("city")])),
        ("additionalProperties", flag(false)),
    ])
}

fn functions(size: usize) -> Node {
    let function = |seed| {
        Object(vec![
            ("name", text("get_weather")),
            ("description", long(seed, size / 4)),
            ("parameters", schema()),
        ])
    };
    let tool = |seed| {
        Object(vec![
            ("type", text("function")),
            ("function", function(seed)),
        ])
    };
    List(vec![tool(8), tool(9)])
}

fn chat(messages: Vec<Node>) -> Node {
    Object(vec![
        ("model", text("meta-llama/Llama-3.1-8B-Instruct")),
        ("stream", flag(true)),
        ("messages", List(messages)),
        ("max_tokens", number(256)),
        ("temperature", Node::Plain("0.7".into())),
        ("stop", List(vec![text("###")])),
    ])
}

fn turns(size: usize) -> Vec<Node> {
    vec![
        message("system", long(1, size / 2)),
        message("user", long(2, size / 2)),
        message("assistant", long(3, size)),
        message("user", long(4, 60)),
    ]
}

fn asked(parts: Vec<Node>) -> Node {
    chat(vec![
        message("system", text("Look closely.")),
        message("user", List(parts)),
    ])
}

const CHAT: &str = "/v1/chat/completions";

const SHAPES: &[Shape] = &[
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
