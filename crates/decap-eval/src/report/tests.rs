//! Tests of the page as a whole.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use caption_metrics::{Bootstrap, Interval, Options, Predictions, diversity, intervals, score};
use decap::memory::Evidence;
use decap::{Caption, CaptionOptions, ChosenFrom, Embeddings, Method};
use serde_json::Value;

use super::metric::{CIDER, METRICS};
use super::{Report, ReportModel, histogram, interval_chart};
use crate::{Benchmark, Curve, CurvePoint, EncodedPhotos, EvalItem, EvalSet, PhotoFailure};
use crate::{SweepOver, System};

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";

/// Captions of three photos by two methods: the first is right about the first two, the second
/// about the third.
const CAPTIONS: [(Method, [&str; 3]); 2] = [
    (
        Method::Projection,
        [
            "a dog runs on the grass",
            "a cat sleeps on a bed",
            "a photo of food",
        ],
    ),
    (
        Method::Retrieval,
        [
            "two men ride bicycles",
            "a cat sits",
            "a red bus on a street",
        ],
    ),
];
const REFERENCES: [&str; 3] = [
    "a dog runs on the grass",
    "a cat sleeps on a bed",
    "a red bus on a street",
];

/// What a report is made of, to be changed by each test.
struct Parts {
    set: EvalSet,
    photos: EncodedPhotos,
    model: ReportModel,
    systems: Vec<System>,
    curves: Vec<Curve>,
    benchmark: Option<Benchmark>,
}

impl Parts {
    fn new() -> Self {
        Self::of(|text| text.to_owned())
    }

    /// Every text goes through `change` first.
    fn of(change: impl Fn(&str) -> String) -> Self {
        let item = |(place, reference): (usize, &&str)| EvalItem {
            id: change(&format!("photo-{place}")),
            path: format!("/secret/ann/{place}.jpg").into(),
            references: vec![change(reference)],
        };
        let items: Vec<_> = REFERENCES.iter().enumerate().map(item).collect();
        let set = EvalSet::new(change("three photos"), items).unwrap();
        let photos = EncodedPhotos {
            items: vec![0, 1, 2],
            embeddings: Embeddings::new(vec![1.0; 3], 1).unwrap(),
            thumbnails: vec![vec![0xff, 0xd8, 0xff]; 3],
            failures: Vec::new(),
        };
        let systems = CAPTIONS.iter().map(|(method, captions)| {
            system(
                &set,
                *method,
                captions.map(&change),
                change("a memory sentence"),
            )
        });
        let systems: Vec<System> = systems.collect();
        let mut curve = Curve::new(SweepOver::Tau);
        for x in [0.01, 0.02] {
            curve.points.push(CurvePoint {
                x,
                model: change(&format!("model {x}")),
                method: Method::Projection,
                scores: systems[0].intervals.clone(),
            });
        }
        Self {
            model: ReportModel {
                name: change("tiny"),
                encoder: change("clip"),
                training_sentences: 1,
                training_text: change("/secret/ann/train.txt"),
                memory_sentences: 2,
                memory_text: change("/secret/ann/memory.txt"),
                tau: 0.01,
            },
            set,
            photos,
            systems,
            curves: vec![curve],
            benchmark: None,
        }
    }

    fn report(&self) -> Report<'_> {
        Report {
            set: &self.set,
            photos: &self.photos,
            model: self.model.clone(),
            systems: &self.systems,
            curves: &self.curves,
            benchmark: self.benchmark,
            bootstrap: bootstrap(),
            command: "decap eval '<photos>.jsonl' --report r".to_owned(),
            program: "decap 1.2.3".to_owned(),
            made_at: UNIX_EPOCH + Duration::from_secs(951_827_696),
        }
    }

    /// The page in `folder`.
    fn page_in(&self, folder: &Path) -> String {
        self.report().write(folder).unwrap();
        std::fs::read_to_string(folder.join("report.html")).unwrap()
    }

    fn page(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        self.page_in(folder.path())
    }
}

fn bootstrap() -> Bootstrap {
    let mut options = Bootstrap::default();
    options.num_samples = 20;
    options
}

fn system(set: &EvalSet, method: Method, captions: [String; 3], sentence: String) -> System {
    let ids = set.items.iter().map(|item| item.id.clone());
    let predictions = Predictions::new(ids.zip(captions.clone())).unwrap();
    let references = set.references_of(0..set.items.len()).unwrap();
    let scores = score(&references, &predictions, &Options::default()).unwrap();
    let mut options = CaptionOptions::default();
    options.method = method;
    let captions = captions.map(|text| Caption {
        confidence: None,
        text,
        score: 0.0,
        candidates: Vec::new(),
        chosen_from: ChosenFrom::Written,
        evidence: vec![Evidence {
            text: sentence.clone(),
            weight: 0.5,
        }],
    });
    System {
        options,
        captions: captions.to_vec(),
        intervals: intervals(&scores, &bootstrap()),
        diversity: diversity(&predictions, None),
        scores,
        clip_scores: None,
    }
}

