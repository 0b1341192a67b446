//! The engine on the wall clock behind HTTP: behaves and reports like vLLM, without a GPU.
