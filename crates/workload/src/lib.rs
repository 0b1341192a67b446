//! Seeded request streams: chat, agents, retrieval, long prompts, adapters, traces.
