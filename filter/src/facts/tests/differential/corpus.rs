//! Bodies in the shapes of the APIs: texts of several sizes, keys in several orders, with and
//! without spaces.

mod openai;
mod others;

use crate::facts::tests::words;

/// A document whose keys have an order.
#[derive(Debug, Clone)]
enum Node {
    Text(String),
    /// A number, `true`, `false` or `null`.
    Plain(String),
    List(Vec<Self>),
    Object(Vec<(&'static str, Self)>),
}

use Node::{List, Object};

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) path: &'static str,
    pub(super) json: String,
    /// The body has nothing but text.
    pub(super) is_text: bool,
    /// The fields that name a medium's kind may stand after it.
    pub(super) names_late: bool,
}

type Shape = (&'static str, &'static str, fn(usize) -> Node);

/// Bytes of the long text in each body.
const SIZES: [usize; 4] = [40, 1_500, 9_000, 40_000];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    AsWritten,
    Sorted,
    Reversed,
}

pub(super) fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (name, path, shape) in openai::SHAPES.iter().chain(others::SHAPES) {
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

/// Lines of words with characters that JSON has to escape.
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
