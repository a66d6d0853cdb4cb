//! Small files in the shapes of the real downloads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::common::{photo, root};

/// Photos of the examples, each with a word for what is on it.
const PHOTOS: [(&str, &str); 6] = [
    ("cat", "cat"),
    ("bear", "bear"),
    ("boat", "boat"),
    ("tram", "train"),
    ("bench", "man"),
    ("airplane", "plane"),
];

/// What all recipes start from, in `folder`.
pub fn lay_out(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    coco(folder);
    flickr30k(folder);
    web_captions(folder);
    nocaps(folder);
    msr_vtt(folder);
    activity_net(folder);
}

/// What the README's commands name, in `folder`.
pub fn lay_out_readme(folder: &Path) {
    write(folder, "captions.txt", &captions(0, 40).join("\n"));
    write(folder, "my-captions.txt", &captions(40, 40).join("\n"));
    write(folder, "my-sentences.txt", &captions(80, 10).join("\n"));
    let corrected = "path,caption\nholiday/boat.jpg,two people in a paddle boat\n";
    write(folder, "corrected.csv", corrected);
    copy(&photo("cat"), folder, "photo.jpg");
    copy(&photo("boat"), folder, "holiday/boat.jpg");
    copy(&photo("bear"), folder, "holiday/woods/bear.jpg");
    for entry in fs::read_dir(root().join("examples/photos")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let place = format!("examples/photos/{name}");
        copy(path.to_str().unwrap(), folder, &place);
    }
    // The checks run this test.
    let check = write(folder, "tools/check.sh", "#!/bin/sh\n");
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(check, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The Python package's folder with the files that METEOR's data is made of.
pub fn lay_out_pycocoevalcap(package: &Path) {
    let meteor = root().join("crates/caption-metrics/tests/data/meteor");
    for name in ["meteor-1.5.jar", "data/paraphrase-en.gz"] {
        let source = meteor.join(name);
        copy(source.to_str().unwrap(), package, &format!("meteor/{name}"));
    }
}

/// Karpathy's JSON, the validation pictures, and a checkpoint of the reference implementation.
/// Its captions are tokenized by the tiny CLIP, whose vocabulary the checkpoint has.
fn coco(folder: &Path) {
    let mut images = Vec::new();
    for (place, (name, word)) in PHOTOS.into_iter().enumerate() {
        let id = 391_895 + place;
        let file = format!("COCO_val2014_{id:012}.jpg");
        copy(&photo(name), folder, &format!("coco/val2014/{file}"));
        images.push(karpathy(place, "test", &file, &captions_of(word, 5)));
        images[place]["filepath"] = json!("val2014");
        images[place]["cocoid"] = json!(id);
    }
    // No file is needed for these.
    let splits = ["train", "train", "restval", "val"].into_iter().cycle();
    for (place, split) in (PHOTOS.len()..30).zip(splits) {
        let year = match split {
            "train" => "train2014",
            _ => "val2014",
        };
        let file = format!("COCO_{year}_{:012}.jpg", 57_870 + place);
        let mut image = karpathy(place, split, &file, &captions(5 * place, 5));
        image["filepath"] = json!(year);
        image["cocoid"] = json!(57_870 + place);
        images.push(image);
    }
    write_json(
        folder,
        "dataset_coco.json",
        &json!({ "images": images, "dataset": "coco" }),
    );
    let checkpoint = root().join("crates/decap-train/tests/data/import/decap.pt");
    copy(checkpoint.to_str().unwrap(), folder, "coco_prefix-009.pt");
}

fn flickr30k(folder: &Path) {
    let (mut images, mut lines) = (Vec::new(), String::new());
    for place in 0..24 {
        let file = format!("{}.jpg", 1_000_092_795 + place);
        let (split, captions) = match PHOTOS.get(place) {
            Some((name, word)) => {
                copy(&photo(name), folder, &format!("flickr30k/images/{file}"));
                ("test", captions_of(word, 5))
            }
            None if place % 6 == 0 => ("val", captions(5 * place + 200, 5)),
            None => ("train", captions(5 * place + 200, 5)),
        };
        for (number, caption) in captions.iter().enumerate() {
            lines += &format!("{file}#{number}\t{caption} .\n");
        }
        images.push(karpathy(place, split, &file, &captions));
    }
    let json = json!({ "images": images, "dataset": "flickr30k" });
    write_json(folder, "dataset_flickr30k.json", &json);
    write(folder, "results_20130124.token", &lines);
}

/// An image as Karpathy's files have it.
fn karpathy(place: usize, split: &str, file: &str, captions: &[String]) -> Value {
    let sentences = captions.iter().enumerate().map(|(number, caption)| {
        let tokens: Vec<&str> = caption.split(' ').collect();
        let id = 5 * place + number;
        json!({ "tokens": tokens, "raw": caption, "imgid": place, "sentid": id })
    });
    let sentences: Vec<Value> = sentences.collect();
    let ids: Vec<usize> = (0..captions.len())
        .map(|number| 5 * place + number)
        .collect();
    json!({
        "sentids": ids, "imgid": place, "sentences": sentences, "split": split, "filename": file,
    })
}

fn web_captions(folder: &Path) {
    let lines = captions(300, 60).into_iter().enumerate();
    let lines: Vec<String> = lines
        .map(|(place, caption)| format!("{caption}\thttps://example.org/{place}.jpg\n"))
        .collect();
    write(folder, "Train_GCC-training.tsv", &lines.concat());
    write_json(folder, "ss1m.json", &json!(captions(350, 60)));
}

/// Two pictures of each domain with ten references; two of the test split without.
fn nocaps(folder: &Path) {
    let image = |id: usize, file: &str| {
        json!({
            "id": id, "open_images_id": file.trim_end_matches(".jpg"), "height": 1024, "width": 732,
            "coco_url": format!("https://s3.amazonaws.com/nocaps/val/{file}"), "file_name": file,
            "license": 0, "date_captured": "2018-11-06 11:04:33",
        })
    };
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for (id, (name, word)) in PHOTOS.into_iter().enumerate() {
        let file = format!("{:016x}.jpg", 0x0013_ea20_8702_0901_u64 + id as u64);
        copy(&photo(name), folder, &format!("nocaps/images/{file}"));
        images.push(image(id, &file));
        images[id]["domain"] = json!(["in-domain", "near-domain", "out-domain"][id / 2]);
        for caption in captions_of(word, 10) {
            let number = annotations.len();
            annotations.push(json!({ "image_id": id, "id": number, "caption": caption }));
        }
    }
    let info = json!({ "year": "2018", "url": "http://nocaps.org", "version": "1.0" });
    let validation = json!({
        "licenses": [], "info": info, "images": images, "annotations": annotations,
    });
    write_json(folder, "nocaps_val_4500_captions.json", &validation);
    let mut images = Vec::new();
    for (id, name) in ["laptop", "taxis"].into_iter().enumerate() {
        let file = format!("{:016x}.jpg", 0x0000_dec0_de00_0901_u64 + id as u64);
        copy(&photo(name), folder, &format!("nocaps/test/{file}"));
        images.push(image(4_500 + id, &file));
    }
    let test = json!({ "licenses": [], "info": info, "images": images });
    write_json(folder, "nocaps_test_image_info.json", &test);
}

fn msr_vtt(folder: &Path) {
    let video = |number: usize, split: &str| {
        json!({
            "category": 9, "url": "https://www.youtube.com/watch?v=9lZi22qLlEo",
            "video_id": format!("video{number}"), "start time": 137.72, "end time": 149.44,
            "split": split, "id": number,
        })
    };
    let file = |videos: Vec<Value>, from: usize| {
        let sentences = videos.iter().enumerate().flat_map(|(place, video)| {
            captions(from + 20 * place, 20).into_iter().map(move |caption| {
                json!({ "caption": caption, "video_id": video["video_id"], "sen_id": place })
            })
        });
        let sentences: Vec<Value> = sentences.collect();
        json!({ "info": { "year": "2016" }, "videos": videos, "sentences": sentences })
    };
    let train = [
        (0, "train"),
        (1, "train"),
        (2, "train"),
        (6_513, "validate"),
    ];
    let train = train.map(|(number, split)| video(number, split)).to_vec();
    write_json(folder, "train_val_videodatainfo.json", &file(train, 0));
    let test = [7_010, 7_011, 7_012]
        .map(|number| video(number, "test"))
        .to_vec();
    write_json(folder, "test_videodatainfo.json", &file(test, 20));
    for number in [7_010, 7_011, 7_012] {
        clip(
            folder,
            &format!("msrvtt/videos/video{number}.mp4"),
            number,
            2,
        );
    }
}

fn activity_net(folder: &Path) {
    let file = |videos: &[(&str, usize)]| {
        let videos = videos.iter().map(|&(video, from)| {
            let facts = json!({
                "duration": 5.0,
                "timestamps": [[0.28, 2.1], [1.5, 4.0]],
                "sentences": [captions(from, 1)[0], format!(" {}", captions(from + 7, 1)[0])],
            });
            (video.to_owned(), facts)
        });
        Value::Object(videos.collect())
    };
    let names: Vec<String> = (0..12).map(|place| format!("v_train{place:06}")).collect();
    let train: Vec<(&str, usize)> = names.iter().map(String::as_str).zip(100..).collect();
    write_json(folder, "train.json", &file(&train));
    let validation = [("v_uqiMw7tQ1Cc", 130), ("v_bXdq2zI1Ms0", 150)];
    write_json(folder, "val_1.json", &file(&validation));
    for (video, seed) in validation {
        clip(folder, &format!("activitynet/videos/{video}.mp4"), seed, 5);
    }
}

/// A clip of ffmpeg's test picture; `seed` tints it.
fn clip(folder: &Path, name: &str, seed: usize, seconds: usize) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let source = format!("testsrc=size=96x72:rate=10:duration={seconds}");
    let tint = format!("hue=h={}", seed * 77 % 360);
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &source])
        // Segments begin at key frames.
        .args(["-vf", &tint, "-g", "5", "-pix_fmt", "yuv420p"])
        .arg(path)
        .status();
    assert!(made.unwrap().success(), "{name}");
}

