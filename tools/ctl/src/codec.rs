//! `tandem codec`: the codecs without a call.

mod bench;
mod convert;
mod file;
mod format;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use codec::Codec;
use codec::Rate::{Narrow, Wide};
use codec::ilbc::Mode::{Ms20, Ms30};

use crate::Context;
use crate::failure::Failure;

/// The names by which people choose, and what each means.
const NAMES: [(&str, Codec); 10] = [
    ("pcmu", Codec::Pcmu),
    ("pcma", Codec::Pcma),
    ("gsm", Codec::Gsm),
    ("ilbc20", Codec::Ilbc(Ms20)),
    ("ilbc30", Codec::Ilbc(Ms30)),
    ("g722", Codec::G722),
    ("opus8", Codec::Opus(Narrow)),
    ("opus16", Codec::Opus(Wide)),
    ("l16", Codec::L16(Narrow)),
    ("l16-16", Codec::L16(Wide)),
];

/// `tandem codec`
#[derive(Args, Debug)]
#[command(after_help = crate::examples!(
    "tandem codec convert hello.wav hello.gsm" => "a recording for an announcement",
    "tandem codec convert hello.g722 hello.wav" => "and one to listen to",
    "tandem codec bench" => "what each codec costs on this host"
))]
pub(crate) struct CodecArgs {
    #[command(subcommand)]
    command: CodecCommand,
}

#[derive(Debug, Subcommand)]
enum CodecCommand {
    /// Measure what each codec costs on this host
    ///
    /// One thread encodes and decodes something like speech, in packets of 20 ms (30 ms where a
    /// frame is that long). The times are medians, so that what else runs here does little harm.
    ///
    /// MS and BYTES are those of a packet; ENCODE, DECODE and CONCEAL are what one costs, ENC × and
    /// DEC × how much faster that is than the sound itself.
    ///
    /// CALLS is how many calls between a phone with this codec and one with G.711 a core could
    /// transcode, both ways, if it did nothing else.
    Bench(bench::BenchArgs),
    /// Convert recordings from one codec to another
    ///
    /// The end of a file's name says what is in it: .wav, .ul or .pcmu, .al or .pcma, .gsm, .g722,
    /// .ilbc or .lbc (RFC 3952), .raw or .sln (16 bits, little-endian, 8 kHz), .sln16 (the same
    /// with 16 kHz). Sound of 8 kHz is brought to 16 kHz and back where a codec wants it. The end
    /// is filled up with silence to a whole frame.
    Convert(convert::ConvertArgs),
}

/// Measures, or converts.
pub(crate) fn run(context: &Context, args: &CodecArgs) -> Result<(), Failure> {
    match &args.command {
        CodecCommand::Bench(args) => bench::run(context, args),
        CodecCommand::Convert(args) => convert::run(context, args),
    }
}

fn codec_parser() -> impl TypedValueParser<Value = Codec> {
    PossibleValuesParser::new(NAMES.map(|(name, _)| name)).map(|name| {
        let found = NAMES.into_iter().find(|(it, _)| *it == name);
        found.map_or(Codec::Pcmu, |(_, codec)| codec)
    })
}

/// The name by which people choose it.
fn name_of(codec: Codec) -> &'static str {
    let found = NAMES.into_iter().find(|(_, it)| *it == codec);
    found.map_or_else(|| codec.name(), |(name, _)| name)
}

fn explain(error: codec::Error) -> Failure {
    Failure::failed(error.to_string())
}
