//! Tests every form of the destination, with the files of deploy/envoy/destinations, on the oldest
//! and the newest Envoy.

mod gone;
mod pair;
mod tunnel;
mod untold;

use std::net::Ipv6Addr;

use serde_json::Value;
use trimtab_filter::{Destination, Form as Named};
use trimtab_loadtable::EndpointReport;

use crate::support::backend::Seen;
use crate::support::client::{DESTINATION, ask_body, post_spelled};
use crate::support::config::Form;
use crate::support::{
    Answer, Backend, RELEASES, Release, Response, ScriptedAggregator, Stage, StageOptions,
    eventually, overlay, row, table,
};

/// Number of requests in a run. With so many, none of three servers is left out by chance.
const RUN: usize = 45;

const FORMS: [(&str, Named); 4] = [
    ("override_host", Named::OverrideHost),
    ("stateful_session", Named::StatefulSession),
    ("lua", Named::Lua),
    ("original_dst", Named::OriginalDst),
];

/// Returns the header that a form reads, and the form of its values.
fn destination(form: Named) -> Destination {
    let header = match form {
        Named::OriginalDst => "x-envoy-original-dst-host",
        _ => DESTINATION,
    };
    Destination {
        form,
        header: header.to_owned(),
        hbone: None,
    }
}

/// One form of the destination in one Envoy.
struct Trial {
    what: String,
    destination: Destination,
    servers: Vec<Backend>,
    aggregator: ScriptedAggregator,
    stage: Stage,
    sequence: u64,
}

impl Trial {
    /// Starts without a table. The servers are two ports of one address, as ranks of data-parallel
    /// servers have them, and an IPv6 address.
    async fn start(
        release: Release,
        plugins: Form,
        form: Named,
        overlay: &dyn Fn(&[Backend]) -> Value,
    ) -> Self {
        let servers = vec![
            Backend::start().await,
            Backend::start().await,
            Backend::start_on(Ipv6Addr::LOCALHOST.into()).await,
        ];
        let aggregator = ScriptedAggregator::start(Answer::Status(503)).await;
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        let options = StageOptions {
            // A decision must not depend on the results of earlier requests.
            plugin: Some("\"table_max_age\": \"60s\", \"max_ejection\": \"0s\"".to_owned()),
            overlay: overlay(&servers),
            release: Some(release),
            form: plugins,
            ..StageOptions::default()
        };
        let stage = Stage::start(&addresses, aggregator.address, options).await;
        Self {
            what: format!("{form:?} on {release:?}"),
            destination: destination(form),
            servers,
            aggregator,
            stage,
            sequence: 0,
        }
    }

    /// Returns the number of requests that arrived at each server.
    fn counts(&self) -> Vec<usize> {
        self.servers.iter().map(Backend::count).collect()
    }

    /// Sends a request that names the last server itself. The spelling of the header depends on
    /// `n`.
    async fn forge(&self, n: usize) -> Response {
        let name = match n % 3 {
            0 => self.destination.header.clone(),
            1 => self.destination.header.to_uppercase(),
            _ => title(&self.destination.header),
        };
        let last = self.servers.last().unwrap().name();
        let value = self.destination.value(&last).into_owned();
        let headers: Vec<_> = (0..=n % 2).map(|_| (&*name, &*value)).collect();
        let body = ask_body(&format!("question {n}"));
        let answer = post_spelled(self.stage.address, &headers, &body).await;
        let shown = answer.header(&self.destination.header);
        assert_eq!(shown, "", "{}: clients are told nothing", self.what);
        answer
    }

    /// Checks that without a table the cluster's policy decides, and not the client.
    async fn balances(&self) {
        for n in 0..RUN {
            self.forge(n).await.ok();
        }
        let counts = self.counts();
        assert!(
            counts.iter().all(|count| *count > 0),
            "{}: {counts:?}",
            self.what
        );
    }

    /// Publishes a table with these waits of the servers.
    fn publish(&mut self, waits_ms: &[u32]) {
        // A nudge adds one to the number, so published numbers are far apart.
        self.sequence += 1_000;
        let rows = self.servers.iter().zip(waits_ms);
        let rows = rows.map(|(server, wait_ms)| row(&server.name(), *wait_ms));
        let table = table(self.sequence, rows.collect());
        self.aggregator.publish(Answer::Table(table));
    }

