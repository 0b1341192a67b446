//! The section `discovery.kubernetes`.

use crate::members::text::printable;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use trimtab_settings::Settings;

/// How many ports a pod may have. An InferencePool has the same limit.
const MAX_PORTS: usize = 8;
const HINT: &str = "write one of `inference_pool: namespace/name`, `service: namespace/name` or `pods: {namespace: .., labels: {..}, ports: [..]}`";

/// Endpoints that a cluster declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// The kind of object that declares them.
    pub source: Source,
    /// How the cluster is read.
    pub reading: Reading,
}

/// All InferencePools of some namespaces. Each becomes a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferencePools {
    /// Their namespaces. Empty: all namespaces.
    pub namespaces: Vec<String>,
    /// How the cluster is read.
    pub reading: Reading,
}

/// How an API server is reached, and where the hardware class and zone of pods come from: the first
/// of devices, nodes and labels of pods that names a class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The hardware class of endpoints for which nothing else names one.
    pub class: String,
    /// The pod label whose value is the hardware class. Absent: no label is read.
    pub class_label: Option<String>,
    /// Whether the devices of a pod's ResourceClaims give its hardware class.
    pub device_claims: bool,
    /// Whether labels of nodes give hardware class and zone.
    pub node_labels: bool,
    /// The kubeconfig file. Absent: `$KUBECONFIG` or `~/.kube/config`, else the service account of
    /// the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context to use. Absent: the current one.
    pub context: Option<String>,
}

/// What declares the endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An InferencePool of the Gateway API's inference extension: the pods that it selects, at its
    /// target ports.
    InferencePool(Name),
    /// A Service: the endpoints in its EndpointSlices.
    Service {
        /// The Service.
        name: Name,
        /// The name of the port in the slices. Absent: their only port.
        port: Option<String>,
    },
    /// Pods by label.
    Pods {
        /// The namespace of the pods.
        namespace: String,
        /// Their labels and ports.
        selection: Selection,
    },
}

/// Namespace and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// Which pods, and which of their ports. Each port of a pod is an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Labels that a pod must have. At least one.
    pub labels: BTreeMap<String, String>,
    /// The ports, at least one.
    pub ports: Vec<u16>,
}

impl Kubernetes {
    pub(in crate::members) fn read(s: &Settings<'_>) -> Self {
        let about = "An InferencePool (inference.networking.k8s.io/v1), as \
            `namespace/name`: the pods that it selects, a row for each of \
            its target ports. Reads inferencepools, pods.";
        let pool = name(s.about(about), "inference_pool").map(Source::InferencePool);
        let port = s
            .about("The name of the Service's port. Absent: it has one port.")
            .string("port")
            .check(|text| label_text(text))
            .optional();
        let has_service = s.value("service").optional().is_some();
        if port.is_some() && !has_service {
            s.problem("has `port`, which belongs to `service`", "leave `port` out");
        }
        let about = "A Service, as `namespace/name`: the endpoints in its \
            EndpointSlices. Reads endpointslices, and pods for their \
            hardware.";
        let service = name(s.about(about), "service").map(|name| Source::Service { name, port });
        let pods = s
            .about("Pods by label. Each of their ports is a row. Reads pods.")
            .object("pods")
            .hint(HINT)
            .optional()
            .map(|pods| pods_of(&pods));
        let mut given: Vec<Source> = [pool, service, pods].into_iter().flatten().collect();
        if given.len() > 1 {
            s.problem("names more than one kind of object", HINT);
        }
        Self {
            source: given.pop().unwrap_or_else(|| {
                let kinds = ["inference_pool", "service", "pods"];
                let written = |name: &&'static str| s.value(name).optional().is_some();
                if !kinds.iter().any(written) {
                    s.problem("names nothing that declares endpoints", HINT);
                }
                Source::InferencePool(Name::default())
            }),
            reading: Reading::read(s),
        }
    }
}

impl Source {
    /// Returns the namespace of the endpoints.
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::InferencePool(name) | Self::Service { name, .. } => &name.namespace,
            Self::Pods { namespace, .. } => namespace,
        }
    }
}

impl InferencePools {
    /// Reads the section `pools_from.kubernetes`.
    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let all = |namespaces: &Vec<String>| namespaces.iter().try_for_each(|one| object_name(one));
        Self {
            namespaces: s
                .about("Their namespaces. With none, all.")
                .strings("namespaces")
                .check(all)
                .default(Vec::new()),
            reading: Reading::read(s),
        }
    }
}

