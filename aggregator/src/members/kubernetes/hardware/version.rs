//! Which version of the API for devices a cluster serves.

use futures_util::{Stream, StreamExt, stream};
use hyper::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use kube::Client;

pub(super) const GROUP: &str = "resource.k8s.io";

/// A version of `resource.k8s.io` that can be read. What is read of one is the same in all, but for
/// the place of a device's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Version {
    /// Since Kubernetes 1.34.
    #[default]
    V1,
    /// Since 1.33.
    V1beta2,
    /// Since 1.32.
    V1beta1,
}

impl Version {
    /// All of them, the newest first.
    const ALL: [Self; 3] = [Self::V1, Self::V1beta2, Self::V1beta1];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1beta2 => "v1beta2",
            Self::V1beta1 => "v1beta1",
        }
    }

    /// Returns the newest of these versions that can be read. With none it is the newest, since the
    /// API server's answer to that says best what is wrong.
    fn newest(served: &APIGroup) -> Self {
        let is_served = |version: &Self| {
            served
                .versions
                .iter()
                .any(|one| one.version == version.name())
        };
        Self::ALL.into_iter().find(is_served).unwrap_or_default()
    }
}

/// Asks the API server for its version, then begins to watch. So a server that was updated is
/// followed with the next list.
pub(super) fn begin<S: Stream>(
    client: Client,
    watch: impl Fn(Client, Version) -> S,
) -> impl Stream<Item = S::Item> {
    let asked = client.clone();
    let version = async move {
        let request = Request::get(format!("/apis/{GROUP}"))
            .body(Vec::new())
            .ok()?;
        let served: APIGroup = asked.request(request).await.ok()?;
        Some(Version::newest(&served))
    };
    stream::once(version)
        .flat_map(move |version| watch(client.clone(), version.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_version_that_can_be_read_is_taken() {
        for (served, expected) in [
            (&["v1", "v1beta2", "v1beta1"][..], Version::V1),
            (&["v1alpha3", "v1beta1", "v1beta2"], Version::V1beta2),
            (&["v1beta1"], Version::V1beta1),
            (&["v2", "v1alpha3"], Version::V1),
            (&[], Version::V1),
        ] {
            let versions = served
                .iter()
                .map(|name| json!({"groupVersion": "", "version": name}));
            let group = json!({"name": GROUP, "versions": versions.collect::<Vec<_>>()});
            let group = serde_json::from_value(group).expect("a group");
            assert_eq!(Version::newest(&group), expected, "{served:?}");
        }
    }
}
