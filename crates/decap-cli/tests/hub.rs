//! Encoders by their Hub id: the variables of the environment, a proxy, and what is said when it fails.

#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::hub_server::{COMMIT, Server, VARIABLES, clip};

const REPOSITORY: &str = "openai/tiny-clip";

/// The program without any variable of this machine that the Hub's client looks at.
fn decap(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decap"));
    command.args(args).stdin(Stdio::null());
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("HF_HOME", home);
    command
}

fn run(command: &mut Command) -> (Output, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn an_encoder_is_pulled_once_and_used_offline() {
    let server = Server::start(REPOSITORY, clip());
    let endpoint = format!("http://{}/", server.address);
    let home = tempfile::tempdir().unwrap();
    let (output, stdout, stderr) = run(decap(home.path(), &["model", "pull", REPOSITORY])
        .env("HF_ENDPOINT", &endpoint)
        .env("HF_TOKEN", "hf_secret"));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let snapshot = home
        .path()
        .join("hub/models--openai--tiny-clip/snapshots")
        .join(COMMIT);
    assert_eq!(stdout.trim(), snapshot.to_str().unwrap());
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|line| line.contains("Bearer hf_secret")),
        "{requests:?}"
    );
    assert!(snapshot.join("model.safetensors").is_file());
    assert!(!snapshot.join("expected.safetensors").exists());

    let texts = home.path().join("texts.txt");
    fs::write(&texts, "ab\ncd\n").unwrap();
    let embeddings = home.path().join("texts.npy");
    let embed = [
        "embed",
        "--text",
        texts.to_str().unwrap(),
        "--encoder",
        REPOSITORY,
        "--output",
        embeddings.to_str().unwrap(),
    ];
    let (output, _, stderr) = run(decap(home.path(), &embed)
        .env("HF_ENDPOINT", &endpoint)
        .env("HF_HUB_OFFLINE", "1"));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(server.requests().is_empty(), "offline is offline");
    assert!(fs::metadata(&embeddings).unwrap().len() > 2 * 24 * 4);

    // A person sees the repository's name, not the commit's.
    let info = ["model", "info", REPOSITORY];
    let (_, stdout, stderr) = run(decap(home.path(), &info).env("HF_HUB_OFFLINE", "1"));
    assert!(stdout.contains(REPOSITORY), "{stdout}{stderr}");
}

#[test]
fn the_token_may_lie_where_other_clients_keep_it() {
    let server = Server::start(REPOSITORY, clip());
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("token"), "hf_from_file\n").unwrap();
    let (output, _, stderr) = run(decap(home.path(), &["model", "pull", REPOSITORY])
        .env("HF_ENDPOINT", format!("http://{}", server.address)));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|line| line.contains("Bearer hf_from_file")),
        "{requests:?}"
    );
}

#[test]
fn a_proxy_is_followed() {
    let proxy = Server::start(REPOSITORY, clip());
    let home = tempfile::tempdir().unwrap();
    // No such host: only the proxy can answer.
    let (output, _, stderr) = run(decap(home.path(), &["model", "pull", REPOSITORY])
        .env("HF_ENDPOINT", "http://hub.invalid")
        .env("HTTP_PROXY", format!("http://{}", proxy.address))
        .env("ALL_PROXY", format!("http://{}", proxy.address)));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let requests = proxy.requests();
    assert!(
        requests.iter().any(|line| line.contains("hub.invalid")),
        "{requests:?}"
    );
}

