//! Counters that Prometheus reads at `/metrics`.

use std::time::Duration;

use decap::Timings;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// A route and a status.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

/// A stage of captioning.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

/// Why a request was passed on, and whether it was answered.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FallbackLabels {
    reason: &'static str,
    outcome: &'static str,
}

/// What the service counts.
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    batch_photos: Histogram,
    stage_seconds: Family<StageLabels, Histogram>,
    queue_photos: Gauge,
    fallbacks: Family<FallbackLabels, Counter>,
    /// Photos at which something broke.
    pub panics: Counter,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("decap");
        let requests = Family::default();
        registry.register("requests", "Requests that were answered", requests.clone());
        let request_seconds = Histogram::new(exponential_buckets(0.005, 2.0, 14));
        registry.register(
            "request_seconds",
            "Time from request to answer",
            request_seconds.clone(),
        );
        let batch_photos = Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]);
        registry.register("batch_photos", "Photos in a batch", batch_photos.clone());
        let stage_seconds: Family<StageLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 2.0, 14)));
        registry.register(
            "stage_seconds",
            "Time a photo by stage",
            stage_seconds.clone(),
        );
        let queue_photos = Gauge::default();
        registry.register("queue_photos", "Photos that wait", queue_photos.clone());
        let fallbacks = Family::default();
        registry.register(
            "fallbacks",
            "Requests that the fallback was asked to answer",
            fallbacks.clone(),
        );
        let panics = Counter::default();
        registry.register("panics", "Photos at which something broke", panics.clone());
        Self {
            requests,
            request_seconds,
            batch_photos,
            stage_seconds,
            queue_photos,
            fallbacks,
            panics,
            registry,
        }
    }
}

impl Metrics {
    /// Counts an answer.
    pub fn request(&self, route: &str, status: u16, took: Duration) {
        let labels = RequestLabels {
            route: route.to_owned(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Counts a request that the fallback was asked to answer.
    pub fn passed_on(&self, reason: &'static str, is_answered: bool) {
        let outcome = match is_answered {
            true => "answered",
            false => "failed",
        };
        let labels = FallbackLabels { reason, outcome };
        self.fallbacks.get_or_create(&labels).inc();
    }

    /// Counts a batch.
    pub fn batch(&self, photos: usize) {
        self.batch_photos.observe(photos as f64);
    }

    /// Counts where a photo's time went.
    pub fn stages(&self, timings: &Timings) {
        for (stage, ms) in [
            ("decode", timings.decode_ms),
            ("encode", timings.encode_ms),
            ("project", timings.project_ms),
            ("generate", timings.generate_ms),
            ("choose", timings.choose_ms),
        ] {
            let seconds = self.stage_seconds.get_or_create(&StageLabels { stage });
            seconds.observe(ms / 1e3);
        }
    }

    /// All of it as text, with this many photos waiting.
    pub fn text(&self, waiting: usize) -> String {
        self.queue_photos
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = encode(&mut text, &self.registry);
        text
    }
}
