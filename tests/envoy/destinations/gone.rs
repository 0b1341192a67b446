//! Tests what Envoy does by itself when the filter is gone.

use serde_json::Value;
use trimtab_filter::Form as Named;

use super::{FORMS, RUN, destination, title};
use crate::support::client::{ask_body, post_spelled};
use crate::support::config::Form;
use crate::support::{
    Answer, Backend, RELEASES, Release, Response, ScriptedAggregator, Stage, StageOptions, overlay,
};

/// Sends requests that name the first of three servers, without a filter. Returns the answers, and
/// how many requests each server got.
async fn without_the_filter(
    release: Release,
    form: Named,
    overlay: Value,
) -> (Vec<Response>, [usize; 3]) {
    let servers = [
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    ];
    let addresses = servers.each_ref().map(|server| server.address);
    let aggregator = ScriptedAggregator::start(Answer::Status(503)).await;
    let options = StageOptions {
        form: Form::Gone,
        overlay,
        release: Some(release),
        ..StageOptions::default()
    };
    let stage = Stage::start(&addresses, aggregator.address, options).await;
    let destination = destination(form);
    let value = destination.value(&servers[0].name()).into_owned();
    let names = [destination.header.clone(), title(&destination.header)];
    let mut answers = Vec::new();
    for name in names.iter().cycle().take(RUN) {
        let body = ask_body("to the first");
        let answer = post_spelled(stage.address, &[(name, &value)], &body).await;
        answers.push(answer.ok());
    }
    (answers, servers.each_ref().map(Backend::count))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_choose_even_when_the_filter_is_gone() {
    for release in RELEASES {
        for (name, form) in FORMS {
            let overlay = overlay::read(name);
            let (_, counts) = without_the_filter(release, form, overlay.clone()).await;
            assert!(
                counts.iter().all(|count| *count > 0),
                "{name} on {release:?}: {counts:?}"
            );
            // The early mutation has this effect. If it removes another header, all requests reach
            // the server that they name.
            let mut open = overlay;
            open["remove"] = "x-another".into();
            let (_, counts) = without_the_filter(release, form, open).await;
            assert_eq!(counts, [RUN, 0, 0], "{name} on {release:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_filter_tells_clients_where_a_request_went_unless_that_is_taken_off() {
    let header = destination(Named::StatefulSession).header;
    for release in RELEASES {
        let mut overlay = overlay::read("stateful_session");
        for told in [false, true] {
            let form = Named::StatefulSession;
            let (answers, _) = without_the_filter(release, form, overlay.clone()).await;
            for answer in answers {
                assert_eq!(!answer.header(&header).is_empty(), told, "{release:?}");
            }
            overlay
                .as_object_mut()
                .unwrap()
                .remove("http_filters_before");
        }
    }
}
