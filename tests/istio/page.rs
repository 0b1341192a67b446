//! The commands of docs/istio.md, in the order of the page, in a copy of the project.

use crate::blocks::{bash, blocks, copy};
use crate::manifests::project;
use crate::mesh::Mesh;

fn mode(mesh: &Mesh) -> Option<String> {
    let get = [
        "get",
        "trafficextensions",
        "trimtab-tap",
        "-n",
        "istio-system",
    ];
    let output = mesh.kubectl.output(&[&get[..], &["-o", "json"]].concat());
    let plugin: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let pool = &plugin["spec"]["wasm"]["pluginConfig"]["pools"][0];
    Some(pool["mode"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_leads_from_a_mesh_to_plugins_that_decide_and_back() {
    let mesh = Mesh::without_servers().await;
    let dir = tempfile::tempdir().unwrap();
    for folder in ["istio", "deploy"] {
        copy(&project(folder), &dir.path().join(folder));
    }
    let page = std::fs::read_to_string(project("docs/istio.md")).unwrap();
    let mut modes = Vec::new();
    for block in blocks(&page) {
        bash(&block, &mesh.kubectl, dir.path());
        if block.runs && block.text.contains("-k istio") {
            modes.push((block.heading.clone(), mode(&mesh)));
        }
    }
    let found: Vec<_> = modes.iter().map(|(_, mode)| mode.as_deref()).collect();
    let expected = [
        Some("\"observe\""),
        Some("{\"percent\":10}"),
        Some("\"enforce\""),
        None,
    ];
    assert_eq!(found, expected, "{modes:?}");
}
