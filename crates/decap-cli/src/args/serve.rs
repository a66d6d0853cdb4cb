//! `decap serve`: what can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::caption::{MinConfidence, min_confidence};
use super::count::{at_least_one, mebibytes, millions, seconds};
use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap serve --open\n  \
    decap serve --listen 127.0.0.1:11434        where clients of Ollama look\n  \
    decap serve --model my-model --api-key-file keys.txt --listen 0.0.0.0:8080\n\n\
    curl -F photo=@photo.jpg http://127.0.0.1:8080/v1/caption\n\n\
    Keys also come from DECAP_API_KEYS, separated by spaces, the fallback's key from DECAP_FALLBACK_KEY. Ctrl-C and SIGTERM finish what was accepted.")]
pub struct ServeArgs {
    /// Address to listen on; the default is reached from this machine alone.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Model folder, an id of the Hugging Face Hub, or `tiny` for the bundled one.
    #[arg(long, default_value = "tiny", value_name = "DIR|ID")]
    pub model: String,
    /// Use this support memory, or the lines of this text file as one.
    #[arg(long, value_name = "DIR|FILE.txt")]
    pub memory: Option<PathBuf>,
    /// Show the page in the browser.
    #[arg(long)]
    pub open: bool,
    /// Only answer clients that have one of the keys in this file, one a line.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// A name of the service, where a proxy stands before it (may be given several times).
    #[arg(long, value_name = "NAME")]
    pub host_name: Vec<String>,
    /// Tell each request on standard error.
    #[arg(long, value_enum, default_value_t = LogArg::None, value_name = "HOW")]
    pub log: LogArg,
    /// Fetch photos that clients give by their http or https URLs; from the public internet alone.
    #[arg(long)]
    pub allow_urls: bool,
    /// Fetch photos also from this machine and its network, when their URLs or redirects lead there.
    #[arg(long, requires = "allow_urls")]
    pub allow_private_urls: bool,
    #[command(flatten)]
    pub precision: PrecisionArgs,
    // Headings last: what follows a flattened group in the struct stands below its heading.
    #[command(flatten)]
    pub fallback: FallbackArgs,
    #[command(flatten)]
    pub training: TrainingArgs,
    #[command(flatten)]
    pub limits: ServiceLimitArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Fallback")]
pub struct FallbackArgs {
    /// Pass on what decap can't answer to this server of Ollama's or OpenAI's API: photos whose caption is unsure, and
    /// prompts that ask for something else.
    #[arg(long, value_name = "URL", value_parser = server)]
    pub fallback_url: Option<String>,
    /// That server's name of its model [default: as the client asks].
    #[arg(long, value_name = "NAME", requires = "fallback_url")]
    pub fallback_model: Option<String>,
    /// Time for its answer, in seconds; then decap's own answer is given.
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = seconds(), requires = "fallback_url")]
    pub fallback_seconds: usize,
    /// Below this confidence a caption is unsure; `auto`: as the model says [default: auto].
    #[arg(long, value_name = "P|auto", value_parser = min_confidence, requires = "fallback_url")]
    pub min_confidence: Option<MinConfidence>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingArgs {
    /// Let clients train decoders also where other machines reach the service.
    #[arg(long)]
    pub allow_training: bool,
    /// Folder that keeps trained decoders for the next start.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// The address of a server.
fn server(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|it| text.strip_prefix(it));
    match rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected an address such as http://127.0.0.1:11434, got `{text}`"
        )),
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct ServiceLimitArgs {
    /// Photos that go through the model together.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = at_least_one())]
    pub batch: usize,
    /// Photos that wait; more are refused.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = at_least_one())]
    pub queue: usize,
    /// Time for a request, in seconds.
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = seconds())]
    pub max_request_seconds: usize,
    /// Largest request, in MiB.
    #[arg(long = "max-request-mib", default_value = "32", value_name = "MIB", value_parser = mebibytes)]
    pub max_request_bytes: u64,
    /// Largest photo, in millions of pixels.
    #[arg(long = "max-megapixels", default_value = "100", value_name = "MP", value_parser = millions)]
    pub max_pixels: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogArg {
    /// Nothing.
    None,
    /// A line of words.
    Text,
    /// A JSON object a line.
    Json,
}
