//! Checks what an Envoy configuration makes of the plugin: its place among the filters, and what
//! routes and clusters do to long answers.

use serde_json::Value;

use super::DEEPEST;
use super::plugin::is_ours;

/// What a connection manager with a plugin of ours has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Remarks {
    /// What keeps the plugin from working.
    pub(super) problems: Vec<String>,
    /// What fails requests sooner or later, whoever places them.
    pub(super) notes: Vec<String>,
}

/// Looks at every connection manager of the document that has a plugin of ours.
pub(super) fn remarks(document: &Value) -> Remarks {
    let mut remarks = Remarks::default();
    walk(document, DEEPEST, &mut |object| {
        let filters = object.get("http_filters").and_then(Value::as_array);
        let roles: Vec<Option<String>> = filters.into_iter().flatten().map(role).collect();
        if roles.iter().all(Option::is_none) {
            return;
        }
        let router = filters.and_then(|filters| filters.iter().position(is_router));
        remarks.problems.extend(order(&roles, router));
        let routes = routes(object);
        remarks.notes.extend(cut_answers(&routes));
        remarks.notes.extend(idle_connections(document, &routes));
    });
    remarks
}

fn walk(value: &Value, depth: usize, see: &mut impl FnMut(&Value)) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    match value {
        Value::Object(object) => {
            see(value);
            object.values().for_each(|inner| walk(inner, depth, see));
        }
        Value::Array(list) => list.iter().for_each(|inner| walk(inner, depth, see)),
        _ => {}
    }
}

/// The role of a filter that is a plugin of ours; absent: it is none.
fn role(filter: &Value) -> Option<String> {
    let config = filter.pointer("/typed_config/config")?.as_object()?;
    let value = config.get("configuration")?.get("value")?;
    let settings = match value.as_str() {
        Some(text) => serde_json::from_str(text).ok()?,
        None => value.clone(),
    };
    let role = settings.get("role").and_then(Value::as_str);
    is_ours(config, &settings).then(|| role.unwrap_or("single").to_owned())
}

fn is_router(filter: &Value) -> bool {
    let kind = filter.pointer("/typed_config/@type");
    let kind = kind.and_then(Value::as_str).unwrap_or_default();
    kind.ends_with(".http.router.v3.Router")
}

/// Finds plugins behind the router, plugins that decide twice, and halves of a pair that miss each
/// other.
///
/// - `roles`: of each filter, in order; absent for filters of others.
fn order(roles: &[Option<String>], router: Option<usize>) -> Vec<String> {
    let at = |wanted: &str| {
        let is = |role: &Option<String>| role.as_deref() == Some(wanted);
        roles.iter().position(is)
    };
    let count = |wanted: &str| {
        let is = |role: &&Option<String>| role.as_deref() == Some(wanted);
        roles.iter().filter(is).count()
    };
    let mut lines = Vec::new();
    let behind = router.map_or(0, |router| {
        roles
            .iter()
            .skip(router)
            .filter(|role| role.is_some())
            .count()
    });
    if behind > 0 {
        lines.push("http_filters: the router stands before the plugin, which then sees no request; put envoy.filters.http.router last".to_owned());
    }
    if count("single") > 1 {
        lines.push(format!(
            "http_filters: {} plugins decide on each request, and the last one wins; leave one and name several pools in its `pools`",
            count("single")
        ));
    }
    match (at("tap"), at("pick")) {
        (Some(_), None) => lines.push("http_filters: the plugin of role tap has no pick behind it, so nobody holds the headers until it has decided; add pick (deploy/envoy/two-plugins.yaml)".to_owned()),
        (None, Some(_)) => lines.push("http_filters: the plugin of role pick has no tap before it, so nobody decides; add tap (deploy/envoy/two-plugins.yaml)".to_owned()),
        (Some(tap), Some(pick)) if pick < tap => lines.push("http_filters: pick stands before tap; put tap first".to_owned()),
        _ if count("tap") != count("pick") => lines.push(format!(
            "http_filters: {} plugins of role tap and {} of role pick; each pair needs one of both, with the same pools and destination",
            count("tap"),
            count("pick")
        )),
        _ => {}
    }
    lines
}

/// A route that sends requests on.
struct Route<'d> {
    /// Clusters that it sends to.
    clusters: Vec<&'d str>,
    /// Absent: Envoy's.
    timeout: Option<&'d str>,
}

fn routes(manager: &Value) -> Vec<Route<'_>> {
    let hosts = manager.pointer("/route_config/virtual_hosts");
    let hosts = hosts.and_then(Value::as_array).into_iter().flatten();
    let routes = hosts.filter_map(|host| host.get("routes")?.as_array());
    routes
        .flatten()
        .filter_map(|route| route.get("route"))
        .map(|route| {
            let weighted = route.pointer("/weighted_clusters/clusters");
            let weighted = weighted.and_then(Value::as_array).into_iter().flatten();
            let weighted = weighted.filter_map(|cluster| cluster.get("name")?.as_str());
            let one = route.get("cluster").and_then(Value::as_str);
            Route {
                clusters: one.into_iter().chain(weighted).collect(),
                timeout: route.get("timeout").and_then(Value::as_str),
            }
        })
        .collect()
}

