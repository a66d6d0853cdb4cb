//! Published results, to compare ours with where the photos are the same.

use std::path::Path;

use caption_data::CaptionFormat;

/// Photos with references on which results have been published.
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

/// A row of a published table; figures are times 100, as papers print them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PublishedRow {
    /// Method and training text.
    pub system: &'static str,
    /// BLEU-4.
    pub bleu_4: Option<f64>,
    /// METEOR.
    pub meteor: Option<f64>,
    /// CIDEr.
    pub cider: f64,
    /// Where the figures were published.
    pub source: &'static str,
}

/// Li et al., <https://arxiv.org/abs/2303.03032>.
const PAPER: &str = "DeCap paper";
/// <https://github.com/FeiElysia/ViECap>, tables in its README.
const VIECAP: &str = "ViECap README";
/// <https://github.com/joeyz0z/MeaCap>, tables in its README.
const MEACAP: &str = "MeaCap README";
/// The paper that proposes the method.
const OWN_PAPER: &str = "its paper";
/// Scored from captions that the method's authors published.
const PREDICTIONS: &str = "published captions, scored";

const COCO: &[PublishedRow] = &[
    row("DeCap, COCO text", [24.7, 25.0, 91.2], PAPER),
    cider("DeCap, 560 COCO captions", 51.4, PAPER),
    cider("DeCap, Flickr30k text", 44.4, VIECAP),
    cider("DeCap, SS1M text", 50.6, MEACAP),
    cider("DeCap, CC3M text", 42.1, MEACAP),
    cider("CLIPRe, COCO text", 53.4, MEACAP),
    cider("CLIPRe, CC3M text", 25.6, MEACAP),
    row("ZeroCap", [7.0, 15.4, 34.5], PREDICTIONS),
    row("MAGIC, COCO text", [12.9, 17.4, 49.3], PREDICTIONS),
    cider("CapDec, COCO text", 91.8, VIECAP),
    cider("ViECap, COCO text", 92.9, OWN_PAPER),
    cider("MeaCap, COCO text", 95.4, OWN_PAPER),
    cider("Knight, COCO text", 98.9, OWN_PAPER),
    cider("SynTIC, COCO text", 101.1, OWN_PAPER),
    cider("IFCap, COCO text", 108.0, OWN_PAPER),
    cider("IFCap, Flickr30k text", 60.7, OWN_PAPER),
    cider(
        "IFCap, Flickr30k text, retrieving from COCO",
        76.3,
        OWN_PAPER,
    ),
];

const FLICKR30K: &[PublishedRow] = &[
    cider("DeCap, Flickr30k text", 56.7, VIECAP),
    cider("DeCap, COCO text", 35.7, VIECAP),
    cider("CLIPRe, Flickr30k text", 31.7, MEACAP),
    cider("IFCap, Flickr30k text", 64.4, OWN_PAPER),
    cider("IFCap, COCO text", 47.5, OWN_PAPER),
    cider(
        "IFCap, COCO text, retrieving from Flickr30k",
        59.2,
        OWN_PAPER,
    ),
];

const NOCAPS_IN: &[PublishedRow] = &[
    cider("DeCap, COCO text", 65.2, VIECAP),
    cider("DeCap, SS1M text", 41.9, MEACAP),
    cider("DeCap, CC3M text", 34.8, MEACAP),
];

const NOCAPS_NEAR: &[PublishedRow] = &[
    cider("DeCap, COCO text", 47.8, VIECAP),
    cider("DeCap, SS1M text", 41.7, MEACAP),
    cider("DeCap, CC3M text", 37.7, MEACAP),
];

const NOCAPS_OUT: &[PublishedRow] = &[
    cider("DeCap, COCO text", 25.8, VIECAP),
    cider("DeCap, SS1M text", 46.2, MEACAP),
    cider("DeCap, CC3M text", 49.9, MEACAP),
];

const NOCAPS_ALL: &[PublishedRow] = &[
    cider("DeCap, COCO text", 45.9, VIECAP),
    cider("DeCap, SS1M text", 42.7, MEACAP),
    cider("DeCap, CC3M text", 39.7, MEACAP),
    cider("IFCap", 74.0, OWN_PAPER),
];

const MSR_VTT: &[PublishedRow] = &[
    row("DeCap, COCO text", [14.7, 20.4, 18.6], PAPER),
    cider("IFCap", 38.9, OWN_PAPER),
];

const fn row(system: &'static str, figures: [f64; 3], source: &'static str) -> PublishedRow {
    let [bleu_4, meteor, cider] = figures;
    PublishedRow {
        system,
        bleu_4: Some(bleu_4),
        meteor: Some(meteor),
        cider,
        source,
    }
}

const fn cider(system: &'static str, cider: f64, source: &'static str) -> PublishedRow {
    PublishedRow {
        system,
        bleu_4: None,
        meteor: None,
        cider,
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

    /// What was published, looked up at each row's source.
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

    /// The benchmark that `photos` are, by their number and names; `part` is the split or domain
    /// that was asked for by name.
    pub(super) fn recognise(
        photos: &[&Path],
        format: CaptionFormat,
        part: Option<&str>,
    ) -> Option<Self> {
        let all = |holds: fn(&str) -> bool| {
            photos.iter().all(|photo| {
                photo
                    .file_stem()
                    .is_some_and(|name| holds(&name.to_string_lossy()))
            })
        };
        let digits = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        match (photos.len(), part) {
            (_, Some(domain)) if format == CaptionFormat::Nocaps => match domain {
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

    fn recognised(
        names: impl Iterator<Item = String>,
        format: CaptionFormat,
        part: Option<&str>,
    ) -> Option<Benchmark> {
        let names: Vec<String> = names.collect();
        let photos: Vec<&Path> = names.iter().map(Path::new).collect();
        Benchmark::recognise(&photos, format, part)
    }

    #[test]
    fn a_benchmark_is_known_by_its_photos() {
        let coco = |count: usize| (0..count).map(|i| format!("COCO_val2014_{i:012}.jpg"));
        let flickr = |name: fn(usize) -> String| (0..1000).map(name);
        let recognise = |names| recognised(names, CaptionFormat::JsonLines, None);
        let coco_photos = |count| recognised(coco(count), CaptionFormat::JsonLines, None);
        assert_eq!(coco_photos(5000), Some(Benchmark::Coco));
        assert_eq!(coco_photos(4999), None, "another part of COCO");
        let thirty = flickr(|i| format!("{i}.jpg"));
        assert_eq!(recognise(thirty), Some(Benchmark::Flickr30k));
        let eight = flickr(|i| format!("{i}_1f2e.jpg"));
        assert_eq!(recognise(eight), None, "Flickr8k");
        let nocaps = recognised(coco(9), CaptionFormat::Nocaps, Some("out-domain"));
        assert_eq!(nocaps, Some(Benchmark::NocapsOut));
    }

    #[test]
    fn figures_are_times_100_and_names_differ() {
        let mut names: Vec<&str> = Benchmark::ALL.map(Benchmark::name).to_vec();
        for benchmark in Benchmark::ALL {
            for row in benchmark.rows() {
                let figures = [row.bleu_4, row.meteor, Some(row.cider)];
                for figure in figures.into_iter().flatten() {
                    assert!((5.0..150.0).contains(&figure), "{row:?}");
                }
                assert!(
                    !row.source.is_empty() && !row.source.contains("memory"),
                    "{row:?}"
                );
            }
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Benchmark::ALL.len());
    }
}
