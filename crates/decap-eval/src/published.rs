//! Published figures, to stand beside ours where the data is the same.

use super::set::{EvalSet, Part};
use caption_data::CaptionFormat;

/// Photos with references on which figures have been published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Benchmark {
    /// COCO, Karpathy's test split: 5,000 photos.
    Coco,
    /// Flickr30k, Karpathy's test split: 1,000 photos.
    Flickr30k,
    /// nocaps, validation, in-domain.
    NocapsIn,
    /// nocaps, validation, near-domain.
    NocapsNear,
    /// nocaps, validation, out-of-domain.
    NocapsOut,
    /// nocaps, validation: 4,500 photos.
    NocapsAll,
    /// MSR-VTT, test: 2,990 videos.
    MsrVtt,
}

/// A row of a paper's table; figures are times 100, as papers print them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PublishedRow {
    /// Method and training text.
    pub system: &'static str,
    /// BLEU-4.
    pub bleu_4: Option<f64>,
    /// METEOR.
    pub meteor: Option<f64>,
    /// CIDEr.
    pub cider: Option<f64>,
    /// SPICE.
    pub spice: Option<f64>,
    /// Where the figures stand.
    pub source: &'static str,
}

/// <https://github.com/FeiElysia/ViECap>, tables in its README.
const VIECAP: &str = "ViECap, README";
/// <https://github.com/joeyz0z/MeaCap>, tables in its README.
const MEACAP: &str = "MeaCap, README";
/// Li et al., ICLR 2023; written down from memory, to be looked up before it is quoted.
const PAPER_UNCHECKED: &str = "DeCap paper (from memory)";

const COCO: &[PublishedRow] = &[
    row("DeCap, COCO text", [24.7, 25.0, 91.2, 18.7], VIECAP),
    cider("DeCap, 560 COCO captions", 51.4, PAPER_UNCHECKED),
    row("DeCap, Flickr30k text", [12.1, 18.0, 44.4, 10.9], VIECAP),
    cider("DeCap, Flickr30k text, COCO memory", 63.1, PAPER_UNCHECKED),
    cider("DeCap, SS1M text", 50.6, MEACAP),
    cider("DeCap, CC3M text", 42.1, MEACAP),
    cider("CLIPRe, COCO text", 53.4, MEACAP),
    cider("CLIPRe, Flickr30k text", 26.5, MEACAP),
    cider("CLIPRe, CC3M text", 25.6, MEACAP),
    row("ZeroCap", [7.0, 15.4, 34.5, 9.2], VIECAP),
    row("MAGIC, COCO text", [12.9, 17.4, 49.3, 11.3], VIECAP),
    cider("CapDec, COCO text", 91.8, MEACAP),
    row("ViECap, COCO text", [27.2, 24.8, 92.9, 18.2], VIECAP),
    cider("MeaCap, COCO text", 95.4, MEACAP),
];

const FLICKR30K: &[PublishedRow] = &[
    row("DeCap, Flickr30k text", [21.2, 21.8, 56.7, 15.2], VIECAP),
    row("DeCap, COCO text", [16.3, 17.9, 35.7, 11.1], VIECAP),
    cider("DeCap, COCO text, Flickr30k memory", 42.0, PAPER_UNCHECKED),
    cider("CLIPRe, Flickr30k text", 31.7, MEACAP),
    cider("CLIPRe, COCO text", 30.1, MEACAP),
    row("ZeroCap", [5.4, 11.8, 16.8, 6.2], VIECAP),
    row("MAGIC, Flickr30k text", [6.4, 13.1, 20.4, 7.1], VIECAP),
    cider("CapDec, Flickr30k text", 39.1, MEACAP),
    row("ViECap, Flickr30k text", [21.4, 20.1, 47.9, 13.6], VIECAP),
    cider("MeaCap, Flickr30k text", 59.4, MEACAP),
];

const NOCAPS_IN: &[PublishedRow] = &[
    cider("DeCap, COCO text", 65.2, VIECAP),
    cider("DeCap, SS1M text", 41.9, MEACAP),
    cider("DeCap, CC3M text", 34.8, MEACAP),
    cider("CLIPRe, CC3M text", 23.3, MEACAP),
    cider("CapDec, COCO text", 60.1, VIECAP),
];

const NOCAPS_NEAR: &[PublishedRow] = &[
    cider("DeCap, COCO text", 47.8, VIECAP),
    cider("DeCap, SS1M text", 41.7, MEACAP),
    cider("DeCap, CC3M text", 37.7, MEACAP),
    cider("CLIPRe, CC3M text", 26.8, MEACAP),
    cider("CapDec, COCO text", 50.2, VIECAP),
];

const NOCAPS_OUT: &[PublishedRow] = &[
    cider("DeCap, COCO text", 25.8, VIECAP),
    cider("DeCap, SS1M text", 46.2, MEACAP),
    cider("DeCap, CC3M text", 49.9, MEACAP),
    cider("CLIPRe, CC3M text", 36.5, MEACAP),
    cider("CapDec, COCO text", 28.7, VIECAP),
];

const NOCAPS_ALL: &[PublishedRow] = &[
    cider("DeCap, COCO text", 45.9, VIECAP),
    cider("DeCap, SS1M text", 42.7, MEACAP),
    cider("DeCap, CC3M text", 39.7, MEACAP),
    cider("CLIPRe, CC3M text", 28.2, MEACAP),
    cider("CapDec, COCO text", 45.9, VIECAP),
];

