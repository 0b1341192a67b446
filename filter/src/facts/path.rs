//! What the path of a request tells. Gateways rewrite paths, so only their ends are looked at.

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shape {
    /// By the names of its fields, which do not collide between the APIs.
    #[default]
    Fields,
    /// `inputs` are tensors: `/v2/models/{model}/infer` of Triton and KServe.
    Tensors,
}

/// What a path tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Route {
    /// The shape of the body.
    pub(crate) shape: Shape,
    /// The model, where the path has it: `/models/{model}/generate`, `/models/{model}/versions/{version}/infer`.
    pub(crate) model: Option<Vec<u8>>,
    /// Whether the answer is streamed, where the path says so; absent: the body does.
    pub(crate) streams: Option<bool>,
}

impl Route {
    /// Of a path without its query.
    pub(crate) fn of(path: &[u8]) -> Self {
        let mut from_end = path.rsplit(|byte| *byte == b'/');
        let (shape, streams) = match from_end.next() {
            Some(b"infer") => (Shape::Tensors, Some(false)),
            Some(b"generate_stream") => (Shape::Fields, Some(true)),
            Some(b"generate") => (Shape::Fields, None),
            _ => return Self::default(),
        };
        let mut model = from_end.next();
        let mut before = from_end.next();
        if before == Some(b"versions") {
            model = from_end.next();
            before = from_end.next();
        }
        let is_plain = |name: &&[u8]| !name.is_empty() && !name.contains(&b'%');
        Self {
            shape,
            model: model
                .filter(|name| before == Some(b"models") && is_plain(name))
                .map(<[u8]>::to_vec),
            streams,
        }
    }
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
            ("", Shape::Fields, None, None),
        ] {
            let expected = Route {
                shape,
                model: model.map(Into::into),
                streams,
            };
            assert_eq!(Route::of(path.as_bytes()), expected, "{path}");
        }
    }
}
