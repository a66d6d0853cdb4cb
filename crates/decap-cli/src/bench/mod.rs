//! `decap bench`: the work that captioning and training are made of, timed.

mod name;
mod work;

use std::hint::black_box;
use std::time::{Duration, Instant};

use decap::Machine;
use serde_json::json;

use crate::args::BenchArgs;
use crate::failure::{Failure, Outcome};
use crate::print;
use name::WorkName;
use work::{Photo, prepare};

/// Runs before the first that counts: they map memory and fill caches.
const WARM_UP: usize = 2;
/// Fewest runs whose median is a figure.
const LEAST_RUNS: usize = 5;
const MOST_RUNS: usize = 1000;

/// Runs the command.
pub fn run(args: &BenchArgs) -> Result<Outcome, Failure> {
    if args.list {
        print::line(name::list().trim_end())?;
        return Ok(Outcome::AllWell);
    }
    let names = match &args.work[..] {
        [] => WorkName::STANDARD.to_vec(),
        typed => typed
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, Failure>>()?,
    };
    if !(args.seconds > 0.0 && args.seconds.is_finite()) {
        let message = format!("--seconds: expected a time above 0, got {}", args.seconds);
        return Err(Failure::Usage(message));
    }
    let machine = Machine::detect()?;
    let precision = args.precision.precision;
    let photo = Photo::open(args.photo.as_deref())?;
    for name in names {
        let times = time(
            prepare(name, precision, &photo)?,
            Duration::from_secs_f64(args.seconds),
        )?;
        let (median, least) = (times[times.len() / 2], times[0]);
        if args.json {
            let record = json!({
                "work": name.to_string(),
                "ms_median": milliseconds(median),
                "ms_min": milliseconds(least),
                "runs": times.len(),
                "precision": precision.name(),
                "kernels": machine.kernels,
                "threads": machine.threads,
            });
            print::line(record)?;
        } else {
            let (median, least) = (milliseconds(median), milliseconds(least));
            print::line(format!(
                "{name:<24} {median:>10.3} ms   least {least:>10.3} ms   {} runs, {precision}, {}, {} threads",
                times.len(),
                machine.kernels,
                machine.threads,
            ))?;
        }
    }
    Ok(Outcome::AllWell)
}

/// The times of single runs, least first.
fn time(
    mut work: Box<dyn FnMut() -> Result<f32, Failure>>,
    budget: Duration,
) -> Result<Vec<Duration>, Failure> {
    for _ in 0..WARM_UP {
        black_box(work()?);
    }
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < LEAST_RUNS || (began.elapsed() < budget && times.len() < MOST_RUNS) {
        let started = Instant::now();
        black_box(work()?);
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
