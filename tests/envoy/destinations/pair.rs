//! Tests two plugins: pick names in every form what tap has decided.

use super::{FORMS, placed};
use crate::support::config::Form;
use crate::support::{RELEASES, overlay};

#[tokio::test(flavor = "multi_thread")]
async fn pick_names_the_host_that_tap_chose_in_every_form_and_a_client_does_not() {
    for release in RELEASES {
        for (name, form) in FORMS {
            let trial = placed(release, Form::Pair, form, &|_| overlay::read(name)).await;
            trial.aggregator_goes().await;
        }
    }
}
