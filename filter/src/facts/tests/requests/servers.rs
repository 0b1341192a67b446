//! What vLLM, SGLang, TGI, Triton and KServe accept beyond the public APIs.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "vLLM, chat with its extra parameters",
        body: r#"{"model": "Qwen/Qwen3-8B", "messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://example/v.mp4"}}, {"type": "text", "text": "What happens?"}]}], "min_tokens": 1, "max_tokens": 64, "guided_choice": ["a", "b"], "chat_template_kwargs": {"enable_thinking": false}, "cache_salt": "x", "priority": 1}"#,
        model: Some("Qwen/Qwen3-8B"),
        max_output_tokens: Some(64),
        says: &["What happens?"],
        tokens: 6_000,
        ..Case::CHAT
    },
    Case {
        name: "vLLM, rerank",
        path: "/v1/rerank",
        body: r#"{"model": "BAAI/bge-reranker-base", "query": "What is the capital of France?", "documents": ["The capital of Brazil is Brasilia.", "The capital of France is Paris."], "top_n": 1}"#,
        model: Some("BAAI/bge-reranker-base"),
        says: &[
            "What is the capital of France?",
            "The capital of Brazil is Brasilia.",
            "The capital of France is Paris.",
        ],
        ..Case::PROMPT
    },
    Case {
        name: "Jina, rerank with documents as objects",
        path: "/rerank",
        body: r#"{"documents": [{"text": "A trim tab."}, {"text": "A rudder."}], "query": "small", "model": "jina-reranker-v2", "return_documents": false}"#,
        model: Some("jina-reranker-v2"),
        says: &["A trim tab.", "A rudder.", "small"],
        ..Case::PROMPT
    },
    Case {
        name: "vLLM, score",
        path: "/score",
        body: r#"{"model": "m", "encoding_format": "float", "text_1": ["What is the capital of Brazil?"], "text_2": ["Brasilia.", "Paris."]}"#,
        model: Some("m"),
        says: &["What is the capital of Brazil?", "Brasilia.", "Paris."],
        ..Case::PROMPT
    },
    Case {
        name: "vLLM, generate from token ids",
        path: "/inference/v1/generate",
        body: r#"{"model":"m","token_ids":[151644,872,198,9707,0],"sampling_params":{"temperature":0.0,"max_tokens":20,"detokenize":false},"stream":false}"#,
        model: Some("m"),
        stream: Some(false),
        max_output_tokens: Some(20),
        tokens: 5,
        ..Case::PROMPT
    },
    Case {
        name: "SGLang, generate",
        path: "/generate",
        body: r#"{"text": "The capital of France is", "sampling_params": {"temperature": 0, "max_new_tokens": 32, "stop": ["\n"]}, "stream": true}"#,
        stream: Some(true),
        max_output_tokens: Some(32),
        says: &["The capital of France is"],
        ..Case::PROMPT
    },
    Case {
        name: "SGLang, token ids and an image",
        path: "/generate",
        body: r#"{"image_data": ["data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="], "input_ids": [[1, 15043, 3186], [1, 2]], "sampling_params": [{"max_new_tokens": 8}, {"max_new_tokens": 9}], "return_logprob": false}"#,
        tokens: 1_005,
        ..Case::PROMPT
    },
    Case {
        name: "TGI, generate",
        path: "/generate_stream",
        body: r#"{"inputs":"What is Deep Learning?","parameters":{"best_of":1,"decoder_input_details":true,"details":true,"do_sample":true,"max_new_tokens":20,"repetition_penalty":1.03,"return_full_text":false,"seed":null,"stop":["photographer"],"temperature":0.5}}"#,
        max_output_tokens: Some(20),
        says: &["What is Deep Learning?"],
        ..Case::PROMPT
    },
    Case {
        name: "Triton with vLLM, generate",
        path: "/v2/models/vllm_model/generate",
        body: r#"{"text_input": "What is Triton Inference Server?", "parameters": {"stream": false, "temperature": 0, "max_tokens": 48}, "exclude_input_in_output": true}"#,
        stream: Some(false),
        max_output_tokens: Some(48),
        says: &["What is Triton Inference Server?"],
        ..Case::PROMPT
    },
    Case {
        name: "Triton with TensorRT-LLM, generate",
        path: "/v2/models/ensemble/generate",
        body: r#"{"text_input": "What is machine learning?", "max_tokens": 20, "bad_words": "", "stop_words": "", "stream": true}"#,
        stream: Some(true),
        max_output_tokens: Some(20),
        says: &["What is machine learning?"],
        ..Case::PROMPT
    },
    Case {
        name: "KServe, infer with the data last",
        path: "/v2/models/vllm_model/infer",
        body: r#"{"id": "42", "inputs": [{"name": "text_input", "shape": [1, 1], "datatype": "BYTES", "data": ["My name is", " Olivier"]}, {"name": "stream", "shape": [1], "datatype": "BOOL", "data": [false]}, {"name": "max_tokens", "shape": [1, 1], "datatype": "INT32", "data": [[64]]}], "outputs": [{"name": "text_output"}]}"#,
        stream: Some(false),
        max_output_tokens: Some(64),
        says: &["My name is", " Olivier"],
        ..Case::PROMPT
    },
    Case {
        name: "KServe, infer with sorted keys and token ids",
        path: "/v2/models/tensorrt_llm/versions/1/infer",
        body: r#"{"inputs":[{"data":[[1,15043,3186,29991]],"datatype":"INT32","name":"input_ids","shape":[1,4]},{"data":[[4]],"datatype":"INT32","name":"input_lengths","shape":[1,1]},{"data":[[30]],"datatype":"INT32","name":"request_output_len","shape":[1,1]},{"data":[[true]],"datatype":"BOOL","name":"stream","shape":[1,1]}]}"#,
        stream: Some(true),
        max_output_tokens: Some(30),
        tokens: 4,
        ..Case::PROMPT
    },
];
