//! `tandem codec convert`

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::file::Sound;
use super::format::Format;
use crate::Context;
use crate::failure::Failure;
use crate::output::{print, print_bytes, print_json, remark};

/// The greatest file that is read. All of it is kept in memory, and nine hours fit in.
const INPUT_LEN_MAX: u64 = 512 << 20;

/// `tandem codec convert`
#[derive(Args, Debug)]
#[command(after_help = crate::examples!(
    "tandem codec convert hello.wav hello.gsm" => "to GSM",
    "tandem codec convert hello.wav hello.ilbc --to ilbc20" => "to iLBC with frames of 20 ms",
    "sox hello.mp3 -t wav -r 8000 - | tandem codec convert --from wav - hello.al" => "from a pipe",
    "tandem codec convert hello.gsm --to wav - | aplay" => "to a pipe"
))]
pub(super) struct ConvertArgs {
    /// File to read; - is standard input
    input: PathBuf,

    /// File to write; - is standard output
    output: PathBuf,

    /// What the input is, if its name does not say so
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<Format>,

    /// What the output is to be, if its name does not say so
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Option<Format>,

    /// Write over a file that is there already
    #[arg(long)]
    force: bool,
}

/// Converts a file.
pub(super) fn run(context: &Context, args: &ConvertArgs) -> Result<(), Failure> {
    let from = format_of(&args.input, args.from, "--from")?;
    let to = format_of(&args.output, args.to, "--to")?;
    if !args.force && !is_pipe(&args.output) && args.output.exists() {
        return Err(is_there(&args.output));
    }
    let bytes = read(&args.input)?;
    let about = |failure: Failure| Failure::failed(format!("{}: {failure}", args.input.display()));
    let sound = Sound::read(&bytes, from).map_err(about)?;
    let rate = to.rate().unwrap_or(sound.rate);
    let sound = sound.at(rate);
    let converted = sound.write(to)?;
    write(&args.output, &converted, args.force)?;
    tell(context, args, &sound, converted.len())
}

fn tell(context: &Context, args: &ConvertArgs, sound: &Sound, len: usize) -> Result<(), Failure> {
    let hz = sound.rate.hz();
    #[expect(clippy::cast_precision_loss, reason = "files are shorter than that")]
    let seconds = sound.samples.len() as f64 / f64::from(hz);
    let text = format!(
        "{}: {seconds:.2} s with {hz} Hz, {len} bytes",
        args.output.display()
    );
    match (is_pipe(&args.output), context.json) {
        // The output is the sound itself.
        (true, _) => remark(&text),
        (false, false) => print(&text)?,
        (false, true) => print_json(&json!({
            "output": args.output.display().to_string(),
            "seconds": seconds,
            "sample_rate_hz": hz,
            "bytes": len,
        }))?,
    }
    Ok(())
}

fn format_of(path: &Path, said: Option<Format>, option: &str) -> Result<Format, Failure> {
    let format = said.or_else(|| Format::of_path(path));
    format.ok_or_else(|| {
        let name = path.display();
        Failure::usage(format!(
            "the name {name} does not say what is in the file; say it with {option}, as in {option} wav"
        ))
    })
}

fn is_pipe(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if is_pipe(path) {
        io::stdin()
            .lock()
            .take(INPUT_LEN_MAX + 1)
            .read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(INPUT_LEN_MAX + 1).read_to_end(&mut bytes))
    };
    let len =
        read.map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
    if len as u64 > INPUT_LEN_MAX {
        return Err(Failure::failed(format!(
            "{} has more than {} MiB; convert it in parts",
            path.display(),
            INPUT_LEN_MAX >> 20
        )));
    }
    if bytes.is_empty() {
        return Err(Failure::failed(format!("{} is empty", path.display())));
    }
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8], is_forced: bool) -> Result<(), Failure> {
    if is_pipe(path) {
        return print_bytes(bytes);
    }
    let mut options = OpenOptions::new();
    options.write(true);
    // Somebody may have made it in the meantime.
    match is_forced {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => is_there(path),
        _ => Failure::failed(format!("cannot write {}: {error}", path.display())),
    })
}

fn is_there(path: &Path) -> Failure {
    Failure::failed(format!(
        "{} is there already; --force writes over it",
        path.display()
    ))
}
