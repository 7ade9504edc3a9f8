//! Builds again when a migration comes or goes.
fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
