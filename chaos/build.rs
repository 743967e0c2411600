//! Generates the drill's own client from the published protocol files; nothing of the stampede library is linked.

/// The public and the operators' protocol. What peers and disks use is none of the drill's business.
const FILES: [&str; 2] = ["stampede/v1/issuance.proto", "stampede/admin/v1/admin.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../proto");
    let descriptors = protox::compile(FILES, ["../proto"])?;
    // No server: the drill only calls. (Its simulated provider calls too.)
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
