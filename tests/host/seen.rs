//! Times of answers and errors are reported once each, whatever worker saw them.

use std::collections::BTreeMap;

use trimtab_loadtable::{ErrorKind, Report, seen};
use trimtab_wasmhost::Exchange;

use crate::reports::{quiet, reports, two_workers};
use crate::support::{ENDPOINTS, ask, only, route};

/// What all reports say of an endpoint, by kind.
fn said(reports: &[Report], address: &str) -> BTreeMap<u8, u32> {
    let mut sums = BTreeMap::new();
    let rows = reports.iter().flat_map(|report| &report.endpoints);
    for one in rows
        .filter(|row| row.address == address)
        .flat_map(|row| &row.seen)
    {
        *sums.entry(one.kind).or_default() += one.count;
    }
    sums
}

#[test]
fn times_of_two_workers_are_told_once_each_and_errors_by_kind() {
    let mut proxy = two_workers(&quiet(only(1, &[0])));
    let mut open: Vec<Exchange> = Vec::new();
    for number in 0..12 {
        let vm = &mut proxy.worker(number % 2).vm;
        let mut exchange = ask(vm);
        route(vm, &exchange);
        exchange.response(vm, 200);
        open.push(exchange);
    }
    // On a tick each: the first byte after 300 ms, the end after 500 ms more.
    let mut all = reports(&mut proxy, 3);
    for (number, exchange) in open.iter_mut().enumerate() {
        let vm = &mut proxy.worker(number % 2).vm;
        exchange.response_chunk(vm, [b'x'; 300], false);
    }
    all.extend(reports(&mut proxy, 5));
    for (number, mut exchange) in open.into_iter().enumerate() {
        let vm = &mut proxy.worker(number % 2).vm;
        match number {
            0 | 1 => {
                let reset = 0x10_u64.to_le_bytes();
                vm.set_attribute(exchange.stream, "response.flags", reset);
            }
            // Its client has gone: neither an error nor a whole answer.
            2 => {}
            _ => exchange.response_chunk(vm, b"x", true),
        }
        exchange.close(vm);
    }
    // An error's first byte is no token's.
    let vm = &mut proxy.worker(1).vm;
    let mut exchange = ask(vm);
    route(vm, &exchange);
    vm.set_attribute(exchange.stream, "response.code", 500_u64.to_le_bytes());
    exchange.response(vm, 500);
    exchange.response_chunk(vm, b"no", true);
    exchange.close(vm);
    all.extend(reports(&mut proxy, 10));
    let said = said(&all, ENDPOINTS[0]);
    let expected = [
        (seen::FIRST_BYTE + seen::bucket(300), 12),
        (seen::END + seen::bucket(800), 9),
        (seen::FIRST_BYTE_SUM_MS, 12 * 300),
        (seen::END_SUM_MS, 9 * 800),
        (ErrorKind::Reset as u8, 2),
        (ErrorKind::ServerError as u8, 1),
    ];
    assert_eq!(said, BTreeMap::from(expected));
}
