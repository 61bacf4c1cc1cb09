//! From speech to line spectral frequencies (RFC 3951 §3.2.1 to §3.2.3).

use std::f64::consts::PI;
use std::sync::LazyLock;

use super::spectrum::{Frequencies, Predictor};
use super::{Mode, ORDER};

/// Samples that are analysed at a time.
pub(super) const WINDOW: usize = 240;

/// Samples of a frame and those before it that the analysis looks back at, at most.
pub(super) const SPEECH_MAX: usize = 300;

/// What the predictor's poles are drawn inwards by (§3.2.2).
const CHIRP: f32 = 0.9025;

/// The spectral smoothing, as a window over the autocorrelation (§3.2.1).
const LAG_WINDOW: [f32; ORDER + 1] = [
    1.0001, 0.99889, 0.995569, 0.990057, 0.982392, 0.972623, 0.960816, 0.947047, 0.931405,
    0.913989, 0.894909,
];

/// Angles at which the spectrum's polynomials are looked at for changes of sign. Poles within
/// [`CHIRP`] keep a polynomial's roots further apart than this.
const GRID: usize = 64;

/// Halvings of an interval of the grid that has a root.
const HALVINGS: usize = 7;

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

struct Tables {
    /// Centred on the window.
    hann: [f32; WINDOW],
    /// Centred on sample 220.
    late: [f32; WINDOW],
    /// Cosines of the grid's angles.
    grid: [f32; GRID],
}

impl Tables {
    #[expect(clippy::cast_possible_truncation, reason = "to fewer digits")]
    fn new() -> Self {
        let late = |at: usize| match at {
            0..220 => (PI * (at as f64 + 1.0) / 441.0).sin().powi(2),
            _ => ((at as f64 - 220.0) * PI / 40.0).cos(),
        };
        let hann = |at: usize| {
            let from_side = at.min(WINDOW - 1 - at) as f64 + 1.0;
            0.5 * (1.0 - (2.0 * PI * from_side / 241.0).cos())
        };
        let grid = |at: usize| (PI * at as f64 / (GRID - 1) as f64).cos();
        Self {
            hann: std::array::from_fn(|at| hann(at) as f32),
            late: std::array::from_fn(|at| late(at) as f32),
            grid: std::array::from_fn(|at| grid(at) as f32),
        }
    }
}

/// The line spectral frequencies of a frame, one or two sets as the mode has; `previous` in place
/// of those that cannot be found.
pub(super) fn analyse(
    mode: Mode,
    speech: &[f32; SPEECH_MAX],
    previous: &Frequencies,
) -> [Frequencies; 2] {
    let tables = &*TABLES;
    match mode {
        Mode::Ms20 => {
            let lsf =
                frequencies(&speech[SPEECH_MAX - WINDOW..], &tables.late).unwrap_or(*previous);
            [lsf; 2]
        }
        Mode::Ms30 => {
            let first = frequencies(&speech[..WINDOW], &tables.hann).unwrap_or(*previous);
            let second = frequencies(&speech[SPEECH_MAX - WINDOW..], &tables.late).unwrap_or(first);
            [first, second]
        }
    }
}

fn frequencies(speech: &[f32], window: &[f32; WINDOW]) -> Option<Frequencies> {
    let mut windowed = [0.0; WINDOW + ORDER];
    for ((output, sample), weight) in windowed.iter_mut().zip(speech).zip(window) {
        *output = sample * weight;
    }
    to_frequencies(&predictor(&autocorrelation(&windowed)))
}

fn autocorrelation(windowed: &[f32; WINDOW + ORDER]) -> [f32; ORDER + 1] {
    const LANES: usize = 16;
    let mut sums = [[0.0; LANES]; ORDER + 1];
    for at in (0..WINDOW).step_by(LANES) {
        for (lag, sums) in sums.iter_mut().enumerate() {
            for lane in 0..LANES {
                sums[lane] += windowed[at + lane] * windowed[at + lane + lag];
            }
        }
    }
    std::array::from_fn(|lag| sums[lag].iter().sum::<f32>() * LAG_WINDOW[lag])
}

