//! Tells cargo that the embedded rules, the pages of codes, the starter tree and the frameworks are part of the compiler: a new file there must reach the binary.
fn main() {
    println!("cargo::rerun-if-changed=../rules");
    println!("cargo::rerun-if-changed=../docs/codes");
    println!("cargo::rerun-if-changed=starter");
    println!("cargo::rerun-if-changed=frameworks");
}
