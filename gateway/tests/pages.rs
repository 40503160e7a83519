//! What the pages tell people to write is what the program takes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// The YAML blocks of a page that begin at the margin.
fn blocks(page: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)).unwrap();
    text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The first key of a block.
fn first_key(block: &str) -> &str {
    let line = block.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    line.split(':').next().unwrap_or_default()
}

/// A certificate and its key: `any.pem`, `any.key` and `any.p12`.
fn certificate() -> TempDir {
    let folder = TempDir::new().unwrap();
    for arguments in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=any -keyout any.key -out any.pem",
        "pkcs12 -export -inkey any.key -in any.pem -passout pass:secret -out any.p12",
    ] {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    folder
}

#[track_caller]
fn assert_clean(certificate: &Path, page: &str, block: &str, files: &[(&str, &str)], checked: &str) {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("apis")).unwrap();
    fs::create_dir(folder.path().join("tls")).unwrap();
    // Whatever certificates it names are there.
    for word in block.split([' ', '\n', ',']).filter(|word| word.starts_with("tls/")) {
        let (_, kind) = word.rsplit_once('.').unwrap();
        fs::copy(certificate.join(format!("any.{kind}")), folder.path().join(word)).unwrap();
    }
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    let output = command
        .args(["check", "--strict", checked])
        .current_dir(folder.path())
        .env("OTHER_P12_PASSWORD", "secret")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page} shows what is not right:\n{said}\n{block}");
}

#[test]
fn the_yaml_of_the_pages_is_taken_without_a_warning() {
    let pages = [
        "README.md",
        "docs/guide/first-api.md",
        "docs/guide/configuration.md",
        "docs/guide/tls.md",
        "docs/guide/load-balancing-and-failover.md",
    ];
    let base =
        blocks("docs/guide/first-api.md").into_iter().find(|block| first_key(block) == "definitionVersion").unwrap();
    let (before, after) = base.split_once("endpointGroups:").unwrap();
    let (_, plans) = after.split_once("plans:").unwrap();
    let without_groups = format!("{before}plans:{plans}");
    let certificate = certificate();
    let assert_clean = |page: &str, block: &str, files: &[(&str, &str)], checked: &str| {
        assert_clean(certificate.path(), page, block, files, checked);
    };
    let mut checked = 0;
    for page in pages {
        for block in blocks(page) {
            checked += 1;
            match first_key(&block) {
                "definitionVersion" => assert_clean(page, &block, &[("orders.yaml", &block)], "orders.yaml"),
                "flows" | "failover" => {
                    assert_clean(page, &block, &[("a.yaml", &format!("{base}{block}"))], "a.yaml");
                }
                "endpointGroups" => {
                    assert_clean(page, &block, &[("a.yaml", &format!("{without_groups}{block}"))], "a.yaml");
                }
                "servers" | "shards" => {
                    assert_clean(page, &block, &[("ringway.yaml", &block), ("orders.yaml", &base)], "ringway.yaml");
                }
                _ => checked -= 1,
            }
        }
    }
    assert!(checked >= 9, "only {checked} blocks were checked");
}
