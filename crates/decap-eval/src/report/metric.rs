//! Metrics as the page names and orders them.

/// A metric of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metric {
    /// Its key in JSON, which is pycocoevalcap's name.
    pub(super) key: &'static str,
    /// Its name for people.
    pub(super) title: &'static str,
}

/// All metrics, in the order of every table: CIDEr first.
pub(super) const METRICS: [Metric; 10] = [
    CIDER,
    metric("Bleu_4", "BLEU-4"),
    metric("METEOR", "METEOR"),
    metric("ROUGE_L", "ROUGE-L"),
    metric("SPICE", "SPICE"),
    metric("CLIPScore", "CLIPScore"),
    metric("RefCLIPScore", "RefCLIPScore"),
    metric("Bleu_1", "BLEU-1"),
    metric("Bleu_2", "BLEU-2"),
    metric("Bleu_3", "BLEU-3"),
];

/// The metric that comes first everywhere.
pub(super) const CIDER: Metric = metric("CIDEr", "CIDEr");

/// Metrics that pictures and comparisons leave out: BLEU-4 stands for all of BLEU.
const DETAIL: [&str; 3] = ["Bleu_1", "Bleu_2", "Bleu_3"];

impl Metric {
    /// Whether it only adds detail to another metric.
    pub(super) fn is_detail(self) -> bool {
        DETAIL.contains(&self.key)
    }
}

/// The metrics whose key `has` accepts, in the page's order.
pub(super) fn metrics_where(has: impl Fn(&str) -> bool) -> Vec<Metric> {
    let mut metrics = METRICS.to_vec();
    metrics.retain(|metric| has(metric.key));
    metrics
}

const fn metric(key: &'static str, title: &'static str) -> Metric {
    Metric { key, title }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cider_comes_first_and_each_metric_once() {
        assert_eq!(METRICS[0], CIDER);
        let mut keys = METRICS.map(|metric| metric.key).to_vec();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), METRICS.len());
        let some = metrics_where(|key| ["Bleu_4", "CIDEr", "Bleu_1"].contains(&key));
        assert_eq!(
            some.iter().map(|one| one.title).collect::<Vec<_>>(),
            ["CIDEr", "BLEU-4", "BLEU-1"]
        );
    }
}
