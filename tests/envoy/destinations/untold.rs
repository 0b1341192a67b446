//! Tests that clients are not told endpoints where nothing but the plugin takes the session
//! filter's header off the answers, as in Istio.

use hyper::Method;
use trimtab_filter::Form as Named;

use super::{RUN, Trial};
use crate::support::client::bare;
use crate::support::config::Form;
use crate::support::{RELEASES, overlay};

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_takes_the_session_header_off_every_answer() {
    let alone = |_: &[_]| {
        let mut overlay = overlay::read("stateful_session");
        let parts = overlay.as_object_mut().unwrap();
        assert!(parts.remove("http_filters_before").is_some());
        overlay
    };
    for (release, plugins) in RELEASES
        .into_iter()
        .flat_map(|release| [(release, Form::Single), (release, Form::Pair)])
    {
        let trial = Trial::start(release, plugins, Named::StatefulSession, &alone).await;
        // Nobody places these, so that filter names the endpoint of each answer.
        trial.balances().await;
        for _ in 0..RUN / 3 {
            let answer = bare(trial.stage.address, Method::GET, "/v1/models", &[]).await;
            let told = answer.unwrap();
            let told = told.header(&trial.destination.header);
            assert_eq!(told, "", "{plugins:?} on {release:?}");
        }
    }
}
