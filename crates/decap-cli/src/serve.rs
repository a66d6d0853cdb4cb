//! `decap serve`: the captioner as a service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use decap::Error;
use decap_serve::{ApiKeys, FallbackOptions, LogRecord, Reach, ServeOptions, TrainingOptions};
use serde_json::json;

use crate::args::{LogArg, ServeArgs};
use crate::cache::cache_folder;
use crate::caption::least_confidence;
use crate::encoder::{find_folder, memory_for, open_captioner};
use crate::failure::{Failure, Outcome};
use crate::print;
use crate::stop::Stop;
use crate::train::encoder_reference;

/// Keys, separated by white space.
const KEYS_VARIABLE: &str = "DECAP_API_KEYS";

/// The fallback's key.
const FALLBACK_KEY_VARIABLE: &str = "DECAP_FALLBACK_KEY";

/// Largest file of keys.
const MOST_KEY_BYTES: u64 = 1 << 20;

/// Bodies that lie in memory together, in bodies of the largest size.
const BODIES_TOGETHER: usize = 8;

/// Runs the command until it is asked to stop.
pub fn run(args: &ServeArgs) -> Result<Outcome, Failure> {
    // The service finishes what it has accepted; a second Ctrl-C ends it at once.
    let stop = Stop::on_ctrl_c();
    let mut options = options(args)?;
    let mut captioner = open_captioner(&args.model, args.precision.precision)?;
    if let Some(memory) = &args.memory {
        let memory = memory_for(captioner.encoder(), memory, &cache_folder(None)?, &stop)?;
        captioner.set_memory(memory)?;
    }
    options.least_confidence = least_confidence(args.fallback.min_confidence, &captioner)?;
    let has_keys = !options.keys.is_empty();
    decap_serve::serve(captioner.ready_for_many(), options, |address| {
        print::tell(format!("decap serves on http://{address}"));
        if !address.ip().is_loopback() {
            let who = match has_keys {
                true => "with a key",
                false => "WITHOUT A KEY: give --api-key-file unless that is meant",
            };
            print::warn(format!(
                "decap: other machines can reach this service, {who}"
            ));
        }
        if args.open
            && let Err(error) = open::that_detached(format!("http://{address}/"))
        {
            print::warn(format!("decap: cannot show the page: {error}"));
        }
    })
    .map_err(|error| {
        let remedy = "choose another address with --listen, or end the program that has this one";
        match &error {
            Error::Unavailable(message) if message.contains("cannot listen") => {
                Failure::WithRemedy(error, remedy.into())
            }
            _ => Failure::Library(error),
        }
    })?;
    print::tell("stopped");
    Ok(Outcome::AllWell)
}

fn options(args: &ServeArgs) -> Result<ServeOptions, Failure> {
    let mut options = ServeOptions::default();
    options.listen = args.listen;
    options.host_names.clone_from(&args.host_name);
    options.queue_photos = args.limits.queue;
    options.batch_photos = args.limits.batch;
    options.request_time = Duration::from_secs(args.limits.max_request_seconds as u64);
    options.body_bytes = usize::try_from(args.limits.max_request_bytes).unwrap_or(usize::MAX);
    options.all_bodies_bytes = options.body_bytes.saturating_mul(BODIES_TOGETHER);
    options.limits.file_bytes = args.limits.max_request_bytes;
    options.limits.pixels = args.limits.max_pixels;
    options.fetch = args.allow_urls.then_some(match args.allow_private_urls {
        true => Reach::Everywhere,
        false => Reach::Public,
    });
    options.fallback = fallback(args);
    // Behind a proxy, others reach it all the same.
    let is_ours_alone = args.listen.ip().is_loopback() && args.host_name.is_empty();
    if is_ours_alone || args.training.allow_training {
        let reference = encoder_reference(&args.model);
        let folder = find_folder(&args.model)?;
        options.training = Some(TrainingOptions::new(folder, reference));
    }
    options.keep.clone_from(&args.training.keep);
    options.warn = Some(Arc::new(|words| print::warn(format!("decap: {words}"))));
    options.keys = keys(args.api_key_file.as_deref())?;
    options.log = match args.log {
        LogArg::None => None,
        LogArg::Text => Some(Arc::new(|record| print::tell(text_line(record)))),
        LogArg::Json => Some(Arc::new(|record| print::tell(json_line(record)))),
    };
    Ok(options)
}

/// The server that answers what decap can't.
fn fallback(args: &ServeArgs) -> Option<FallbackOptions> {
    let args = &args.fallback;
    let mut options = FallbackOptions::new(args.fallback_url.as_ref()?);
    options.model.clone_from(&args.fallback_model);
    options.time = Duration::from_secs(args.fallback_seconds as u64);
    let key = std::env::var(FALLBACK_KEY_VARIABLE).ok();
    options.key = key.filter(|key| !key.trim().is_empty());
    Some(options)
}

/// The keys of the file and of the environment.
fn keys(file: Option<&Path>) -> Result<ApiKeys, Failure> {
    let variable = std::env::var(KEYS_VARIABLE).unwrap_or_default();
    let mut lines = variable.split_whitespace().collect::<Vec<_>>().join("\n");
    if let Some(path) = file {
        let size = std::fs::metadata(path)
            .map_err(|source| Error::io(path, source))?
            .len();
        if size > MOST_KEY_BYTES {
            let path = path.display();
            return Err(Failure::Usage(format!(
                "{path}: expected a file of keys of at most {MOST_KEY_BYTES} bytes, got {size}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
        if ApiKeys::of_lines(&text).is_empty() {
            let path = path.display();
            let message = format!("{path}: expected keys, one a line, got none");
            return Err(Failure::Usage(message));
        }
        lines = format!("{lines}\n{text}");
    }
    Ok(ApiKeys::of_lines(&lines))
}

fn text_line(record: &LogRecord<'_>) -> String {
    let LogRecord {
        request_id,
        method,
        path,
        status,
        ms,
        ..
    } = record;
    let error = record
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!(": {error}"));
    let fallback = record
        .fallback
        .as_ref()
        .map_or_else(String::new, |told| format!("; {told}"));
    format!("{request_id} {method} {path} {status} in {ms:.1} ms{error}{fallback}")
}

fn json_line(record: &LogRecord<'_>) -> String {
    json!({
        "request_id": record.request_id,
        "method": record.method,
        "path": record.path,
        "status": record.status,
        "ms": record.ms,
        "error": record.error,
        "fallback": record.fallback,
    })
    .to_string()
}
