//! Generated keys are read by openssl, an implementation that is not ours.

use std::io::Write;
use std::process::{Command, Stdio};

use contract::seal::{PrivateKey, PublicKey};

fn run(mut command: Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn openssl(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(arguments);
    run(command, input)
}

#[test]
fn openssl_reads_every_generated_key() {
    for seed in 0..8 {
        let key = PrivateKey::from_seed(&[seed; 32]);
        let private = key.to_pem().unwrap();
        let public = key.public().to_pem().unwrap();
        assert_eq!(openssl(&["pkey", "-pubout"], &private), public);
        assert_eq!(
            openssl(&["pkey"], &private),
            private,
            "openssl writes the same PKCS#8"
        );
        assert_eq!(openssl(&["pkey", "-pubin"], &public), public);
    }
}

#[test]
fn keys_of_openssl_are_read() {
    let private = openssl(&["genpkey", "-algorithm", "ed25519"], "");
    let public = openssl(&["pkey", "-pubout"], &private);
    let key = PrivateKey::from_pem(&private).unwrap();
    assert_eq!(PublicKey::from_pem(&public).unwrap(), key.public());
}

#[test]
fn the_key_id_is_what_openssl_computes() {
    let key = PrivateKey::from_seed(&[3; 32]);
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1",
    ]);
    let computed = run(command, &key.public().to_pem().unwrap());
    assert_eq!(computed.trim(), key.public().key_id().to_string());
}

#[test]
fn other_key_types_are_refused() {
    let p256 = openssl(
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ],
        "",
    );
    assert!(PrivateKey::from_pem(&p256).is_err());
    assert!(PublicKey::from_pem(&openssl(&["pkey", "-pubout"], &p256)).is_err());
}