/// The predictor for an autocorrelation, by Levinson's and Durbin's recursion, its spectrum
/// smoothed (§3.2.2).
fn predictor(autocorrelation: &[f32; ORDER + 1]) -> Predictor {
    let mut a = [0.0_f32; ORDER];
    let mut error = autocorrelation[0];
    for order in 0..ORDER {
        // Silence has no spectrum, and neither has what rounding made unpredictable.
        if error <= f32::EPSILON * autocorrelation[0] {
            break;
        }
        let past = a[..order]
            .iter()
            .zip(autocorrelation[1..=order].iter().rev());
        let sum = autocorrelation[order + 1] + past.map(|(a, r)| a * r).sum::<f32>();
        let reflection = -sum / error;
        let before = a;
        for at in 0..order {
            a[at] += reflection * before[order - 1 - at];
        }
        a[order] = reflection;
        error *= 1.0 - reflection * reflection;
    }
    expand(&a, CHIRP)
}

/// Draws the poles of 1/A(z) inwards: A(z/factor).
pub(super) fn expand(a: &Predictor, factor: f32) -> Predictor {
    let mut power = 1.0;
    a.map(|a| {
        power *= factor;
        a * power
    })
}

/// The line spectral frequencies of a predictor; `None` if they are not ten, as with one that is
/// not stable.
fn to_frequencies(a: &Predictor) -> Option<Frequencies> {
    let (symmetric, antisymmetric) = polynomials(a);
    let mut roots = [0.0; ORDER];
    let even = find_roots(&symmetric)?;
    let odd = find_roots(&antisymmetric)?;
    for (pair, (even, odd)) in roots
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip(even.into_iter().zip(odd))
    {
        *pair = [even.acos(), odd.acos()];
    }
    roots.is_sorted().then_some(roots)
}

/// A sum of Chebyshev polynomials of the first kind, from degree 0 on.
type Chebyshev = [f32; ORDER / 2 + 1];

/// The two polynomials in cos ω whose roots are the line spectral frequencies: from
/// A(z) ± z^-11·A(1/z), without their roots at 0 and π.
fn polynomials(a: &Predictor) -> (Chebyshev, Chebyshev) {
    const HALF: usize = ORDER / 2;
    let (mut sum, mut difference) = ([1.0; HALF + 1], [1.0; HALF + 1]);
    for at in 0..HALF {
        let (low, high) = (a[at], a[ORDER - 1 - at]);
        sum[at + 1] = low + high - sum[at];
        difference[at + 1] = low - high + difference[at];
    }
    let to_series = |mirrored: Chebyshev| {
        let mut series: Chebyshev = std::array::from_fn(|degree| 2.0 * mirrored[HALF - degree]);
        series[0] /= 2.0;
        series
    };
    (to_series(sum), to_series(difference))
}

/// By Clenshaw's recurrence.
fn evaluate(series: &Chebyshev, x: f32) -> f32 {
    let (mut last, mut before) = (0.0, 0.0);
    for coefficient in series[1..].iter().rev() {
        (last, before) = (2.0 * x * last - before + coefficient, last);
    }
    x * last - before + series[0]
}

/// The five roots between 1 and -1, in falling order; `None` if there are not as many.
fn find_roots(series: &Chebyshev) -> Option<[f32; ORDER / 2]> {
    const COUNT: usize = ORDER / 2;
    let grid = &TABLES.grid;
    let values = grid.map(|x| evaluate(series, x));
    let (mut above, mut below, mut found) = ([0.0; COUNT], [0.0; COUNT], 0);
    for at in 1..GRID {
        if (values[at - 1] < 0.0) != (values[at] < 0.0) && found < COUNT {
            above[found] = grid[at - 1];
            below[found] = grid[at];
            found += 1;
        }
    }
    if found < COUNT {
        return None;
    }
    // At 1 the polynomial is positive, and it changes its sign at each root.
    let signs: [f32; COUNT] = std::array::from_fn(|root| if root % 2 == 0 { 1.0 } else { -1.0 });
    for _ in 0..HALVINGS {
        let middle: [f32; COUNT] = std::array::from_fn(|root| 0.5 * (above[root] + below[root]));
        let values = middle.map(|x| evaluate(series, x));
        for root in 0..COUNT {
            let is_above = values[root] * signs[root] > 0.0;
            above[root] = if is_above { middle[root] } else { above[root] };
            below[root] = if is_above { below[root] } else { middle[root] };
        }
    }
    Some(std::array::from_fn(|root| {
        0.5 * (above[root] + below[root])
    }))
}
