//! How much of the traffic is placed: a way to adopt the filter step by step.

use serde_json::Value;
use trimtab_settings::Settings;

/// `mode`: `"enforce"`, `"observe"`, or `{"percent": 0 to 100}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Every request is placed.
    #[default]
    Enforce,
    /// No request is placed. Metrics and explanations compare the filter's choice with the proxy's.
    Observe,
    /// So many of a hundred requests are placed, the others observed. All turns of a conversation
    /// are treated the same way.
    Percent(u8),
}

impl Mode {
    /// Reads the field. `None`: it is missing, or has a problem.
    pub(crate) fn read(s: &Settings<'_>) -> Option<Self> {
        s.about_as(
            "How much is placed. The rest is observed: what would have been \
            done is counted beside what the proxy did. In `pools`: absent is \
            the plugin's mode.",
            "`enforce`, `observe`, `{\"percent\": 0 to 100}`",
            "enforce",
        )
        .value("mode")
        .map(|value| Self::of(value).ok_or("is no mode"))
        .hint(r#"write "enforce", "observe" or {"percent": 10}"#)
        .optional()
    }

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(name) => Self::named(name.as_bytes()),
            Value::Object(fields) if fields.len() == 1 => {
                let percent = fields.get("percent")?.as_u64().filter(|n| *n <= 100)?;
                u8::try_from(percent).ok().map(Self::Percent)
            }
            _ => None,
        }
    }

    /// Reads a mode from one word, as route metadata has it: a name, or a percentage in digits.
    pub(crate) fn named(word: &[u8]) -> Option<Self> {
        match word {
            b"enforce" => Some(Self::Enforce),
            b"observe" => Some(Self::Observe),
            digits => {
                let percent: u8 = std::str::from_utf8(digits).ok()?.parse().ok()?;
                (percent <= 100).then_some(Self::Percent(percent))
            }
        }
    }

    /// Whether to place a request.
    ///
    /// - `draw`: any number that belongs to that request.
    pub(crate) fn enforces(self, draw: u64) -> bool {
        match self {
            Self::Enforce => true,
            Self::Observe => false,
            Self::Percent(percent) => draw % 100 < u64::from(percent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mode;
    use serde_json::json;

    #[test]
    fn three_forms_are_read_and_others_are_not() {
        let modes = [
            (json!("enforce"), Some(Mode::Enforce)),
            (json!("observe"), Some(Mode::Observe)),
            (json!({"percent": 0}), Some(Mode::Percent(0))),
            (json!({"percent": 100}), Some(Mode::Percent(100))),
            (json!({"percent": 101}), None),
            (json!({"percent": 1.5}), None),
            (json!({"percent": 1, "x": 2}), None),
            (json!("Observe"), None),
            (json!(50), None),
        ];
        for (value, mode) in modes {
            assert_eq!(Mode::of(&value), mode, "{value}");
        }
        assert_eq!(Mode::named(b"25"), Some(Mode::Percent(25)));
        assert_eq!(Mode::named(b"101"), None);
        assert_eq!(Mode::named(b""), None);
    }

    #[test]
    fn a_percentage_is_kept_over_the_draws() {
        let placed = |mode: Mode| (0..1_000).filter(|draw| mode.enforces(*draw)).count();
        assert_eq!(placed(Mode::Percent(25)), 250);
        assert_eq!((placed(Mode::Percent(0)), placed(Mode::Observe)), (0, 0));
        assert_eq!(placed(Mode::Percent(100)), placed(Mode::Enforce));
    }
}
