//! Every command of `recipes/*.md` and of README.md runs, over small files laid out as the real
//! downloads, from the download to the row of the paper's table.
//!
//! The blocks marked `sh` run as they stand, each by `bash`, in the pages' order. What is not real:
//!
//! - The data sets have a few photos and captions of each kind; the encoder is a CLIP of random
//!   weights, 32 wide, that a server of this test has under CLIP's id.
//! - `decap` is the program behind a script. The script gives `--preset paper` fewer steps and a
//!   narrower decoder, and puts numbers of memory sentences that the small data have into
//!   `--sweep memory=`. It also keeps a list of the commands.
//! - `pip`, `python`, `cargo` and `tools/check.sh` are scripts that stand for an installed package,
//!   the build, and the checks that run this test.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "tests may unwrap, their helper functions too"
)]

#[path = "../common/mod.rs"]
mod common;
mod fixtures;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use common::hub_server::{Server, VARIABLES, clip};
use common::{json, markdown, root, skipped, text};

/// The encoder that the pages name.
const ENCODER: &str = "openai/clip-vit-base-patch32";
/// In the order of their needs: later pages use models of earlier ones.
const RECIPES: [&str; 7] = [
    "README",
    "coco",
    "flickr30k",
    "cc3m",
    "nocaps",
    "msrvtt",
    "activitynet",
];
/// The metrics of the paper's tables.
const METRICS: [&str; 6] = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"];
/// A block is over in seconds; one that waits for something is not.
const LIMIT: Duration = Duration::from_secs(180);

#[test]
fn recipes_lead_from_downloads_to_the_rows_of_the_tables() {
    let Some(studio) = Studio::open() else {
        return;
    };
    let data = studio.folder.path().join("data");
    fixtures::lay_out(&data);
    let pages = fs::read_dir(root().join("recipes")).unwrap();
    assert_eq!(pages.count(), RECIPES.len(), "a recipe is missing above");
    for name in RECIPES {
        let page = root().join(format!("recipes/{name}.md"));
        let page = fs::read_to_string(page).unwrap();
        let blocks = markdown::blocks(&page, "sh");
        let typed: usize = blocks.iter().map(|block| commands(block)).sum();
        let before = studio.commands().len();
        for block in &blocks {
            studio.run(block, &data);
        }
        // Loops run a command more than once.
        let run = studio.commands().len() - before;
        assert!(run >= typed && typed > 0, "{name}.md: {run} of {typed}");
    }

    let evaluations: Vec<_> = studio
        .commands()
        .into_iter()
        .filter(|command| command.starts_with("eval "))
        .collect();
    assert!(evaluations.len() >= 35, "{evaluations:#?}");
    for command in &evaluations {
        check_report(&data, command);
    }
    let no_hand = fs::read_to_string(data.join("nocaps_test_results.json")).unwrap();
    let results = json(&no_hand);
    assert_eq!(results.as_array().unwrap().len(), 2, "{results}");
    assert!(results[0]["image_id"].is_u64() && results[0]["caption"].is_string());
}

/// The last step of a recipe leaves the row of the table and all that it was computed from.
fn check_report(folder: &Path, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let place = words.iter().position(|word| *word == "--report");
    let report = folder.join(words[place.expect("a report") + 1]);
    let read = |name: &str| {
        let read = fs::read_to_string(report.join(name));
        read.unwrap_or_else(|error| panic!("{command}: {name}: {error}"))
    };
    let scores = json(&read("scores.json"));
    let systems = scores["systems"].as_array().unwrap();
    let methods = if command.contains("--methods all") {
        5
    } else {
        1
    };
    assert_eq!(systems.len(), methods, "{command}");
    for system in systems {
        let meteor = command.contains("--meteor").then_some("METEOR");
        for metric in METRICS.into_iter().chain(meteor) {
            let value = system["scores"][metric].as_f64();
            assert!(
                value.is_some_and(|value| value.is_finite() && value >= 0.0),
                "{command}: {metric}: {}",
                system["scores"]
            );
        }
    }
    let predictions = json(&read("predictions.json"));
    let predictions = predictions.as_array().unwrap();
    let images = scores["dataset"]["images"].as_u64().unwrap() as usize;
    assert!(images >= 2 && predictions.len() == images, "{command}");
    assert_eq!(scores["dataset"]["failed"].as_array().unwrap().len(), 0);
    assert!(predictions.iter().all(|one| one["caption"].is_string()));
    if command.contains("--sweep") {
        let points = scores["sweeps"][0]["points"].as_array().unwrap();
        assert!(points.len() >= 2, "{command}");
        for point in points {
            assert!(point["scores"]["CIDEr"].is_f64(), "{command}: {point}");
        }
    }
    assert!(read("report.html").contains("</html>"), "{command}");
}