#[test]
fn wrong_ids_and_no_network_are_said_clearly() {
    let server = Server::start(REPOSITORY, clip());
    let endpoint = format!("http://{}", server.address);
    let nobody = "http://127.0.0.1:9".to_owned();
    let cases = [
        (
            vec!["model", "pull", "openai/no-such"],
            &endpoint,
            1,
            "`openai/no-such` (revision main) does not exist",
        ),
        (
            vec!["model", "pull", "openai/private"],
            &endpoint,
            1,
            "it is private, gated or does not exist, and HF_TOKEN is not set",
        ),
        (
            vec!["model", "pull", "clip-vit-base-patch32"],
            &endpoint,
            2,
            "expected an id of the Hugging Face Hub: OWNER/NAME",
        ),
        (
            vec!["model", "info", "models/typo"],
            &endpoint,
            1,
            "there is no folder or file `models/typo`",
        ),
        (
            vec!["model", "info", "typo"],
            &endpoint,
            2,
            "typo: expected a folder, a file, `tiny`, or an id of the Hugging Face Hub",
        ),
        (
            vec!["model", "pull", REPOSITORY],
            &nobody,
            1,
            "http://127.0.0.1:9 cannot be reached",
        ),
    ];
    for (args, endpoint, code, message) in cases {
        let home = tempfile::tempdir().unwrap();
        let (output, stdout, stderr) = run(decap(home.path(), &args).env("HF_ENDPOINT", endpoint));
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stdout.is_empty(), "{args:?}: {stdout}");
    }
    let home = tempfile::tempdir().unwrap();
    let pull = ["model", "pull", REPOSITORY];
    let (output, _, stderr) = run(decap(home.path(), &pull).env("HF_HUB_OFFLINE", "1"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("is not in the cache") && stderr.contains("HF_HUB_OFFLINE forbids"),
        "{stderr}"
    );
}

/// Whoever changes the model packs it anew, and writes down in `src/bundled` what came out.
#[cfg(unix)]
#[test]
fn the_bundled_model_comes_once_from_the_release_and_is_the_repositorys() {
    let tar = Command::new("tar").arg("--version").output();
    if !tar.is_ok_and(|tar| String::from_utf8_lossy(&tar.stdout).contains("GNU tar")) {
        common::skipped::skip("GNU tar");
        return;
    }
    let release = tempfile::tempdir().unwrap();
    let packed = Command::new(common::root().join("tools/pack-model.sh"))
        .arg(common::root().join("models/tiny"))
        .arg(release.path())
        .output()
        .unwrap();
    assert!(packed.status.success(), "{packed:?}");
    let server = Server::start("decap/decap", release.path().to_owned());
    let address = format!("http://{}/decap/decap/resolve/{COMMIT}", server.address);
    let home = tempfile::tempdir().unwrap();
    let pull = || {
        run(decap(home.path(), &["model", "pull", "tiny"])
            .env("XDG_CACHE_HOME", home.path())
            .env("HF_TOKEN", "hf_secret")
            .env("DECAP_RELEASE", &address))
    };
    let (output, stdout, stderr) = pull();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("fetching 40 MB once"), "{stderr}");
    let requests = server.requests();
    assert!(
        !requests.iter().any(|line| line.contains("hf_secret")),
        "the Hub's token is not for others: {requests:?}"
    );
    let folder = Path::new(stdout.trim());
    for file in ["model.json", "captions.txt", "encoder/image_tower.onnx"] {
        let ours = fs::read(common::root().join("models/tiny").join(file)).unwrap();
        assert!(fs::read(folder.join(file)).unwrap() == ours, "{file}");
    }
    let (_, again, stderr) = pull();
    assert_eq!((again, stderr), (stdout, String::new()));
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn a_release_that_cannot_be_reached_is_named() {
    let home = tempfile::tempdir().unwrap();
    let (output, _, stderr) = run(decap(home.path(), &["model", "pull", "tiny"])
        .env("XDG_CACHE_HOME", home.path())
        .env("DECAP_RELEASE", "http://127.0.0.1:1/nothing"));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("http://127.0.0.1:1/nothing/tiny.tar"),
        "{stderr}"
    );
}

