//! Compiles the protocol files in Rust (no protoc) and keeps descriptor sets for gRPC reflection.

use std::path::PathBuf;

use prost::Message;

/// Files of `proto/`; each folder generates one module of `src/proto.rs`.
const FILES: [&str; 6] = [
    "stampede/v1/issuance.proto",
    "stampede/admin/v1/admin.proto",
    "stampede/admin/v1/support.proto",
    "stampede/raft/v1/raft.proto",
    "stampede/storage/v1/storage.proto",
    "stampede/drill/v1/drill.proto",
];

/// Descriptor sets for the reflection of a port, and the folders of `proto/` in them.
const REFLECTED: [(&str, &[&str]); 2] =
    [("client_descriptors.bin", &["stampede/v1/"]), ("operator_descriptors.bin", &["stampede/v1/", "stampede/admin/v1/"])];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // What reflection tells at a port is what its callers have business with.
    for (name, folders) in REFLECTED {
        let mut told = descriptors.clone();
        told.file.retain(|file| folders.iter().any(|folder| file.name().starts_with(folder)));
        std::fs::write(out.join(name), told.encode_to_vec())?;
    }
    tonic_prost_build::configure().bytes(".stampede.storage.v1").bytes(".stampede.raft.v1").compile_fds(descriptors)?;
    Ok(())
}