/// What the script of `page` reads.
fn data(page: &str) -> Value {
    let (_, json) = page.split_once("id=\"data\">").unwrap();
    let (json, _) = json.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

/// `page` without the script and its data.
fn visible(page: &str) -> &str {
    page.split_once("<script").unwrap().0
}

#[test]
fn the_pictures_come_first_and_every_section_is_there() {
    let page = Parts::new().page();
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
    let order = [
        "<h1>tiny on three photos</h1>",
        "3 photos · decap 1.2.3 · <time datetime=\"2000-02-29T12:34Z\">29 February 2000</time>",
        "CIDEr, with 95 % intervals",
        "<svg class=\"chart\"",
        "Photos by their CIDEr",
        "<nav>",
        "<h2 id=\"scores\">",
        "There are no published results for exactly these photos.",
        "<h2 id=\"methods\">",
        "projection − retrieval",
        "<h2 id=\"curves\">",
        "<h2 id=\"diversity\">",
        "<h2 id=\"run\">",
        "1 sentence from train.txt",
        "<span>&#39;&lt;photos&gt;.jsonl&#39;</span> <span>--report</span> <span>r</span>",
        "<h2 id=\"differences\">",
        "<h2 id=\"photos\">",
        "<dialog id=\"photo\"",
    ];
    let places: Vec<usize> = order.iter().map(|text| place(text)).collect();
    assert!(places.is_sorted(), "{places:?}");
    // Each link of the contents leads somewhere.
    for link in page.split("href=\"#").skip(1) {
        let (id, _) = link.split_once('"').unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }

    let mut one = Parts::new();
    one.systems.truncate(1);
    one.curves.clear();
    let page = one.page();
    for id in ["methods", "curves", "differences"] {
        assert!(!page.contains(&format!("#{id}\"")), "{id}");
        assert!(!page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

#[test]
fn hostile_text_stays_text() {
    let mut parts = Parts::of(|text| format!("{text} {HOSTILE}"));
    parts.set.items.push(EvalItem {
        id: "gone".into(),
        path: format!("gone {HOSTILE}.jpg").into(),
        references: vec!["a dog".into()],
    });
    parts.photos.failures.push(PhotoFailure {
        item: 3,
        kind: "input",
        message: format!("gone {HOSTILE}.jpg: no photo"),
    });
    let page = parts.page();
    assert_eq!(
        page.matches("<script").count(),
        2,
        "the data and the script"
    );
    assert!(!page.contains("<img src=x"), "{page}");
    assert!(page.contains("1 photo could not be read and is not scored"));
    let data = data(&page);
    assert_eq!(
        data["photos"][1]["references"][0],
        format!("{} {HOSTILE}", REFERENCES[1])
    );
    assert_eq!(
        data["photos"][0]["evidence"][0][0],
        format!("a memory sentence {HOSTILE}")
    );
}

#[test]
fn the_page_names_no_absolute_path() {
    let mut parts = Parts::new();
    parts.set.items[0].id = "/secret/ann/0.jpg".into();
    parts.set.items.push(EvalItem {
        id: "gone".into(),
        path: "/secret/ann/gone.jpg".into(),
        references: vec!["a dog".into()],
    });
    parts.photos.failures.push(PhotoFailure {
        item: 3,
        kind: "io",
        message: "/secret/ann/gone.jpg: no such file".into(),
    });
    let folder = tempfile::tempdir().unwrap();
    let page = parts.page_in(folder.path());
    assert!(!page.contains("secret"), "{page}");
    assert!(!page.contains(&*folder.path().to_string_lossy()));
    assert!(page.contains("<li>gone.jpg: no such file</li>"));
    assert_eq!(data(&page)["photos"][0]["id"], "0.jpg");
    assert_eq!(data(&page)["photos"][0]["original"], Value::Null);
}

#[test]
fn originals_beside_the_report_are_linked() {
    let root = tempfile::tempdir().unwrap();
    let photos = root.path().join("the photos");
    std::fs::create_dir(&photos).unwrap();
    let mut parts = Parts::new();
    parts.set.items[1].path = photos.join("1.jpg");
    let data = data(&parts.page_in(&root.path().join("report")));
    assert_eq!(data["photos"][1]["original"], "../the%20photos/1.jpg");
    assert_eq!(data["photos"][2]["original"], Value::Null);
}

#[test]
fn cider_comes_first_and_metrics_have_one_spelling() {
    let mut parts = Parts::new();
    parts.benchmark = Some(Benchmark::Coco);
    let page = parts.page();
    let heads: Vec<&str> = page
        .split("<thead>")
        .skip(1)
        .map(|rest| rest.split_once("</thead>").unwrap().0)
        .filter(|head| head.contains("BLEU-4"))
        .collect();
    assert_eq!(heads.len(), 3, "scores, differences and a curve: {heads:?}");
    for head in heads {
        let figures = METRICS.iter().filter_map(|metric| {
            let place = head.find(&format!("<th>{}</th>", metric.title))?;
            Some((place, metric.title))
        });
        assert_eq!(figures.min().unwrap().1, "CIDEr", "{head}");
    }
    for key in ["Bleu_", "ROUGE_L"] {
        assert!(!visible(&page).contains(key), "{key}");
    }
    assert_eq!(data(&page)["metrics"][0][0], "CIDEr");
    assert!(
        data(&page)["metrics"]
            .as_array()
            .unwrap()
            .contains(&serde_json::json!(["Bleu_4", "BLEU-4"]))
    );
    assert!(page.contains("<td>91.2</td>") && page.contains("COCO, Karpathy test split"));
    assert!(!page.contains("There are no published results"));
}

#[test]
fn photos_on_which_a_method_is_better_are_found_both_ways() {
    let differences = &data(&Parts::new().page())["differences"];
    assert_eq!(differences.as_array().unwrap().len(), 1);
    let pair = &differences[0];
    assert_eq!(
        (&pair["first"], &pair["second"]),
        (&"projection".into(), &"retrieval".into())
    );
    let first: Vec<u64> = places(&pair["first_better"]);
    let second: Vec<u64> = places(&pair["second_better"]);
    assert_eq!((first.len(), second), (2, vec![2]), "{pair}");
    // "two men ride bicycles" shares no word with the dog, "a cat sits" some with the cat.
    assert_eq!(first, [0, 1], "the largest difference first");
}

fn places(list: &Value) -> Vec<u64> {
    let list = list.as_array().unwrap().iter();
    list.map(|place| place.as_u64().unwrap()).collect()
}

#[test]
fn bars_are_of_all_photos_and_scores_of_0_have_no_picture() {
    let mut parts = Parts::new();
    let svg = histogram::draw(&parts.systems).unwrap().inline();
    for (method, _) in CAPTIONS {
        let bars = svg
            .matches(&format!("class=\"bar {}\"", method.name()))
            .count();
        assert!((1..=3).contains(&bars), "{bars} bars of 3 photos: {svg}");
        assert!(svg.contains(&format!("{}, mean ", method.name())), "{svg}");
    }
    for system in &mut parts.systems {
        for image in &mut system.scores.images {
            image.values.cider = 0.0;
        }
    }
    assert!(histogram::draw(&parts.systems).is_none());
    assert!(!parts.page().contains("Photos by their CIDEr"));
}

#[test]
fn a_method_has_a_mark_its_interval_and_its_score() {
    let mut parts = Parts::new();
    let interval = |value: f64| Interval {
        metric: CIDER.key,
        value,
        low: value - 0.05,
        high: value + 0.05,
    };
    parts.systems[0].intervals = vec![interval(0.75)];
    parts.systems[1].intervals = vec![interval(f64::NAN)];
    let svg = interval_chart::draw(&parts.systems, CIDER)
        .unwrap()
        .inline();
    assert!(
        svg.contains("aria-label=\"CIDEr: projection 75.0 (70.0 to 80.0)\""),
        "{svg}"
    );
    assert_eq!(svg.matches("class=\"mark projection\"").count(), 1);
    assert_eq!(svg.matches("class=\"cap projection\"").count(), 2);
    assert!(!svg.contains("NaN"), "{svg}");
    parts.systems.remove(0);
    assert!(interval_chart::draw(&parts.systems, CIDER).is_none());
}

#[test]
fn drawings_and_page_know_the_dark() {
    let folder = tempfile::tempdir().unwrap();
    let page = Parts::new().page_in(folder.path());
    // The page's colours and the drawings'.
    assert_eq!(
        page.matches("@media (prefers-color-scheme: dark)").count(),
        2
    );
    let svg = std::fs::read_to_string(folder.path().join("tau.svg")).unwrap();
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("class=\"paper\""));
    assert_eq!(
        svg.matches("@media (prefers-color-scheme: dark)").count(),
        1
    );
    // Colours that no class can change would stay bright.
    for drawing in [&svg, visible(&page)] {
        assert!(!drawing.contains("fill=\"#") && !drawing.contains("stroke=\"#"));
    }
}
