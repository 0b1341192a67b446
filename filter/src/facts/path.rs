//! What the path of a request shows. Gateways rewrite paths, so only their ends are looked at.

/// Ends of paths of the Responses API, and of SGLang's sessions.
const GOES_ON: [&[u8]; 4] = [
    b"/close_session",
    b"/responses",
    b"/responses/compact",
    b"/responses/input_tokens",
];

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shape {
    /// By the names of its fields, which do not collide between the APIs.
    #[default]
    Fields,
    /// `inputs` are tensors: `/v2/models/{model}/infer` of Triton and KServe.
    Tensors,
    /// `session_id` is the name of what the server keeps: SGLang's `/close_session`.
    Session,
}

/// What a path shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Route {
    /// The shape of the body.
    pub(crate) shape: Shape,
    /// The model, if the path has it: `/models/{model}/generate`,
    /// `/models/{model}/versions/{version}/infer`, `/models/{model}:generateContent`.
    pub(crate) model: Option<Vec<u8>>,
    /// The deployment, as Azure names it: `/deployments/{name}/chat/completions`. It stands for the
    /// model if nothing else names one.
    pub(crate) deployment: Option<Vec<u8>>,
    /// Whether the answer is streamed, if the path says so. Absent: the body says it.
    pub(crate) streams: Option<bool>,
    /// Ollama's own API, which streams unless the body says otherwise.
    pub(crate) streams_by_default: bool,
    /// The body may name, in any place, what a server keeps and the request goes on from:
    /// `/v1/responses` and paths about one.
    pub(crate) goes_on: bool,
}

impl Route {
    /// Reads a path without its query.
    pub(crate) fn of(path: &[u8]) -> Self {
        let mut from_end = path.rsplit(|byte| *byte == b'/');
        let last = from_end.next().unwrap_or_default();
        if let Some(colon) = last.iter().position(|byte| *byte == b':') {
            let (model, action) = last.split_at_checked(colon).unwrap_or_default();
            return Self {
                model: kept(model, from_end.next() == Some(b"models")),
                streams: match action {
                    b":generateContent" => Some(false),
                    b":streamGenerateContent" => Some(true),
                    _ => None,
                },
                ..Self::default()
            };
        }
        let (shape, streams) = match Some(last) {
            Some(b"infer") => (Shape::Tensors, Some(false)),
            Some(b"generate_stream") => (Shape::Fields, Some(true)),
            Some(b"generate") => (Shape::Fields, None),
            _ => {
                return Self {
                    shape: match last {
                        b"close_session" => Shape::Session,
                        _ => Shape::Fields,
                    },
                    deployment: deployment(path),
                    streams_by_default: path.ends_with(b"/api/chat"),
                    goes_on: GOES_ON.iter().any(|end| path.ends_with(end)),
                    ..Self::default()
                };
            }
        };
        let mut model = from_end.next();
        let mut before = from_end.next();
        if before == Some(b"versions") {
            model = from_end.next();
            before = from_end.next();
        }
        Self {
            shape,
            model: model.and_then(|name| kept(name, before == Some(b"models"))),
            streams,
            streams_by_default: path.ends_with(b"/api/generate") && before != Some(b"models"),
            ..Self::default()
        }
    }
}

/// Returns a name if it is plain. Escapes are not resolved, so a name with escapes counts as
/// absent.
fn kept(name: &[u8], is_there: bool) -> Option<Vec<u8>> {
    let is_plain = !name.is_empty() && !name.contains(&b'%');
    (is_there && is_plain).then(|| name.to_vec())
}

fn deployment(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts = path.split(|byte| *byte == b'/');
    parts.find(|part| *part == b"deployments")?;
    let name = parts.next()?;
    kept(name, parts.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::{Route, Shape};

    #[test]
    fn triton_and_kserve_name_the_model_in_the_path() {
        for (path, shape, model, streams) in [
            ("/v2/models/m/generate", Shape::Fields, Some("m"), None),
            (
                "/team/v2/models/m/versions/3/generate_stream",
                Shape::Fields,
                Some("m"),
                Some(true),
            ),
            ("/v2/models/m/infer", Shape::Tensors, Some("m"), Some(false)),
            ("/v2/models/a%2Fb/infer", Shape::Tensors, None, Some(false)),
            ("/v2/models//infer", Shape::Tensors, None, Some(false)),
            ("/generate", Shape::Fields, None, None),
            ("/generate_stream", Shape::Fields, None, Some(true)),
            ("/inference/v1/generate", Shape::Fields, None, None),
            ("/v1/models/m/chat/completions", Shape::Fields, None, None),
            (
                "/v1beta/models/g-2:streamGenerateContent",
                Shape::Fields,
                Some("g-2"),
                Some(true),
            ),
            (
                "/v1/projects/p/models/g:generateContent",
                Shape::Fields,
                Some("g"),
                Some(false),
            ),
            (
                "/v1/tuned/g:generateContent",
                Shape::Fields,
                None,
                Some(false),
            ),
            ("/models/:generateContent", Shape::Fields, None, Some(false)),
            ("", Shape::Fields, None, None),
        ] {
            let expected = Route {
                shape,
                model: model.map(Into::into),
                streams,
                ..Route::default()
            };
            assert_eq!(Route::of(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn only_ollama_streams_by_default() {
        for (path, by_default) in [
            ("/api/chat", true),
            ("/ollama/api/generate", true),
            ("/generate", false),
            ("/v1/chat", false),
            ("/v2/models/api/generate", false),
            ("/v1/chat/completions", false),
        ] {
            let route = Route::of(path.as_bytes());
            assert_eq!(
                (route.streams, route.streams_by_default),
                (None, by_default),
                "{path}"
            );
        }
    }

    #[test]
    fn azure_names_a_deployment_in_the_path() {
        for (path, deployment) in [
            ("/openai/deployments/d/chat/completions", Some("d")),
            ("/team/openai/deployments/d-1/embeddings", Some("d-1")),
            ("/openai/deployments/a%2Fb/chat/completions", None),
            ("/openai/deployments//chat/completions", None),
            ("/openai/deployments/d", None),
            ("/v1/chat/completions", None),
        ] {
            let route = Route::of(path.as_bytes());
            let name = deployment.map(|name: &str| name.as_bytes().to_vec());
            assert_eq!((route.model, route.deployment), (None, name), "{path}");
        }
    }
}
