//! Reads a device as its driver describes it in a ResourceSlice.

use serde_json::Value;

/// The longest name of a device and the longest text of an attribute that the API allows.
const NAME_BYTES: usize = 63;
const TEXT_BYTES: usize = 64;
/// Attributes that name the accelerator, the most exact first: those of NVIDIA and AMD, Intel, and
/// Google. Drivers of other vendors use the same.
const PRODUCTS: [&str; 4] = ["productName", "model", "tpuGen", "accelerator"];
/// More accelerators in one device than any has.
const MOST_CHIPS: u64 = 4_096;
const GIB: f64 = (1_u64 << 30) as f64;
/// More memory than any device has, in GiB.
const MOST_GIB: f64 = 1e6;

/// What changes the speed of a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Device {
    /// Absent: it is no accelerator, or its driver does not say which.
    pub(super) product: Option<String>,
    /// The kind of the part, or how the whole is divided, as in `mig-1g.10gb` and `spx_nps1`.
    /// Absent: it is a whole accelerator.
    pub(super) part: Option<String>,
    /// Its memory in GiB. Absent: not known.
    pub(super) memory_gib: Option<u64>,
    /// How many accelerators it is. 0: not known.
    pub(super) count: u64,
}

/// Reads a device of this driver. Returns its name as well. `None`: it has no name that a claim can
/// refer to.
pub(super) fn read(driver: &str, device: &Value) -> Option<(String, Device)> {
    let name = device.get("name")?.as_str()?;
    if name.is_empty() || name.len() > NAME_BYTES {
        return None;
    }
    // Before v1beta2 the description was one level deeper.
    let device = device.get("basic").unwrap_or(device);
    let attribute = |name: &str| qualified(device.get("attributes")?, driver, name);
    let text = |name: &str| word(attribute(name)?.get("string")?.as_str()?);
    let memory = || qualified(device.get("capacity")?, driver, "memory")?.get("value");
    let chips = || attribute("chipCount")?.get("int")?.as_u64();
    let device = Device {
        product: PRODUCTS.into_iter().find_map(text),
        part: part(text),
        memory_gib: memory().and_then(gib),
        count: chips().unwrap_or(1).clamp(1, MOST_CHIPS),
    };
    Some((name.to_owned(), device))
}

/// Returns what has this name in a map of the driver. A name without a domain belongs to the
/// driver's.
fn qualified<'v>(map: &'v Value, driver: &str, name: &str) -> Option<&'v Value> {
    let long = || map.get(format!("{driver}/{name}"));
    map.get(name).or_else(long)
}

/// Returns the text as one word, with dashes for blanks as in labels of nodes. `None`: it is empty,
/// too long, or not printable.
fn word(text: &str) -> Option<String> {
    let word = text.split_whitespace().collect::<Vec<_>>().join("-");
    let fits = (1..=TEXT_BYTES).contains(&word.len());
    (fits && !word.chars().any(char::is_control)).then_some(word)
}

/// Returns the kind of the part. One of unknown size is not taken for the whole.
fn part(text: impl Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(profile) = text("profile") {
        return Some(format!("mig-{profile}"));
    }
    if text("type").as_deref() == Some("mig") {
        return Some("mig".to_owned());
    }
    text("partitionProfile")
}

/// Reads a quantity of bytes, as in `196592Mi`, and rounds it to GiB. `None`: it is none, or none
/// that a device can have.
pub(super) fn gib(quantity: &Value) -> Option<u64> {
    let bytes = match quantity {
        Value::String(text) => number(text)?,
        other => other.as_f64()?,
    };
    round(bytes)
}

/// Rounds bytes to GiB, at least 1.
pub(super) fn round(bytes: f64) -> Option<u64> {
    let gib = bytes / GIB;
    (gib > 0.0 && gib <= MOST_GIB).then(|| gib.round().max(1.0) as u64)
}

