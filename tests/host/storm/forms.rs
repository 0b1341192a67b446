//! The forms of the filter that are tested.

/// A form of the filter: settings of each plugin, and the option of the proxy.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) plugins: Vec<String>,
    pub(crate) stop_iteration: bool,
}

/// Returns all forms.
pub(crate) fn forms() -> Vec<Form> {
    let one = r#""pool": "chat", "paths": ["/v1/chat/completions"]"#;
    let several = r#""pools": [{"pool": "chat", "models": ["m"]}, {"pool": "code", "mode": {"percent": 50}}], "per_route": true"#;
    let plugin = |role: &str, more: &str| {
        format!(
            r#"{{"role": "{role}", "aggregator": {{"cluster": "trimtab_aggregator"}}, "explain_header": "x-why", "explain_log": true, {more}}}"#
        )
    };
    let single = |name, more: &str, stop_iteration| Form {
        name,
        plugins: vec![plugin("single", more)],
        stop_iteration,
    };
    let pair = |name, more: &str| Form {
        name,
        plugins: vec![plugin("tap", more), plugin("pick", more)],
        stop_iteration: false,
    };
    vec![
        single("single", one, true),
        single("single without the option", one, false),
        single("observing", &format!(r#"{one}, "mode": "observe""#), true),
        single("several pools", several, true),
        pair("pair", one),
        pair("pair of several pools", several),
        pair("observing pair", &format!(r#"{one}, "mode": "observe""#)),
        Form {
            name: "two pairs",
            plugins: [
                ("tap", one),
                ("tap", several),
                ("pick", one),
                ("pick", several),
            ]
            .map(|(role, more)| plugin(role, more))
            .to_vec(),
            stop_iteration: false,
        },
    ]
}
