//! Numbers as text for Prometheus (its exposition format, version 0.0.4).
//!
//! ```text
//! # HELP tandem_calls Calls now.
//! # TYPE tandem_calls gauge
//! tandem_calls 17
//! ```

use std::fmt::{self, Write};
use std::time::Duration;

/// What the text is to be served as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a number means to whoever reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often a value was how great.
    Histogram,
}

/// Writes metrics, family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: &'static str,
}

/// A number as Prometheus reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A measure.
    Fraction(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<bool> for Number {
    fn from(is_so: bool) -> Self {
        Self::Whole(is_so.into())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Fraction(number)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Fraction(number) if number.is_finite() => number.fmt(f),
            Self::Fraction(number) if number.is_nan() => f.write_str("NaN"),
            Self::Fraction(number) if *number > 0.0 => f.write_str("+Inf"),
            Self::Fraction(_) => f.write_str("-Inf"),
        }
    }
}

/// Names and values that tell the samples of a family apart.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Begins a family: its samples follow. Each is begun once.
    pub fn family(&mut self, kind: Kind, name: &'static str, help: &str) {
        self.name = name;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = Escaped(help, is_special_in_help);
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A sample of the family.
    pub fn sample(&mut self, labels: Labels<'_>, number: impl Into<Number>) {
        self.write_sample("", labels, None, number.into());
    }

    /// A family of one sample.
    pub fn single(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &str,
        number: impl Into<Number>,
    ) {
        self.family(kind, name, help);
        self.sample(&[], number);
    }

    /// All samples of a histogram.
    pub(crate) fn histogram<const N: usize>(
        &mut self,
        labels: Labels<'_>,
        histogram: &Histogram<N>,
    ) {
        let mut count = 0;
        for (bound, in_bucket) in histogram.bounds.iter().zip(histogram.buckets) {
            count += in_bucket;
            let bound = Number::from(*bound);
            self.write_sample("_bucket", labels, Some(bound), count.into());
        }
        let all = histogram.count;
        let endless = Number::from(f64::INFINITY);
        self.write_sample("_bucket", labels, Some(endless), all.into());
        self.write_sample("_sum", labels, None, histogram.sum.into());
        self.write_sample("_count", labels, None, all.into());
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn write_sample(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        bound: Option<Number>,
        number: Number,
    ) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels {
            let value = Escaped(value, is_special_in_label);
            self.write(format_args!("{separator}{name}=\"{value}\""));
            separator = ',';
        }
        if let Some(bound) = bound {
            self.write(format_args!("{separator}le=\"{bound}\""));
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.line(format_args!(" {number}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.write(line);
        self.text.push('\n');
    }

    fn write(&mut self, words: fmt::Arguments<'_>) {
        // A string takes whatever is written to it.
        let _ = self.text.write_fmt(words);
    }
}

/// A text with a backslash before what has a meaning.
struct Escaped<'a>(&'a str, fn(char) -> bool);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\n' => f.write_str("\\n")?,
                it if (self.1)(it) => write!(f, "\\{it}")?,
                it => f.write_char(it)?,
            }
        }
        Ok(())
    }
}

fn is_special_in_help(character: char) -> bool {
    character == '\\'
}

fn is_special_in_label(character: char) -> bool {
    matches!(character, '\\' | '"')
}

/// How often a value was how great.
#[derive(Clone, Debug)]
pub(crate) struct Histogram<const N: usize> {
    /// The greatest value of each bucket, ascending.
    bounds: &'static [f64; N],
    buckets: [u64; N],
    count: u64,
    sum: f64,
}

