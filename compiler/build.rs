//! Tells cargo that the embedded rules, the pages of codes and the starter tree are part of the compiler: a new file there must reach the binary.
fn main() {
    println!("cargo::rerun-if-changed=../rules");
    println!("cargo::rerun-if-changed=../docs/codes");
    println!("cargo::rerun-if-changed=starter");
}
