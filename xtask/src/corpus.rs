//! The committed corpora: one archive for each fuzz target, since thousands of small files make a checkout slow.

use std::fs;
use std::io::{ErrorKind, Write};
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
    match fs::File::open(archive(target)) {
        Ok(file) => tar::Archive::new(GzDecoder::new(file)).unpack(&directory)?,
        // A new target.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(directory)
}

/// Packs the files of a directory as a target's corpus; returns how many they are.
pub(crate) fn pack(target: &str, directory: &Path) -> Result<usize> {
    fs::create_dir_all(root().join("fuzz/corpus"))?;
    pack_into(directory, fs::File::create(archive(target))?)
}

/// The same files give the same bytes.
fn pack_into(directory: &Path, out: impl Write) -> Result<usize> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    let mut builder = tar::Builder::new(GzEncoder::new(out, Compression::best()));
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
        let mut again = Vec::new();
        assert_eq!(pack_into(&directory, &mut again).unwrap(), fs::read_dir(&directory).unwrap().count());
        assert_eq!(again, committed);
    }
}
