//! `cargo xtask dist`: the images of the aggregator and of the filter's modules, as OCI layouts in
//! target/trimtab/images. No container engine is needed.
//!
//! The same files make the same layout to the bit. The aggregator is built without times, build ids
//! and the names of this machine's folders.

mod aggregator;
mod digest;
mod layer;
mod layout;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{project, run, wasm};

use layer::{File, Layer};
use layout::{Image, Layout};

/// The tag of every image: the version of the workspace.
const TAG: &str = env!("CARGO_PKG_VERSION");

/// Architectures of the modules' images. The content is the same. A node pulls, and a runtime
/// unpacks, only an image that says it is for its own.
const MODULE_ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// The user of the aggregator's image: nobody in particular, and not root.
const USER: &str = "65532:65532";

/// Builds all images, and says how to push them.
pub(crate) fn dist() -> Result<()> {
    let images = images(&wasm::build()?, Optimised::Yes)?;
    println!("push one with:");
    println!(
        "  skopeo copy --all oci:{}/trimtab-aggregator:{TAG} docker://REGISTRY/trimtab-aggregator:{TAG}",
        images.display()
    );
    Ok(())
}

/// Whether the aggregator in its image is optimised. Tests do without, which saves minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Optimised {
    Yes,
    No,
}

/// Builds all images, with these modules: the filter, and the one for the role pick beside it.
/// Returns the folder with one layout per image, which is named like it.
pub(crate) fn images(filter: &Path, optimised: Optimised) -> Result<PathBuf> {
    let (profile, folder) = match optimised {
        Optimised::Yes => ("dist", "target/trimtab/images"),
        Optimised::No => ("dist-quick", "target/trimtab/images-quick"),
    };
    let aggregator = aggregator::build(profile)?;
    let images = project::root().join(folder);
    run::step("dist", "write the images", || {
        let pick = filter.with_file_name("pick.wasm");
        write(&images, "trimtab-filter", &module(filter)?)?;
        write(&images, "trimtab-pick", &module(&pick)?)?;
        write(&images, "trimtab-aggregator", &[program(&aggregator)?])
    })?;
    Ok(images)
}

/// Writes a layout beside the final one and renames it, so that nothing stale is left in it.
fn write(images: &Path, name: &str, content: &[Image]) -> Result<()> {
    let dir = images.join(name);
    let partial = images.join(format!("{name}.partial"));
    for old in [&dir, &partial] {
        if old.is_dir() {
            std::fs::remove_dir_all(old)?;
        }
    }
    let digest = Layout::create(&partial)?.write(content, TAG)?;
    std::fs::rename(&partial, &dir).with_context(|| format!("cannot write {}", dir.display()))?;
    println!("{name:<20} {digest}  {}", dir.display());
    Ok(())
}

/// Returns the image of the aggregator: one static program, and nothing else but the licence.
fn program(path: &Path) -> Result<Image> {
    let licence = project::root().join("LICENSE");
    let layer = Layer::of(&[
        File::read(&licence, "LICENSE", 0o644)?,
        File::read(path, aggregator::NAME, 0o755)?,
    ])?;
    Ok(Image {
        architecture: architecture(std::env::consts::ARCH),
        config: json!({
            "User": USER,
            "Entrypoint": [format!("/{}", aggregator::NAME)],
            "ExposedPorts": {"9190/tcp": {}},
            "Labels": labels("Trimtab's aggregator"),
        }),
        layer,
    })
}

/// Returns the images of a module, in the form that Istio and Envoy Gateway fetch: one layer with
/// the file `plugin.wasm`.
fn module(path: &Path) -> Result<Vec<Image>> {
    let layer = Layer::of(&[File::read(path, "plugin.wasm", 0o644)?])?;
    let image = |architecture| Image {
        architecture,
        config: json!({"Labels": labels("Trimtab's filter for Envoy")}),
        layer: layer.clone(),
    };
    Ok(MODULE_ARCHITECTURES.into_iter().map(image).collect())
}

fn labels(title: &str) -> Value {
    json!({
        "org.opencontainers.image.title": title,
        "org.opencontainers.image.version": TAG,
        "org.opencontainers.image.licenses": "Apache-2.0",
    })
}

/// Returns the name that images have for an architecture of Rust.
fn architecture(rust: &'static str) -> &'static str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
