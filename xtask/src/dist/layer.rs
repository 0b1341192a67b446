//! A layer: a tar archive in gzip, the same to the bit for the same files.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};

use super::digest::digest;

/// A file of a layer. It belongs to root, so that the user of an image cannot change it.
#[derive(Debug)]
pub(super) struct File {
    name: &'static str,
    mode: u32,
    bytes: Vec<u8>,
}

impl File {
    /// Reads the content from `path`. `name` is the place in the image, without a leading slash.
    pub(super) fn read(path: &Path, name: &'static str, mode: u32) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { name, mode, bytes })
    }
}

#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// The archive as it is stored.
    pub(super) bytes: Vec<u8>,
    /// Digest of the archive before compression.
    pub(super) diff_id: String,
}

impl Layer {
    /// Returns the archive of these files, in this order. Times are 0.
    pub(super) fn of(files: &[File]) -> Result<Self> {
        let mut archive = tar::Builder::new(Vec::new());
        for file in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(file.bytes.len().try_into()?);
            header.set_mode(file.mode);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            archive.append_data(&mut header, file.name, file.bytes.as_slice())?;
        }
        let archive = archive.into_inner()?;
        // No time and no name of a file; and a byte that says no operating system.
        let gzip = GzBuilder::new().mtime(0).operating_system(255);
        let mut encoder = gzip.write(Vec::new(), Compression::best());
        encoder.write_all(&archive)?;
        Ok(Self {
            bytes: encoder.finish()?,
            diff_id: digest(&archive),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn file(name: &'static str, mode: u32, bytes: &[u8]) -> File {
        let bytes = bytes.to_owned();
        File { name, mode, bytes }
    }

    #[test]
    fn a_layer_has_the_files_for_root_without_a_time() {
        let files = [file("a", 0o644, b"one"), file("program", 0o755, b"two")];
        let layer = Layer::of(&files).unwrap();
        let mut archive = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(layer.bytes.as_slice());
        decoder.read_to_end(&mut archive).unwrap();
        assert_eq!(digest(&archive), layer.diff_id);
        let mut archive = tar::Archive::new(archive.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let header = entry.header();
            let (mode, owner) = (header.mode().unwrap(), header.uid().unwrap());
            let name = entry.path().unwrap().display().to_string();
            (name, mode, owner, header.mtime().unwrap(), text)
        });
        let entries: Vec<_> = entries.collect();
        let entry = |name: &str, mode, text: &str| (name.to_owned(), mode, 0, 0, text.to_owned());
        assert_eq!(
            entries,
            [entry("a", 0o644, "one"), entry("program", 0o755, "two")]
        );
        assert_eq!(Layer::of(&files).unwrap().bytes, layer.bytes);
    }
}