const MSR_VTT: &[PublishedRow] = &[
    PublishedRow {
        spice: None,
        ..row(
            "DeCap, MSR-VTT text",
            [23.1, 23.6, 34.8, 0.0],
            PAPER_UNCHECKED,
        )
    },
    PublishedRow {
        spice: None,
        ..row("DeCap, COCO text", [14.7, 20.4, 18.6, 0.0], PAPER_UNCHECKED)
    },
];

const fn row(system: &'static str, figures: [f64; 4], source: &'static str) -> PublishedRow {
    let [bleu_4, meteor, cider, spice] = figures;
    PublishedRow {
        system,
        bleu_4: Some(bleu_4),
        meteor: Some(meteor),
        cider: Some(cider),
        spice: Some(spice),
        source,
    }
}

const fn cider(system: &'static str, cider: f64, source: &'static str) -> PublishedRow {
    PublishedRow {
        system,
        bleu_4: None,
        meteor: None,
        cider: Some(cider),
        spice: None,
        source,
    }
}

impl Benchmark {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Coco,
        Self::Flickr30k,
        Self::NocapsIn,
        Self::NocapsNear,
        Self::NocapsOut,
        Self::NocapsAll,
        Self::MsrVtt,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coco => "coco",
            Self::Flickr30k => "flickr30k",
            Self::NocapsIn => "nocaps-in",
            Self::NocapsNear => "nocaps-near",
            Self::NocapsOut => "nocaps-out",
            Self::NocapsAll => "nocaps",
            Self::MsrVtt => "msrvtt",
        }
    }

    /// What it is, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Coco => "COCO, Karpathy test split",
            Self::Flickr30k => "Flickr30k, Karpathy test split",
            Self::NocapsIn => "nocaps validation, in-domain",
            Self::NocapsNear => "nocaps validation, near-domain",
            Self::NocapsOut => "nocaps validation, out-of-domain",
            Self::NocapsAll => "nocaps validation",
            Self::MsrVtt => "MSR-VTT test",
        }
    }

    /// The published rows.
    pub fn rows(self) -> &'static [PublishedRow] {
        match self {
            Self::Coco => COCO,
            Self::Flickr30k => FLICKR30K,
            Self::NocapsIn => NOCAPS_IN,
            Self::NocapsNear => NOCAPS_NEAR,
            Self::NocapsOut => NOCAPS_OUT,
            Self::NocapsAll => NOCAPS_ALL,
            Self::MsrVtt => MSR_VTT,
        }
    }

    /// The benchmark that `set` is, by the number of its photos and their names.
    pub(super) fn recognise(set: &EvalSet, format: CaptionFormat, part: &Part) -> Option<Self> {
        let all = |holds: fn(&str) -> bool| {
            set.items.iter().all(|item| {
                item.path
                    .file_stem()
                    .is_some_and(|name| holds(&name.to_string_lossy()))
            })
        };
        let digits = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        match (set.items.len(), part) {
            (_, Part::Named(domain)) if format == CaptionFormat::Nocaps => match domain.as_str() {
                "in-domain" => Some(Self::NocapsIn),
                "near-domain" => Some(Self::NocapsNear),
                "out-domain" => Some(Self::NocapsOut),
                _ => None,
            },
            (4_500, _) if format == CaptionFormat::Nocaps => Some(Self::NocapsAll),
            (5_000, _) if all(|name| name.starts_with("COCO_val2014_")) => Some(Self::Coco),
            // Flickr8k's test split has 1,000 photos as well; their names hold an underscore.
            (1_000, _) if all(digits) => Some(Self::Flickr30k),
            (2_990, _) if all(|name| name.starts_with("video")) => Some(Self::MsrVtt),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EvalItem;

    fn set(names: impl Iterator<Item = String>) -> EvalSet {
        EvalSet {
            name: String::new(),
            items: names
                .map(|name| EvalItem {
                    id: name.clone(),
                    path: name.into(),
                    references: vec!["a dog".into()],
                })
                .collect(),
            without_references: 0,
            benchmark: None,
        }
    }

    #[test]
    fn a_benchmark_is_known_by_its_photos() {
        let coco = |count: usize| set((0..count).map(|i| format!("COCO_val2014_{i:012}.jpg")));
        let flickr = |name: fn(usize) -> String| set((0..1000).map(name));
        let recognise =
            |set: &EvalSet| Benchmark::recognise(set, CaptionFormat::JsonLines, &Part::All);
        assert_eq!(recognise(&coco(5000)), Some(Benchmark::Coco));
        assert_eq!(recognise(&coco(4999)), None, "another part of COCO");
        let thirty = flickr(|i| format!("{i}.jpg"));
        assert_eq!(recognise(&thirty), Some(Benchmark::Flickr30k));
        let eight = flickr(|i| format!("{i}_1f2e.jpg"));
        assert_eq!(recognise(&eight), None, "Flickr8k");
        let out = Part::Named("out-domain".into());
        let nocaps = Benchmark::recognise(&coco(9), CaptionFormat::Nocaps, &out);
        assert_eq!(nocaps, Some(Benchmark::NocapsOut));
    }

    #[test]
    fn figures_are_times_100_and_names_differ() {
        let mut names: Vec<&str> = Benchmark::ALL.map(Benchmark::name).to_vec();
        for benchmark in Benchmark::ALL {
            for row in benchmark.rows() {
                let cider = row.cider.unwrap();
                assert!((5.0..150.0).contains(&cider), "{row:?}");
                assert!(!row.source.is_empty());
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Benchmark::ALL.len());
    }
}