#[test]
fn a_captioner_is_made_in_one_command_and_found_by_its_name() {
    let id = "openai/clip-vit-base-patch32";
    let server = Server::start(id, clip());
    let endpoint = format!("http://{}/", server.address);
    let home = tempfile::tempdir().unwrap();
    let command = |args: &[&str]| {
        let mut command = decap(home.path(), args);
        command
            .env("HF_ENDPOINT", &endpoint)
            .env("XDG_CACHE_HOME", home.path().join("cache"));
        command
    };
    let photo = common::photo("cat");
    let caption = ["caption", &photo, "--model", "clip-b32"];

    let (output, _, stderr) = run(&mut command(&caption));
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("`decap make clip-b32` makes it"),
        "{stderr}"
    );
    let (_, _, stderr) = run(&mut command(&["caption", &photo, "--model", id]));
    assert!(stderr.contains("`decap make clip-b32`"), "{stderr}");

    let captions = home.path().join("captions.txt");
    let sentences = (0..40).map(|number| format!("a dog runs after ball {number}\n"));
    fs::write(&captions, sentences.collect::<String>()).unwrap();
    let make = [
        "make",
        "clip-b32",
        "--captions",
        captions.to_str().unwrap(),
        "--max-steps",
        "2",
    ];
    let (output, _, stderr) = run(&mut command(&make));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("(MIT), 605 MB to download"), "{stderr}");
    assert!(stderr.contains("text: 40 captions"), "{stderr}");

    let (output, stdout, stderr) = run(&mut command(&caption));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.contains("cat.webp"), "{stdout}");
    let (_, _, again) = run(&mut command(&make));
    assert!(again.contains("clip-b32 is made already"), "{again}");
    let (_, listed, _) = run(&mut command(&["make", "--list"]));
    let states: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split("  ").last())
        .collect();
    assert_eq!(listed.lines().count(), 3);
    assert!(
        states[0].trim() == "made" && states[1].trim() == "not made",
        "{listed}"
    );

    let (output, _, stderr) = run(&mut command(&["make", "blip"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("expected one of clip-b32"), "{stderr}");
}

/// Killed at any moment, without network and on a full disk, `make` leaves nothing that passes for a model, says
/// what is wrong, and the same command goes on to the model that an undisturbed run makes.
#[cfg(unix)]
#[test]
fn a_make_that_is_cut_goes_on_to_the_same_model() {
    let server = Server::start("openai/clip-vit-base-patch32", clip());
    let endpoint = format!("http://{}/", server.address);
    let folder = tempfile::tempdir().unwrap();
    let captions = folder.path().join("captions.txt");
    let sentences = (0..40).map(|number| format!("a dog runs after ball {number}\n"));
    fs::write(&captions, sentences.collect::<String>()).unwrap();
    let captions = captions.to_str().unwrap();
    let make = [
        "make",
        "clip-b32",
        "--captions",
        captions,
        "--max-steps",
        "30",
    ];
    let at_home = |command: &mut Command, home: &Path, endpoint: &str| {
        command
            .env("HF_HOME", home)
            .env("HF_ENDPOINT", endpoint)
            .env("XDG_CACHE_HOME", home.join("cache"));
    };
    let photo = common::photo("cat");
    let caption = |home: &Path| {
        let mut command = decap(home, &["caption", &photo, "--model", "clip-b32"]);
        at_home(&mut command, home, &endpoint);
        run(&mut command)
    };
    let whole = folder.path().join("whole");
    let mut command = decap(&whole, &make);
    at_home(&mut command, &whole, &endpoint);
    let began = std::time::Instant::now();
    let (output, _, stderr) = run(&mut command);
    let took = began.elapsed();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let (_, expected, _) = caption(&whole);

    let cut = folder.path().join("cut");
    let mut command = decap(&cut, &make);
    at_home(&mut command, &cut, "http://127.0.0.1:1/");
    let (output, _, stderr) = run(&mut command);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("127.0.0.1:1"), "{stderr}");

    // Writes of more than a block fail, as on a full disk.
    let mut command = Command::new("sh");
    let line = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    command.args(["-c", line, "sh", env!("CARGO_BIN_EXE_decap")]);
    command.args(make);
    at_home(&mut command, &cut, &endpoint);
    let (output, _, stderr) = run(&mut command);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(cut.to_str().unwrap()), "{stderr}");
    let (output, _, _) = caption(&cut);
    assert_ne!(output.status.code(), Some(0));

    // Each time a little later, until it is done.
    for stage in 1..=12 {
        let mut command = decap(&cut, &make);
        at_home(&mut command, &cut, &endpoint);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(took * stage / 8);
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (output, _, stderr) = caption(&cut);
        let is_made = output.status.code() == Some(0);
        assert!(is_made || stderr.contains("decap"), "{stderr}");
    }
    let mut command = decap(&cut, &make);
    at_home(&mut command, &cut, &endpoint);
    let (output, _, stderr) = run(&mut command);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let (_, got, _) = caption(&cut);
    assert_eq!(got, expected);
}
