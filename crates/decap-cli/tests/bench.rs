//! `decap bench` and the choice of kernels and precision, as people run them.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

use std::process::{Command, Output};

use serde_json::Value;

fn decap(args: &[&str], kernels: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
    command.args(args).env_remove("DECAP_KERNELS");
    if let Some(kernels) = kernels {
        command.env("DECAP_KERNELS", kernels);
    }
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_work_is_one_object_with_the_keys_of_the_contract() {
    let args = [
        "bench",
        "--json",
        "--work",
        "project_2k_q3",
        "--seconds",
        "0.01",
    ];
    let output = decap(&args, Some("scalar"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["work"], "project_2k_q3");
    assert_eq!(record["kernels"], "scalar");
    assert_eq!(record["precision"], "auto");
    assert!(record["runs"].as_u64().unwrap() >= 5);
    assert!(record["threads"].as_u64().unwrap() >= 1);
    let (median, least) = (&record["ms_median"], &record["ms_min"]);
    assert!(median.as_f64().unwrap() >= least.as_f64().unwrap());
    assert_eq!(record.as_object().unwrap().len(), 7);
}

#[test]
fn the_list_names_the_works_of_the_contract() {
    let output = decap(&["bench", "--list"], None);
    let text = String::from_utf8(output.stdout).unwrap();
    for name in [
        "image_tower_b1",
        "image_tower_b16",
        "text_tower_64x77",
        "text_tower_64x16",
        "decode_15",
        "train_step_64x20",
        "project_500k_q1",
        "project_500k_q32",
        "photo_to_caption",
    ] {
        assert!(text.lines().any(|line| line == name), "{name}");
    }
}

#[test]
fn wrong_names_are_wrong_usage() {
    for args in [
        &["bench", "--work", "image_tower"][..],
        &["bench", "--seconds", "0"],
        &["bench", "--precision", "f64"],
        &["caption", "photo.jpg", "--precision", "fast"],
    ] {
        assert_eq!(decap(args, None).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn kernels_that_are_not_there_are_refused_before_any_work() {
    let output = decap(&["bench", "--list"], Some("sse9"));
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(
        message.contains("DECAP_KERNELS: expected one of"),
        "{message}"
    );
    assert!(message.contains("got \"sse9\""), "{message}");

    // One of them is of another architecture wherever this runs.
    let foreign = if cfg!(target_arch = "x86_64") {
        "neon"
    } else {
        "avx2"
    };
    let output = decap(&["bench", "--list"], Some(foreign));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("on this machine"),
        "{}",
        stderr(&output)
    );
}