impl Reading {
    fn read(s: &Settings<'_>) -> Self {
        let text =
            |name: &'static str, about| s.about(about).string(name).max_bytes(4096).optional();
        Self {
            class: s
                .about("The hardware class of a pod for which neither devices nor labels \
                    tell one. A class has what changes speed, product, part, memory \
                    and number, as in `NVIDIA-A100-SXM4-40GB mig-1g.5gb 5GiB` and \
                    `v6e x4`. Of these four the first that tells it counts: \
                    `device_claims`, `node_labels`, `class_label`, `class`. Rights \
                    that are missing cost a warning, and the next one tells.")
                .string("class")
                .check(|text| printable(text))
                .default(String::new()),
            class_label: s
                .about("A label of the pod's own, whose value is the class. Absent: none.")
                .string("class_label")
                .check(|text| label_key(text))
                .optional(),
            device_claims: s
                .about("Whether the devices of its ResourceClaims tell the class \
                    (dynamic resource allocation). Reads resourceclaims, and \
                    resourceslices, which takes a ClusterRole.")
                .bool("device_claims")
                .default(true),
            node_labels: s
                .about("Whether labels of its node do, as NVIDIA, AMD, Intel and clouds \
                    set them, and tell the zone. Reads nodes, which takes a \
                    ClusterRole.")
                .bool("node_labels")
                .default(true),
            kubeconfig: text("kubeconfig", "How the API server is reached. Absent: as `$KUBECONFIG` or `~/.kube/config` says, else as a pod is told.").map(PathBuf::from),
            context: text("context", "The context of that file. Absent: its current one."),
        }
    }
}

impl Default for Name {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            name: String::new(),
        }
    }
}

impl Name {
    /// Reads `namespace/name`. An error says what is wrong.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        let (namespace, name) = text.split_once('/').ok_or("has no namespace")?;
        object_name(namespace)?;
        object_name(name)?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Selection {
    /// Returns the labels as a label selector for the API server.
    pub(super) fn labels(&self) -> String {
        let labels = self.labels.iter();
        let labels: Vec<String> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        labels.join(",")
    }

    /// Reads the labels and ports of an object. An error says what is wrong.
    pub(super) fn of(labels: Option<&Value>, ports: &[Value]) -> Result<Self, &'static str> {
        let labels = labels.and_then(Value::as_object);
        let labels = labels
            .filter(|labels| !labels.is_empty())
            .ok_or("selects no labels")?;
        let mut selection = Self::default();
        for (key, value) in labels {
            let value = value.as_str().ok_or("has a label whose value is no text")?;
            label_key(key)?;
            if !value.is_empty() {
                label_text(value)?;
            }
            selection.labels.insert(key.clone(), value.to_owned());
        }
        for port in ports {
            let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
            let port = port
                .filter(|port| *port > 0)
                .ok_or("has a port that is not within 1 to 65535")?;
            if !selection.ports.contains(&port) {
                selection.ports.push(port);
            }
        }
        match selection.ports.len() {
            0 => Err("has no port"),
            1..=MAX_PORTS => Ok(selection),
            _ => Err("has more than 8 ports"),
        }
    }
}

fn name(s: &Settings<'_>, field: &'static str) -> Option<Name> {
    let field = s
        .string(field)
        .hint("write it as namespace/name, as in default/vllm");
    field.map(|text| Name::read(&text)).optional()
}

fn pods_of(s: &Settings<'_>) -> Source {
    let namespace = s
        .about("Their namespace.")
        .string("namespace")
        .check(|text| object_name(text))
        .default("default".to_owned());
    let ports = s
        .about_as("Their ports, 1 to 8.", "a list of numbers", "")
        .value("ports")
        .hint("write `ports: [8000]`")
        .required_or(&Value::Null);
    let labels = s
        .about_as(
            "Labels that a pod must have, at least one.",
            "an object of texts",
            "",
        )
        .value("labels")
        .hint("write `labels: {app: vllm}`")
        .required_or(&Value::Null);
    let numbers = ports.as_array().map_or(&[][..], Vec::as_slice);
    let selection = Selection::of(Some(labels), numbers);
    let selection = selection.unwrap_or_else(|reason| {
        // A missing field has already been reported.
        if !labels.is_null() && !ports.is_null() {
            let fix = "write labels and ports as in {labels: {app: vllm}, ports: [8000]}";
            s.problem(reason, fix);
        }
        Selection::default()
    });
    Source::Pods {
        namespace,
        selection,
    }
}

/// Checks the name of an object, by the API server's rules.
fn object_name(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    let fits = (1..=253).contains(&text.len());
    match fits && text.bytes().all(allowed) {
        true => Ok(()),
        false => Err("is no name of an object"),
    }
}

/// Checks the key of a label, by these rules.
fn label_key(text: &str) -> Result<(), &'static str> {
    let (prefix, name) = text.split_once('/').unwrap_or(("", text));
    if !prefix.is_empty() {
        object_name(prefix)?;
    }
    label_text(name)
}

/// Checks the value of a label, by these rules. It must not be empty.
fn label_text(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=63).contains(&text.len());
    match fits && text.bytes().all(allowed) {
        true => Ok(()),
        false => Err("has what is no key or value of a label"),
    }
}
