//! Makes the METEOR resources file: `prepare_meteor PYCOCOEVALCAP_FOLDER OUTPUT`.

#![allow(clippy::print_stdout, reason = "an example prints")]

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [package, output] = arguments.as_slice() else {
        return Err("expected the pycocoevalcap folder and the output file".into());
    };
    println!("{:?}", caption_metrics::meteor::prepare(package, output)?);
    Ok(())
}
