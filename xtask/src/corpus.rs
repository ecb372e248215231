//! The committed corpora: one archive for each fuzz target, since thousands of small files make a checkout slow.

use std::fs;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::workspace::{Result, root};

fn archive(target: &str) -> PathBuf {
    root().join("fuzz/corpus").join(format!("{target}.tar.gz"))
}

/// Unpacks a target's corpus; returns the directory.
pub(crate) fn unpack(target: &str) -> Result<PathBuf> {
    let directory = root().join("fuzz/target/committed").join(target);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    if let Ok(file) = fs::File::open(archive(target)) {
        tar::Archive::new(GzDecoder::new(file)).unpack(&directory)?;
    }
    Ok(directory)
}

/// Packs the files of a directory as a target's corpus; returns how many they are. The same files give the same bytes.
pub(crate) fn pack(target: &str, directory: &Path) -> Result<usize> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    fs::create_dir_all(root().join("fuzz/corpus"))?;
    let out = GzEncoder::new(fs::File::create(archive(target))?, Compression::best());
    let mut builder = tar::Builder::new(out);
    for file in &files {
        let (bytes, name) = (fs::read(file)?, file.file_name().ok_or("an input has no name")?);
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &*bytes)?;
    }
    builder.into_inner()?.finish()?;
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is packed comes out again, and the bytes depend on nothing but the files.
    #[test]
    fn packing_a_corpus_again_gives_the_same_archive() {
        let committed = fs::read(archive("shaper")).unwrap();
        let directory = unpack("shaper").unwrap();
        assert_eq!(pack("shaper", &directory).unwrap(), fs::read_dir(&directory).unwrap().count());
        assert_eq!(fs::read(archive("shaper")).unwrap(), committed);
    }
}
