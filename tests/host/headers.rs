//! Tests headers that clients send to mislead or to break the filter.

use std::time::Duration;

use trimtab_wasmhost::{Action, Direction, HeaderMap};

use crate::support::{
    DESTINATION, EXPLAIN, ask, chat, config_with, counter, first_host, only, ready, ready_with,
    started, table,
};

#[test]
fn a_clients_destination_header_is_removed_from_every_kind_of_request() {
    let mut proxy = ready();
    let forged = "6.6.6.6:666";
    for (method, path, end) in [
        ("POST", "/v1/completions", false),
        ("GET", "/health", true),
        ("POST", "/upload", false),
        ("POST", "/v1/completions", true),
    ] {
        let request = proxy
            .vm()
            .request()
            .header(":method", method)
            .header(":path", path)
            .header(DESTINATION, forged)
            .another_header("X-Gateway-Destination-Endpoint", forged)
            .header(EXPLAIN, "forged");
        let exchange = if end {
            request.end()
        } else {
            request.body(chat(100))
        };
        let headers = exchange.request_headers.as_ref().expect("forwarded");
        assert!(
            headers
                .iter()
                .all(|(_, value)| value != forged.as_bytes() && value != b"forged"),
            "{method} {path}: {headers:?}"
        );
        exchange.finish(proxy.vm());
    }
    proxy.run_for(Duration::from_millis(200));
    for header in ["destination", "explain"] {
        let forged = counter(&proxy, "trimtab_forged_headers_total", "header", header);
        assert!(forged > 0, "{header}");
    }
}

#[test]
fn the_header_of_every_form_is_removed_and_set_in_that_form() {
    for (form, header, hosts) in [
        ("override_host", DESTINATION, "10.0.0.1:8000"),
        ("stateful_session", DESTINATION, "MTAuMC4wLjE6ODAwMA=="),
        ("lua", DESTINATION, "10.0.0.1:8000"),
        ("original_dst", "x-envoy-original-dst-host", "10.0.0.1:8000"),
        ("lua\", \"header\": \"X-Host", "x-host", "10.0.0.1:8000"),
    ] {
        let config = config_with(&format!(r#""destination": {{"form": "{form}"}}"#));
        let mut proxy = ready_with(&config, &only(1, &[0]));
        let spelled = header.to_uppercase();
        let exchange = (proxy.vm().request().header(header, "forged"))
            .another_header(&spelled, "forged")
            .body(chat(500));
        assert_eq!(exchange.upstream_header(header), Some(hosts), "{form}");
        let exchange = (proxy.vm().request().header(header, "forged"))
            .header(":path", "/v1/models")
            .end();
        assert_eq!(exchange.upstream_header(header), None, "{form}");
    }
}

#[test]
fn the_session_filters_header_is_taken_off_every_answer() {
    for (form, stays) in [("stateful_session", false), ("lua", true)] {
        let config = config_with(&format!(r#""destination": {{"form": "{form}"}}"#));
        let mut proxy = ready_with(&config, &table());
        for path in ["/v1/completions", "/v1/models"] {
            let request = proxy.vm().request().header(":path", path);
            let mut exchange = request.body(chat(100));
            let headers = [(":status", "200"), (DESTINATION, "told")];
            let headers: HeaderMap = headers.into_iter().collect();
            let vm = proxy.vm();
            vm.headers(exchange.stream, Direction::Response, headers, true);
            exchange.collect(vm);
            let answer = exchange.response_headers.as_ref().expect("answered");
            assert_eq!(answer.text(DESTINATION).is_some(), stays, "{form} {path}");
            exchange.close(vm);
        }
    }
}

#[test]
fn it_is_removed_also_when_there_is_no_table() {
    let mut proxy = started(1);
    let exchange = proxy
        .vm()
        .request()
        .header(DESTINATION, "6.6.6.6:666")
        .body(chat(100));
    assert_eq!(exchange.upstream_header(DESTINATION), None);
}

#[test]
fn header_values_of_any_bytes_pass_through_and_never_trap() {
    let mut proxy = ready();
    let odd: [&[u8]; 6] = [
        b"",
        b"\xff\xfe\xfd",
        b"\0",
        b"a\0b",
        "\u{1F600}".as_bytes(),
        &[b'x'; 60_000],
    ];
    for name in [
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "user-agent",
        "x-odd",
        ":path",
        ":method",
        ":authority",
        "upgrade",
        "connection",
        DESTINATION,
    ] {
        for value in odd {
            let exchange = proxy.vm().request().header(name, value).body(chat(100));
            assert!(
                exchange.request_ended && exchange.request_body == chat(100).as_bytes(),
                "{name}: {value:?}"
            );
            exchange.finish(proxy.vm());
            assert!(
                proxy.failures().is_empty(),
                "{name}: {value:?}: {:?}",
                proxy.failures()
            );
        }
    }
    assert!(first_host(&ask(proxy.vm())).is_some());
}

#[test]
fn header_names_of_any_bytes_and_many_headers_never_trap() {
    let mut proxy = ready();
    let mut request = proxy.vm().request();
    for number in 0..500 {
        request = request.another_header(&format!("x-{number}"), [0xff, 0x80]);
    }
    let exchange = request
        .without_header(":path")
        .without_header("content-type")
        .body(chat(100));
    assert!(exchange.request_ended);
    assert!(proxy.failures().is_empty());
}

#[test]
fn a_content_length_that_lies_changes_nothing_but_the_estimate() {
    let mut proxy = ready();
    for length in [
        "0",
        "1",
        "-5",
        "99999999999999999999",
        "1e9",
        "abc",
        "18446744073709551615",
    ] {
        let exchange = proxy
            .vm()
            .request()
            .header("content-length", length)
            .body(chat(500));
        assert!(
            exchange.request_ended && first_host(&exchange).is_some(),
            "{length}"
        );
        exchange.finish(proxy.vm());
    }
    // Counters are published on ticks.
    proxy.run_for(Duration::from_millis(200));
    assert_eq!(
        counter(
            &proxy,
            "trimtab_host_errors_total",
            "call",
            "proxy_get_header_map_pairs"
        ),
        0
    );
}

#[test]
fn compressed_bodies_are_placed_by_load_alone_and_not_held() {
    let mut proxy = ready();
    for encoding in ["gzip", "br", "zstd", "deflate, gzip", "nonsense"] {
        let exchange = proxy
            .vm()
            .request()
            .header("content-encoding", encoding)
            .body_chunk([0x1f, 0x8b, 0, 0xff])
            .body([0; 100]);
        assert!(first_host(&exchange).is_some(), "{encoding}");
        assert_eq!(
            exchange.actions.last(),
            Some(&Action::Continue),
            "{encoding}"
        );
        assert_eq!(exchange.request_body.len(), 104);
        exchange.finish(proxy.vm());
    }
}
