//! The images of `cargo xtask dist`: pushed to a registry, pulled, and started.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::eventually;
use crate::support::request;

const TAG: &str = env!("CARGO_PKG_VERSION");
const IMAGES: [&str; 3] = ["trimtab-aggregator", "trimtab-filter", "trimtab-pick"];

fn variable(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    let value = value
        .unwrap_or_else(|| panic!("{name} is not set; run `cargo xtask test --only kubernetes`"));
    value.into()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A process that ends when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has already ended is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A registry with an empty store.
struct Registry {
    port: u16,
    dir: TempDir,
    _server: Running,
}

impl Registry {
    async fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = dir.path().join("config.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            dir.path().join("store").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut serve = Command::new(variable("TRIMTAB_REGISTRY"));
        serve.arg("serve").arg(&config);
        let server = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let address = ([127, 0, 0, 1], port).into();
        eventually("the registry answers", async || {
            let connection = tokio::net::TcpStream::connect(address);
            connection.await.ok()?;
            let (status, _) = request(address, "GET", "/v2/", "", &[]).await;
            (status == 200).then_some(())
        })
        .await;
        Self {
            port,
            dir,
            _server: Running(server.unwrap()),
        }
    }

    fn name(&self, image: &str) -> String {
        format!("docker://127.0.0.1:{}/{image}:{TAG}", self.port)
    }

    /// Pulls an image for one architecture. Returns the folder of its layout.
    fn pull(&self, image: &str, architecture: &str) -> PathBuf {
        let dir = self.dir.path().join(format!("{image}-{architecture}"));
        let to = format!("oci:{}:{TAG}", dir.display());
        let pull = [
            "--override-arch",
            architecture,
            "copy",
            "--src-tls-verify=false",
        ];
        skopeo(&[&pull[..], &[&self.name(image), &to]].concat());
        dir
    }
}

fn skopeo(args: &[&str]) -> String {
    let mut command = Command::new(variable("TRIMTAB_SKOPEO"));
    let output = command
        .arg("--insecure-policy")
        .args(args)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap();
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// Unpacks the one layer of an image. Returns the folder, and the image's configuration.
fn unpack(layout: &Path) -> (TempDir, Value) {
    let index = json(&layout.join("index.json"));
    let manifest = json(&blob(layout, &index["manifests"][0]));
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    let root = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(blob(layout, &layers[0]));
    let done = tar.arg("-C").arg(root.path()).status().unwrap();
    assert!(done.success());
    (root, json(&blob(layout, &manifest["config"])))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn images_are_pushed_and_pulled_as_they_were_built() {
    let registry = Registry::start().await;
    let images = variable("TRIMTAB_IMAGES");
    for image in IMAGES {
        let from = format!("oci:{}:{TAG}", images.join(image).display());
        let to = registry.name(image);
        skopeo(&["copy", "--all", "--dest-tls-verify=false", &from, &to]);
        let built = json(&images.join(image).join("index.json"));
        let stored = skopeo(&["inspect", "--raw", "--tls-verify=false", &to]);
        let own = blob(&images.join(image), &built["manifests"][0]);
        assert_eq!(stored, std::fs::read_to_string(own).unwrap(), "{image}");
    }
    let filter = variable("TRIMTAB_FILTER");
    for (image, file) in [
        ("trimtab-filter", "filter.wasm"),
        ("trimtab-pick", "pick.wasm"),
    ] {
        for architecture in ["amd64", "arm64"] {
            let (root, config) = unpack(&registry.pull(image, architecture));
            assert_eq!(config["architecture"], architecture);
            assert_eq!(names(root.path()), ["plugin.wasm"]);
            let pulled = std::fs::read(root.path().join("plugin.wasm")).unwrap();
            let module = std::fs::read(filter.with_file_name(file)).unwrap();
            assert!(pulled == module, "{image} is another module than {file}");
        }
    }
}

/// As in a container: nothing but the image, what the kubelet mounts, and a user without a name.
#[tokio::test]
async fn the_aggregator_runs_on_nothing_but_its_image_and_finds_names() {
    let layout = variable("TRIMTAB_IMAGES").join("trimtab-aggregator");
    let (root, config) = unpack(&layout);
    assert_eq!(names(root.path()), ["LICENSE", "trimtab-aggregator"]);
    assert_eq!(config["config"]["User"], "65532:65532");
    let entrypoint = config["config"]["Entrypoint"][0].as_str().unwrap();
    let port = free_port();
    let address = ([127, 0, 0, 1], port).into();
    let settings = format!(
        "listen: 127.0.0.1:{port}\npools: [{{name: chat, discovery: {{dns: {{host: servers.test, port: 1}}}}}}]\n"
    );
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/hosts"), "127.0.0.5 servers.test\n").unwrap();
    std::fs::write(root.path().join("settings.yaml"), settings).unwrap();
    // Others than root may not change the root, but in a user namespace of their own.
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = if is_root {
        let mut command = Command::new("chroot");
        command.arg("--userspec=65532:65532");
        command
    } else {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "chroot"]);
        command
    };
    // `chroot` must not fail because of the folder's own mode.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.path(), open).unwrap();
    command.arg(root.path()).arg(entrypoint);
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    command.args(["--config", "/settings.yaml"]);
    command.env_clear().env("PATH", path);
    let log = std::fs::File::create(root.path().join("log")).unwrap();
    let _program = Running(command.stderr(log).spawn().unwrap());
    eventually("the address of the name is in the table", async || {
        tokio::net::TcpStream::connect(address).await.ok()?;
        let table = "/v1/pools/chat/table";
        let (_, body) = request(address, "GET", table, "accept: application/json\r\n", &[]).await;
        String::from_utf8_lossy(&body)
            .contains("127.0.0.5:1")
            .then_some(())
    })
    .await;
}
