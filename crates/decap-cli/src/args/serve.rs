//! `decap serve`: what can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::count::{at_least_one, mebibytes, millions, seconds};
use super::precision::PrecisionArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    decap serve --open\n  \
    decap serve --listen 127.0.0.1:11434        where clients of Ollama look\n  \
    decap serve --model my-model --api-key-file keys.txt --listen 0.0.0.0:8080\n\n\
    curl -F photo=@photo.jpg http://127.0.0.1:8080/v1/caption\n\n\
    Keys also come from DECAP_API_KEYS, separated by spaces. Ctrl-C and SIGTERM finish what was accepted.")]
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
    #[command(flatten)]
    pub precision: PrecisionArgs,
    // Headings last: what follows a flattened group in the struct stands below its heading.
    #[command(flatten)]
    pub limits: ServiceLimitArgs,
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