/// Reads a quantity of the API: a number with a suffix for its unit, or with an exponent.
fn number(text: &str) -> Option<f64> {
    let is_digit = |letter: char| letter.is_ascii_digit() || letter == '.';
    let (digits, suffix) =
        text.split_at(text.find(|letter| !is_digit(letter)).unwrap_or(text.len()));
    let unit = match suffix {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => GIB,
        "Ti" => GIB * 1024.0,
        "Pi" => GIB * 1024.0 * 1024.0,
        "Ei" => GIB * GIB,
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_f64.powi(exponent)
        }
    };
    Some(digits.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn memory_is_rounded_to_gib_in_whatever_form_it_is_written() {
        for (quantity, expected) in [
            (json!("40Gi"), Some(40)),
            (json!("81559Mi"), Some(80)),
            (json!("196592Mi"), Some(192)),
            (json!("4864Mi"), Some(5)),
            (json!("42949672960"), Some(40)),
            (json!(42_949_672_960_u64), Some(40)),
            (json!("42.5G"), Some(40)),
            (json!("1.5Ti"), Some(1536)),
            (json!("43e9"), Some(40)),
            (json!("4E10"), Some(37)),
            (json!("1Mi"), Some(1)),
            (json!("0"), None),
            (json!("-5Gi"), None),
            (json!("9Ei"), None),
            (json!("1e999999999999"), None),
            (json!("1e400"), None),
            (json!("1Zi"), None),
            (json!("Gi"), None),
            (json!("1.2.3Gi"), None),
            (json!(""), None),
            (json!({}), None),
        ] {
            assert_eq!(gib(&quantity), expected, "{quantity}");
        }
    }

    #[test]
    fn attributes_are_read_under_short_and_long_names_and_below_basic() {
        let expected = Device {
            product: Some("NVIDIA-L4".to_owned()),
            memory_gib: Some(22),
            count: 1,
            ..Device::default()
        };
        let attributes = json!({"productName": {"string": "NVIDIA L4"}});
        let long = json!({"gpu.nvidia.com/productName": {"string": "NVIDIA L4"}});
        let other = json!({"gpu.amd.com/productName": {"string": "NVIDIA L4"}});
        let capacity = json!({"memory": {"value": "23034Mi"}});
        for (device, expected) in [
            (
                json!({"name": "a", "attributes": attributes, "capacity": capacity}),
                &expected,
            ),
            (
                json!({"name": "a", "attributes": long, "capacity": {"gpu.nvidia.com/memory": {"value": "23034Mi"}}}),
                &expected,
            ),
            (
                json!({"name": "a", "basic": {"attributes": attributes, "capacity": capacity}}),
                &expected,
            ),
            (
                json!({"name": "a", "attributes": other, "capacity": capacity}),
                &Device {
                    product: None,
                    ..expected.clone()
                },
            ),
        ] {
            let (name, read) = read("gpu.nvidia.com", &device).expect("a device");
            assert_eq!((name.as_str(), &read), ("a", expected), "{device}");
        }
    }

    #[test]
    fn what_no_driver_writes_is_not_known_and_no_part_is_taken_for_the_whole() {
        for nameless in [
            json!({}),
            json!({"name": ""}),
            json!({"name": 1}),
            json!({"name": "n".repeat(64)}),
            json!([]),
            json!(null),
        ] {
            assert_eq!(read("d", &nameless), None, "{nameless}");
        }
        let product = |attributes: Value| {
            let device = json!({"name": "a", "attributes": attributes});
            read("d", &device).expect("a device").1.product
        };
        for unknown in [
            json!(null),
            json!({}),
            json!([]),
            json!({"productName": "L4"}),
            json!({"productName": {}}),
            json!({"productName": {"string": ""}}),
            json!({"productName": {"string": " "}}),
            json!({"productName": {"int": 4}}),
            json!({"productName": {"string": "x".repeat(65)}}),
            json!({"productName": {"string": "a\u{0}b"}}),
        ] {
            assert_eq!(product(unknown.clone()), None, "{unknown}");
        }
        let mig = json!({"name": "a", "attributes": {"type": {"string": "mig"}, "chipCount": {"int": -1}}});
        let (_, mig) = read("d", &mig).expect("a device");
        assert_eq!((mig.part.as_deref(), mig.count), (Some("mig"), 1));
    }
}