#[test]
fn the_commands_of_the_readme_run() {
    let Some(studio) = Studio::open() else {
        return;
    };
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = markdown::blocks(&page, "sh");
    let typed: usize = blocks.iter().map(|block| commands(block)).sum();
    for (place, block) in blocks.iter().enumerate() {
        // Blocks are of different readers, who each start with nothing.
        let folder = studio.folder.path().join(place.to_string());
        fixtures::lay_out_readme(&folder);
        let printed = studio.run(block, &folder);
        if block.contains("caption examples/photos") {
            assert_eq!(printed.matches("examples/photos/").count(), 9, "{printed}");
        }
    }
    // One more: `cargo run -- caption`.
    assert_eq!(studio.commands().len(), typed + 1);
    assert!(typed >= 4, "{typed}");
}

/// How many commands of a block are `decap`'s.
fn commands(block: &str) -> usize {
    let lines = block.lines().map(str::trim);
    lines.filter(|line| line.starts_with("decap ")).count()
}

/// Where commands run: the program, what they call beside it, and the Hub.
struct Studio {
    folder: tempfile::TempDir,
    hub: Server,
}

impl Studio {
    /// `None`, and a test that counts as skipped, where a program is missing.
    #[track_caller]
    fn open() -> Option<Self> {
        for program in ["bash", "jq", "ffmpeg", "ffprobe", "shuf"] {
            // Any answer will do: it is there.
            let answer = Command::new(program)
                .arg("-version")
                .stdin(Stdio::null())
                .output();
            if answer.is_err() {
                skipped::skip(program);
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let package = folder.path().join("packages/pycocoevalcap");
        fixtures::lay_out_pycocoevalcap(&package);
        let list = folder.path().join("commands");
        let decap = format!(
            r#"#!/usr/bin/env bash
printf '%s\n' "$*" >> '{list}'
case "$1 $* " in
    "train "*" --preset paper "*)
        exec '{program}' "$@" --max-steps 2 --width 64 --layers 2 --heads 2 ;;
    "train "*)
        exec '{program}' "$@" --max-steps 5 ;;
    "make "*)
        exec '{program}' "$@" --max-steps 5 --captions my-captions.txt ;;
esac
exec '{program}' "${{@/#memory=1000,10000,100000/memory=4,8,16}}"
"#,
            list = list.display(),
            program = env!("CARGO_BIN_EXE_decap"),
        );
        let python = format!(
            "#!/bin/sh\ncase \"$2\" in *pycocoevalcap*) echo '{}';; *) exit 1;; esac\n",
            package.display()
        );
        // `cargo run --release -- ARGUMENTS`
        let cargo = "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 1\nshift 3\nexec decap \"$@\"\n";
        let scripts = [
            ("decap", decap.as_str()),
            ("python", &python),
            ("pip", "#!/bin/sh\n[ \"$1\" = install ]\n"),
            ("cargo", cargo),
        ];
        for (name, script) in scripts {
            let path = programs.join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(list, "").unwrap();
        let hub = Server::start(ENCODER, clip());
        Some(Self { folder, hub })
    }

    /// The commands of `decap` so far, without the program's name.
    fn commands(&self) -> Vec<String> {
        let list = fs::read_to_string(self.folder.path().join("commands")).unwrap();
        list.lines().map(str::to_owned).collect()
    }

    /// Runs a block in `folder`; what it printed. The first command that fails ends it.
    fn run(&self, block: &str, folder: &Path) -> String {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = [self.folder.path().join("programs")].into_iter();
        let path = std::env::join_paths(programs.chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new("bash");
        command
            .arg("-c")
            .arg(format!("exec 2>&1\nset -euo pipefail\n{block}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        for name in VARIABLES {
            command.env_remove(name);
        }
        let cache: PathBuf = self.folder.path().join("cache");
        command
            .env("PATH", path)
            .env("HF_ENDPOINT", format!("http://{}", self.hub.address))
            .env("HF_HUB_CACHE", cache.join("hub"))
            .env("XDG_CACHE_HOME", text(&cache))
            .env("NO_COLOR", "1")
            .env_remove("DECAP_METEOR");
        let mut child = command.spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut printed = Vec::new();
            let read = output.read_to_end(&mut printed);
            // Nobody listens any more after the limit.
            drop(sender.send(read.map(|_| printed)));
        });
        let printed = receiver.recv_timeout(LIMIT).unwrap_or_else(|_| {
            child.kill().unwrap();
            panic!("after {LIMIT:?} this had not ended:\n{block}");
        });
        let printed = String::from_utf8(printed.unwrap()).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}:\n{block}\n{printed}");
        printed
    }
}