impl<const N: usize> Histogram<N> {
    pub(crate) fn new(bounds: &'static [f64; N]) -> Self {
        Self {
            bounds,
            buckets: [0; N],
            count: 0,
            sum: 0.0,
        }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        if let Some(bucket) = bucket {
            self.buckets[bucket] += 1;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    pub(crate) fn observe_time(&mut self, time: Duration) {
        self.observe(time.as_secs_f64());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// A strict reader of the format: the families with their samples, or what is wrong.
    pub(crate) fn read(text: &str) -> Result<BTreeMap<String, Vec<Sample>>, String> {
        let mut families: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        let (mut helped, mut kind, mut seen) = (String::new(), None, BTreeSet::new());
        if !text.ends_with('\n') {
            return Err("the last line does not end".to_owned());
        }
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, _) = rest.split_once(' ').ok_or("no words in HELP")?;
                helped = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, of_kind) = rest.split_once(' ').ok_or("no kind")?;
                let is_again = families.insert(name.to_owned(), Vec::new()).is_some();
                if name != helped || is_again {
                    return Err(format!("{name} stands twice, or has no HELP"));
                }
                if of_kind == "counter" && !name.ends_with("_total") {
                    return Err(format!("{name} is a counter by another name"));
                }
                kind = Some((name.to_owned(), of_kind.to_owned()));
            } else {
                let sample = read_sample(line).ok_or_else(|| format!("not a sample: {line}"))?;
                let (family, of_kind) = kind.as_ref().ok_or("a sample of nothing")?;
                let suffix = sample.name.strip_prefix(&family[..]);
                let is_fine = match of_kind.as_str() {
                    "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
                    "counter" | "gauge" => suffix == Some(""),
                    _ => false,
                };
                let is_new = seen.insert((sample.name.clone(), sample.labels.clone()));
                if !is_fine || !is_new {
                    return Err(format!("not of {family}, or twice: {line}"));
                }
                let family = families.get_mut(family).ok_or("no family")?;
                family.push(sample);
            }
        }
        Ok(families)
    }

    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct Sample {
        pub(crate) name: String,
        pub(crate) labels: BTreeMap<String, String>,
        pub(crate) value: f64,
    }

    fn is_name(text: &str) -> bool {
        let mut characters = text.chars();
        let first = characters.next();
        first.is_some_and(|it| it.is_ascii_alphabetic() || it == '_')
            && characters.all(|it| it.is_ascii_alphanumeric() || it == '_')
    }

    fn read_sample(line: &str) -> Option<Sample> {
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = BTreeMap::new();
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                let (label, after) = inside.split_once("=\"")?;
                let (value, after) = read_quoted(after)?;
                if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                    return None;
                }
                inside = match after.strip_prefix(',') {
                    Some(more) => more,
                    None => {
                        rest = after.strip_prefix('}')?;
                        break;
                    }
                };
            }
        }
        let value = match rest.strip_prefix(' ')? {
            "+Inf" => f64::INFINITY,
            number => number.parse().ok()?,
        };
        let name = name.to_owned();
        is_name(&name).then_some(Sample {
            name,
            labels,
            value,
        })
    }

    /// Up to the closing quotation mark; the rest.
    fn read_quoted(text: &str) -> Option<(String, &str)> {
        let mut value = String::new();
        let mut characters = text.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return Some((value, &text[at + 1..])),
                '\\' => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    it @ ('\\' | '"') => it,
                    _ => return None,
                }),
                '\n' => return None,
                it => value.push(it),
            }
        }
        None
    }

    const BOUNDS: [f64; 3] = [0.5, 1.0, 2.5];

    #[test]
    fn a_histogram_counts_upwards_to_all() {
        let mut histogram = Histogram::new(&BOUNDS);
        for value in [0.1, 0.5, 0.7, 9.0] {
            histogram.observe(value);
        }
        histogram.observe_time(Duration::from_millis(2_500));
        let mut out = Exposition::default();
        out.family(Kind::Histogram, "x_seconds", "How long.");
        out.histogram(&[("who", "me")], &histogram);
        let text = out.finish();
        let expected = "# HELP x_seconds How long.\n# TYPE x_seconds histogram\n\
             x_seconds_bucket{who=\"me\",le=\"0.5\"} 2\n\
             x_seconds_bucket{who=\"me\",le=\"1\"} 3\n\
             x_seconds_bucket{who=\"me\",le=\"2.5\"} 4\n\
             x_seconds_bucket{who=\"me\",le=\"+Inf\"} 5\n\
             x_seconds_sum{who=\"me\"} 12.8\nx_seconds_count{who=\"me\"} 5\n";
        assert_eq!(text, expected);
        assert_eq!(read(&text).unwrap()["x_seconds"].len(), 6);
    }

    #[test]
    fn the_reader_of_these_tests_can_say_no() {
        let head = "# HELP a_total h\n# TYPE a_total counter\n";
        for wrong in [
            "a 1\n",
            "# HELP a h\n# TYPE a counter\n",
            "# HELP a_total h\n# TYPE b_total counter\n",
            &format!("{head}a_total 1\na_total 2\n"),
            &format!("{head}b_total 1\n"),
            &format!("{head}a_total{{x=\"\\y\"}} 1\n"),
            &format!("{head}a_total{{x=\"y\"}} one\n"),
            &format!("{head}a_total{{1=\"y\"}} 1\n"),
            &format!("{head}a_total 1"),
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_beyond_all_bounds_are_spelled_as_prometheus_does() {
        let text = |number: f64| Number::from(number).to_string();
        assert_eq!(text(f64::INFINITY), "+Inf");
        assert_eq!(text(f64::NEG_INFINITY), "-Inf");
        assert_eq!(text(f64::NAN), "NaN");
        assert_eq!(text(0.025), "0.025");
    }

    proptest! {
        /// Interfaces are named by operators: whatever the name, it reads back.
        #[test]
        fn any_label_reads_back(value in any::<String>()) {
            let mut out = Exposition::default();
            out.family(Kind::Gauge, "x", "A\nhelp\\text.");
            out.sample(&[("name", &value)], 7_u64);
            let families = read(&out.finish()).map_err(TestCaseError::fail)?;
            prop_assert_eq!(&families["x"][0].labels["name"], &value);
        }
    }
}
