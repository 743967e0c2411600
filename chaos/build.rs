//! Generates the drill's own client from the published protocol files; nothing of the stampede library is linked.

/// The public and the operators' protocol, and what a drill does from within. What peers and disks use is none of its business.
const FILES: [&str; 3] = ["stampede/v1/issuance.proto", "stampede/admin/v1/admin.proto", "stampede/drill/v1/drill.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../proto");
    let descriptors = protox::compile(FILES, ["../proto"])?;
    // No server: the drill only calls. (Its simulated provider calls too.)
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
