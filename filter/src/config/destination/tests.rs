use super::*;
use crate::Config;
use proptest::prelude::*;

fn parsed(destination: &str) -> Result<Destination, String> {
    let json = format!(
        r#"{{"pool": "p", "aggregator": {{"cluster": "c"}}, "destination": {destination}}}"#
    );
    Config::parse(json.as_bytes())
        .map(|config| config.destination)
        .map_err(|problems| problems.to_string())
}

fn value(destination: &str, hosts: &str) -> String {
    parsed(destination).unwrap().value(hosts).into_owned()
}

/// Decodes base64 in a simple way, for texts.
fn decode(text: &str) -> String {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{text}"),
    };
    assert!(text.len().is_multiple_of(4), "{text}");
    let digits: Vec<u32> = text.trim_end_matches('=').bytes().map(digit).collect();
    assert!(text.len() - digits.len() < 3, "{text}");
    let bits = digits
        .iter()
        .flat_map(|digit| (0..6).map(move |place| digit >> (5 - place) & 1));
    let bits: Vec<u32> = bits.collect();
    let (bytes, rest) = bits.as_chunks::<8>();
    assert!(rest.iter().all(|bit| *bit == 0), "{text}");
    let byte = |bits: &[u32; 8]| bits.iter().fold(0, |byte, bit| byte << 1 | *bit) as u8;
    String::from_utf8(bytes.iter().map(byte).collect()).unwrap()
}

const HOSTS: &str = "10.1.0.2:8000,[2001:db8::1]:8001,10.1.0.2:8001";

#[test]
fn without_a_word_the_list_goes_to_override_host() {
    assert_eq!(parsed("{}").unwrap(), Config::example().destination);
    assert_eq!(value("{}", HOSTS), HOSTS);
    assert_eq!(
        parsed("{}").unwrap().header,
        "x-gateway-destination-endpoint"
    );
}

#[test]
fn both_spellings_of_each_host_stand_one_behind_the_other() {
    assert_eq!(
        value(
            r#"{"hbone": "connect_originate"}"#,
            "10.1.0.2:8000,[::1]:80"
        ),
        "10.1.0.2:8000,envoy://connect_originate/10.1.0.2:8000,[::1]:80,envoy://connect_originate/[::1]:80"
    );
}

#[test]
fn a_session_is_the_first_host_in_base64() {
    let session = r#"{"form": "stateful_session"}"#;
    assert_eq!(value(session, "10.1.0.2:8000"), "MTAuMS4wLjI6ODAwMA==");
    assert_eq!(decode(&value(session, HOSTS)), "10.1.0.2:8000");
    let behind = r#"{"form": "stateful_session", "hbone": "l"}"#;
    assert_eq!(decode(&value(behind, HOSTS)), "envoy://l/10.1.0.2:8000");
}

#[test]
fn lua_and_original_dst_get_the_first_host() {
    for (form, header) in [
        ("lua", "x-gateway-destination-endpoint"),
        ("original_dst", "x-envoy-original-dst-host"),
    ] {
        let destination = format!(r#"{{"form": "{form}"}}"#);
        assert_eq!(value(&destination, HOSTS), "10.1.0.2:8000");
        assert_eq!(value(&destination, "[::1]:80,10.1.0.2:80"), "[::1]:80");
        assert_eq!(parsed(&destination).unwrap().header, header);
    }
}

#[test]
fn the_vectors_of_rfc_4648_come_out() {
    for (text, encoded) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(&[text]), encoded);
    }
}

proptest! {
    #[test]
    fn any_text_in_any_parts_is_read_back_and_the_value_is_all_that_is_allocated(parts in prop::collection::vec(".{0,9}", 0..5)) {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let encoded = base64(&parts);
        prop_assert_eq!(decode(&encoded), parts.concat());
        prop_assert_eq!(encoded.capacity(), encoded.len());
    }

    #[test]
    fn both_spellings_of_any_list_are_allocated_once(hosts in prop::collection::vec("[0-9.:]{1,20}", 1..4), listener in "[a-z_]{1,20}") {
        let text = both_spellings(&hosts.join(","), &listener);
        prop_assert!(text.capacity() <= text.len() + 2 * hosts.len() + 2);
        let named: Vec<&str> = text.split(',').map(|host| std::str::from_utf8(endpoint_of(host.as_bytes())).unwrap()).collect();
        let twice: Vec<&str> = hosts.iter().flat_map(|host| [host.as_str(); 2]).collect();
        prop_assert_eq!(named, twice);
    }

    #[test]
    fn an_endpoint_is_read_out_of_any_bytes(upstream in prop::collection::vec(any::<u8>(), 0..30), internal: bool) {
        let prefix: &[u8] = if internal { b"envoy://" } else { b"" };
        let upstream = [prefix, &upstream].concat();
        prop_assert!(upstream.ends_with(endpoint_of(&upstream)));
    }
}

#[test]
fn the_endpoint_behind_a_listener_is_its_address() {
    for (upstream, endpoint) in [
        ("10.1.0.2:8000", "10.1.0.2:8000"),
        ("[::1]:80", "[::1]:80"),
        ("envoy://connect_originate/10.1.0.2:8000", "10.1.0.2:8000"),
        ("envoy://connect_originate/[::1]:80", "[::1]:80"),
        ("envoy://connect_originate", "envoy://connect_originate"),
        ("envoy://connect_originate/", ""),
    ] {
        assert_eq!(endpoint_of(upstream.as_bytes()), endpoint.as_bytes());
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (destination, place, reason) in [
        (r#"{"form": "cookie"}"#, "destination.form", "is no form"),
        (r#"{"form": "lua", "hbone": "l"}"#, "destination", "`hbone`"),
        (
            r#"{"form": "original_dst", "hbone": "l"}"#,
            "destination",
            "`hbone`",
        ),
        (r#"{"hbone": "a,b"}"#, "destination.hbone", "comma"),
        (r#"{"hbone": "a/b"}"#, "destination.hbone", "slash"),
        (r#"{"hbone": ""}"#, "destination.hbone", "empty"),
        (
            r#"{"header": "a b"}"#,
            "destination.header",
            "not a header name",
        ),
        (
            r#"{"headr": "a"}"#,
            "destination.headr",
            "did you mean `header`?",
        ),
        (r#""lua""#, "destination", "is not an object"),
    ] {
        let problem = parsed(destination).unwrap_err();
        assert!(
            problem.starts_with(place) && problem.contains(reason),
            "{destination}: {problem}"
        );
        assert_eq!(problem.lines().count(), 1, "{destination}: {problem}");
    }
}
