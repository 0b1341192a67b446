//! The tokenizer against serde_json, and the facts of real request shapes.

mod shapes;
mod tokens;