    /// Makes each server the best one in turn. Every request must arrive at the server that the
    /// filter named.
    async fn lands_where_asked(&mut self) {
        for best in 0..self.servers.len() {
            let waits: Vec<_> = (0..self.servers.len())
                .map(|index| if index == best { 0 } else { 600_000 })
                .collect();
            self.publish(&waits);
            let name = self.servers[best].name();
            let mut placed = 0;
            eventually("the best one has got its share", async || {
                placed += usize::from(self.lands(placed).await == name);
                (placed == RUN / 3).then_some(())
            })
            .await;
        }
        for row in self.books().await {
            let what = format!("{}: {row:?}", self.what);
            let served = self.server(&row.address).count() as u64;
            assert_eq!(row.failed, 0, "{what}: all went where they were sent");
            assert!((1..=served).contains(&row.finished), "{what}");
        }
    }

    /// Sends a request, checks that it arrives at the chosen server, and returns that server.
    async fn lands(&self, n: usize) -> String {
        let before = self.counts();
        let response = self.forge(n).await.ok();
        let arrived: Vec<_> = (self.servers.iter().zip(before))
            .filter(|(server, before)| server.count() > *before)
            .map(|(server, _)| server.name())
            .collect();
        let asked = response.endpoint();
        assert_eq!(arrived, [asked], "{}: request {n}", self.what);
        asked.to_owned()
    }

    fn server(&self, name: &str) -> &Backend {
        let mut servers = self.servers.iter();
        servers.find(|server| server.name() == name).unwrap()
    }

    /// Returns the proxy's report of each server, once all placed requests are in it.
    async fn books(&self) -> Vec<EndpointReport> {
        let is_placed = |seen: &Seen| seen.headers.contains_key(&self.destination.header);
        let placed = self
            .servers
            .iter()
            .map(|server| server.seen().into_iter().filter(is_placed).count());
        let placed = placed.sum::<usize>() as u64;
        eventually("everything placed is finished", async || {
            self.aggregator.nudge();
            let books = self.aggregator.last_report()?.endpoints;
            let idle = books.iter().all(|row| row.in_flight == 0);
            let finished: u64 = books.iter().map(|row| row.finished).sum();
            (idle && finished >= placed).then_some(books)
        })
        .await
    }

    /// Lets all requests go to the first server, which then dies. Returns the answers to ten more.
    async fn first_dies(&mut self) -> Vec<Response> {
        self.publish(&[0, 600_000, 600_000]);
        eventually("all go to the first", async || {
            let [first, second, ..] = &self.servers[..] else {
                panic!("three")
            };
            self.stage.all_on(first, second).await.then_some(())
        })
        .await;
        drop(self.servers.remove(0));
        // A worker that has not seen its connection close yet loses a request on it.
        eventually("every connection is seen closed", async || {
            for _ in 0..RUN / 3 {
                let answer = post_spelled(self.stage.address, &[], &ask_body("gone?")).await;
                let text = String::from_utf8_lossy(&answer.body);
                if text.contains("connection termination") {
                    return None;
                }
            }
            Some(())
        })
        .await;
        let mut answers = Vec::new();
        for n in 0..10 {
            let body = ask_body(&format!("after {n}"));
            answers.push(post_spelled(self.stage.address, &[], &body).await);
        }
        answers
    }

    /// Checks that a client does not choose either when the aggregator is gone.
    async fn aggregator_goes(mut self) {
        let waits: Vec<_> = (0..self.servers.len())
            .map(|index| 600_000 * index as u32)
            .collect();
        self.publish(&waits);
        let [first, second, ..] = &self.servers[..] else {
            panic!("two are left")
        };
        eventually("all go to the best one", async || {
            self.stage.all_on(first, second).await.then_some(())
        })
        .await;
        // The old aggregator is dropped here, so its port closes.
        self.aggregator = ScriptedAggregator::start(Answer::Status(503)).await;
        for n in 0..RUN / 3 {
            assert_eq!(self.lands(n).await, self.servers[0].name(), "{}", self.what);
        }
    }
}

