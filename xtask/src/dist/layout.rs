//! OCI image layout, version 1.0.0: a folder that `skopeo`, `crane` and others push as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::digest::digest;
use super::layer::Layer;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image with one layer.
#[derive(Debug)]
pub(super) struct Image {
    /// As images name it: `amd64`, `arm64`.
    pub(super) architecture: &'static str,
    /// The member `config` of the image's configuration.
    pub(super) config: Value,
    pub(super) layer: Layer,
}

/// A folder that is being filled.
#[derive(Debug)]
pub(super) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir.join("blobs/sha256"))
            .with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.to_owned();
        Ok(Self { dir })
    }

    /// Writes the images under this tag: one as it is, several as an index by architecture. Returns
    /// the digest by which they are pulled.
    pub(super) fn write(&self, images: &[Image], tag: &str) -> Result<String> {
        let mut manifests = Vec::new();
        for image in images {
            let mut manifest = self.manifest(image)?;
            manifest["platform"] = json!({"architecture": image.architecture, "os": "linux"});
            manifests.push(manifest);
        }
        let mut tagged = match manifests.as_slice() {
            [one] => one.clone(),
            several => {
                let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": several});
                self.blob(INDEX, index.to_string().as_bytes())?
            }
        };
        tagged["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let digest = tagged["digest"].as_str().unwrap_or_default().to_owned();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [tagged]});
        std::fs::write(self.dir.join("index.json"), index.to_string())?;
        let version = json!({"imageLayoutVersion": "1.0.0"});
        std::fs::write(self.dir.join("oci-layout"), version.to_string())?;
        Ok(digest)
    }

    /// Writes an image. Returns the descriptor of its manifest.
    fn manifest(&self, image: &Image) -> Result<Value> {
        let config = json!({
            "architecture": image.architecture,
            "os": "linux",
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [image.layer.diff_id]},
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(CONFIG, config.to_string().as_bytes())?,
            "layers": [self.blob(LAYER, &image.layer.bytes)?],
        });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Writes bytes under their digest. Returns their descriptor.
    fn blob(&self, kind: &str, bytes: &[u8]) -> Result<Value> {
        let digest = digest(bytes);
        let path = self.dir.join("blobs").join(digest.replace(':', "/"));
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(json!({"mediaType": kind, "digest": digest, "size": bytes.len()}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(architecture: &'static str) -> Image {
        let layer = Layer::of(&[]).unwrap();
        let config = json!({"User": "1:1"});
        Image {
            architecture,
            config,
            layer,
        }
    }

    fn read(dir: &Path, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
    }

    fn blob(dir: &Path, descriptor: &Value) -> Value {
        let digest = descriptor["digest"].as_str().unwrap();
        read(dir, &format!("blobs/{}", digest.replace(':', "/")))
    }

    #[test]
    fn every_blob_is_found_by_its_digest_and_the_tag_leads_to_all() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let images = [image("amd64"), image("arm64")];
        let digest = Layout::create(dir).unwrap().write(&images, "1").unwrap();
        let tagged = &read(dir, "index.json")["manifests"][0];
        assert_eq!(tagged["digest"], digest);
        let name = "org.opencontainers.image.ref.name";
        assert_eq!(tagged["annotations"][name], "1");
        for (place, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
            let listed = &blob(dir, tagged)["manifests"][place];
            assert_eq!(listed["platform"]["architecture"], architecture);
            let manifest = blob(dir, listed);
            let config = blob(dir, &manifest["config"]);
            assert_eq!(config["architecture"], architecture);
            assert_eq!(config["config"]["User"], "1:1");
            assert_eq!(manifest["layers"][0]["mediaType"], LAYER);
        }
        let one = tempfile::tempdir().unwrap();
        let layout = Layout::create(one.path()).unwrap();
        layout.write(&[image("amd64")], "1").unwrap();
        let tagged = &read(one.path(), "index.json")["manifests"][0];
        assert_eq!(tagged["mediaType"], MANIFEST);
    }
}