/// `count` captions of a photo with `word` on it.
fn captions_of(word: &str, count: usize) -> Vec<String> {
    let frames = ["a", "one", "the", "a small", "a photo of a"]
        .into_iter()
        .cycle();
    let ends = ["outside", "in the day", "on its own", "near a house"]
        .into_iter()
        .cycle();
    frames
        .zip(ends)
        .take(count)
        .map(|(frame, end)| format!("{frame} {word} {end}"))
        .collect()
}

/// `count` captions from the one at `from` on, all different.
fn captions(from: usize, count: usize) -> Vec<String> {
    const SUBJECTS: [&str; 8] = ["man", "dog", "cat", "boy", "bear", "girl", "bird", "woman"];
    const VERBS: [&str; 9] = [
        "sits", "runs", "stands", "sleeps", "waits", "plays", "jumps", "eats", "rests",
    ];
    const PLACES: [&str; 7] = [
        "on a road",
        "in the snow",
        "by a lake",
        "at a table",
        "on a bench",
        "near a train",
        "in a park",
    ];
    // The lengths have no common divisor: 504 captions before the first comes again.
    (from..from + count)
        .map(|i| format!("a {} {} {}", SUBJECTS[i % 8], VERBS[i % 9], PLACES[i % 7]))
        .collect()
}

fn copy(source: &str, folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // What a file is called says nothing about its form: these are WebP.
    fs::copy(source, path).unwrap();
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn write_json(folder: &Path, name: &str, value: &Value) {
    write(folder, name, &value.to_string());
}