fn cut_answers(routes: &[Route<'_>]) -> Option<String> {
    let route = routes.iter().find(|route| route.timeout.is_none())?;
    Some(format!(
        "the route to {} has no timeout, and Envoy's own cuts answers after 15 s; write `timeout: 0s`",
        route.clusters.join(", ")
    ))
}

/// Clusters that the routes send to and that keep idle connections for Envoy's hour.
fn idle_connections(document: &Value, routes: &[Route<'_>]) -> Vec<String> {
    let clusters = document.pointer("/static_resources/clusters");
    let clusters = clusters.and_then(Value::as_array).into_iter().flatten();
    let named = clusters.filter_map(|cluster| Some((cluster.get("name")?.as_str()?, cluster)));
    named
        .filter(|(name, _)| routes.iter().any(|route| route.clusters.contains(name)))
        .filter(|(_, cluster)| !has_idle_timeout(cluster))
        .map(|(name, _)| {
            format!("cluster {name:?} has no idle_timeout: servers in Python close idle connections after 2 to 5 s, and a request on its way then is a 503; write common_http_protocol_options: {{ idle_timeout: 1s }} (deploy/envoy/envoy.yaml)")
        })
        .collect()
}

fn has_idle_timeout(cluster: &Value) -> bool {
    let mut found = false;
    walk(cluster, DEEPEST, &mut |object| {
        let options = object.get("common_http_protocol_options");
        found |= options.is_some_and(|options| options.get("idle_timeout").is_some());
    });
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployed(name: &str) -> Value {
        let path = format!("{}/deploy/envoy/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn plugin(role: &str) -> Value {
        let settings = json!({"pool": "p", "aggregator": {"cluster": "a"}, "role": role});
        json!({"typed_config": {"config": {"vm_config": {}, "configuration": {"value": settings.to_string()}}}})
    }

    fn router() -> Value {
        json!({"typed_config": {"@type": "x/envoy.extensions.filters.http.router.v3.Router"}})
    }

    fn problems(filters: &[Value]) -> Vec<String> {
        remarks(&json!({"listeners": [{"http_filters": filters}]})).problems
    }

    #[test]
    fn what_is_deployed_has_nothing_to_remark() {
        for file in [
            "envoy.yaml",
            "two-plugins.yaml",
            "destinations/stateful_session.yaml",
            "destinations/lua.yaml",
            "destinations/original_dst.yaml",
        ] {
            assert_eq!(remarks(&deployed(file)), Remarks::default(), "{file}");
        }
    }

    #[test]
    fn filters_in_an_order_that_cannot_work_are_problems() {
        let (single, tap, pick) = (plugin("single"), plugin("tap"), plugin("pick"));
        for (filters, begin) in [
            (vec![single.clone(), router()], None),
            (vec![tap.clone(), json!({}), pick.clone(), router()], None),
            (
                vec![router(), single.clone()],
                Some("the router stands before"),
            ),
            (
                vec![single.clone(), single, router()],
                Some("2 plugins decide"),
            ),
            (
                vec![tap.clone(), router()],
                Some("the plugin of role tap has no pick"),
            ),
            (
                vec![pick.clone(), router()],
                Some("the plugin of role pick has no tap"),
            ),
            (
                vec![tap.clone(), tap.clone(), pick.clone(), pick.clone()],
                None,
            ),
            (
                vec![tap.clone(), tap.clone(), pick.clone(), router()],
                Some("2 plugins of role tap and 1 of role pick"),
            ),
            (vec![pick, tap, router()], Some("pick stands before tap")),
            (vec![router(), json!({})], None),
        ] {
            let found = problems(&filters);
            let is_right = match begin {
                None => found.is_empty(),
                Some(begin) => {
                    found.len() == 1 && found[0].starts_with(&format!("http_filters: {begin}"))
                }
            };
            assert!(is_right, "{begin:?}: {found:?}");
        }
    }

    #[test]
    fn routes_that_cut_answers_and_clusters_that_keep_dead_connections_are_noted() {
        let mut envoy = deployed("envoy.yaml");
        let text = envoy
            .to_string()
            .replace("\"timeout\":\"0s\"", "\"other\":1");
        let text = text.replace("\"idle_timeout\":\"1s\"", "\"other\":1");
        envoy = serde_json::from_str(&text).unwrap();
        let found = remarks(&envoy);
        assert_eq!(found.problems, Vec::<String>::new());
        let [cut, idle] = found.notes.as_slice() else {
            panic!("{:?}", found.notes);
        };
        assert!(
            cut.contains("`timeout: 0s`") && cut.contains("model_servers"),
            "{cut}"
        );
        assert!(
            idle.contains("\"model_servers\"") && idle.contains("idle_timeout: 1s"),
            "{idle}"
        );
    }
}