fn title(name: &str) -> String {
    let words = name
        .split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect::<Vec<_>>().join("-")
}

/// Runs what every form must survive: no table, a table, a dead server.
async fn life(
    release: Release,
    form: Named,
    overlay: &dyn Fn(&[Backend]) -> Value,
) -> (Trial, Vec<Response>) {
    let mut trial = placed(release, Form::Single, form, overlay).await;
    let answers = trial.first_dies().await;
    (trial, answers)
}

/// Runs the same without the dead server.
async fn placed(
    release: Release,
    plugins: Form,
    form: Named,
    overlay: &dyn Fn(&[Backend]) -> Value,
) -> Trial {
    let mut trial = Trial::start(release, plugins, form, overlay).await;
    trial.balances().await;
    trial.publish(&[0, 0, 0]);
    trial.stage.placing().await;
    trial.lands_where_asked().await;
    trial
}

/// Runs [`life`] with a form as deployed.
async fn deployed(name: &str, form: Named, release: Release) -> (Trial, Vec<Response>) {
    life(release, form, &|_| overlay::read(name)).await
}

/// Checks the report after ten requests that were sent to a dead server and answered by others.
async fn moved_are_booked_where_they_went(trial: &Trial) {
    eventually("the moved ones are in the books", async || {
        let books = trial.books().await;
        let alive = |row: &&EndpointReport| {
            trial
                .servers
                .iter()
                .any(|server| server.name() == row.address)
        };
        let dead: u64 = books
            .iter()
            .filter(|row| !alive(row))
            .map(|row| row.failed)
            .sum();
        let placed = |seen: &&Seen| seen.headers.contains_key(&trial.destination.header);
        let arrived: usize = trial
            .servers
            .iter()
            .map(|server| server.seen().iter().filter(placed).count())
            .sum();
        let finished: u64 = books.iter().filter(alive).map(|row| row.finished).sum();
        (dead > 0 && finished == arrived as u64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn override_host_sends_each_request_to_its_host_and_the_second_of_the_list_takes_over() {
    for release in RELEASES {
        let (trial, answers) = deployed("override_host", Named::OverrideHost, release).await;
        second_served(&trial, answers).await;
        trial.aggregator_goes().await;
    }
}

/// Checks that the second host of the list served each of the answers.
async fn second_served(trial: &Trial, answers: Vec<Response>) {
    let count = answers.len();
    answers.into_iter().for_each(|answer| drop(answer.ok()));
    let last = |server: &Backend| {
        server
            .seen()
            .into_iter()
            .filter(|seen| seen.text().contains("after "))
    };
    let mut served = 0;
    for server in &trial.servers {
        for seen in last(server) {
            let asked = seen.headers[&trial.destination.header].to_str().unwrap();
            let hosts: Vec<_> = asked
                .split(',')
                .filter(|host| !host.contains("//"))
                .collect();
            assert_eq!(hosts[1], server.name(), "{}: {asked}", trial.what);
            served += 1;
        }
    }
    assert_eq!(served, count, "{}", trial.what);
    moved_are_booked_where_they_went(trial).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stateful_session_sends_each_request_to_its_host_and_the_policy_takes_over() {
    for release in RELEASES {
        let (trial, answers) = deployed("stateful_session", Named::StatefulSession, release).await;
        answers.into_iter().for_each(|answer| drop(answer.ok()));
        moved_are_booked_where_they_went(&trial).await;
        trial.aggregator_goes().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lua_sends_each_request_to_its_host_and_the_policy_takes_over() {
    for release in RELEASES {
        let (trial, answers) = deployed("lua", Named::Lua, release).await;
        answers.into_iter().for_each(|answer| drop(answer.ok()));
        moved_are_booked_where_they_went(&trial).await;
        trial.aggregator_goes().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn original_dst_sends_each_request_to_its_host_and_nobody_takes_over() {
    for release in RELEASES {
        let (mut trial, answers) = deployed("original_dst", Named::OriginalDst, release).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [503; 10], "{}: as the file says", trial.what);
        trial.publish(&[0, 0]);
        eventually("the table has noticed", async || {
            let answer = trial.forge(0).await;
            (answer.status == 200).then_some(())
        })
        .await;
        trial.aggregator_goes().await;
    }
}
