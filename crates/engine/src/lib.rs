//! A pure, step-driven model of a continuous-batching LLM server.
