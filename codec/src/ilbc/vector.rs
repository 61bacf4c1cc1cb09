//! The arithmetic that most of the time goes into, compiled for the processor that is there.
//!
//! Results differ in rounding between processors with fused multiplication and without.

use super::ORDER;
use super::spectrum::Predictor;

/// Defines a function that runs `$body`, compiled for AVX2 and FMA where the processor has them.
macro_rules! fastest {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $output:ty)? = $body:ident) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) $(-> $output)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $type),*) $(-> $output)? {
                    $body::<true>($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // JUSTIFICATION: the compiler does not know what the processor has.
                    // SAFETY: the one requirement of a function with target features is that the
                    // processor has them, and it has just been asked for each.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body::<false>($($arg),*)
        }
    };
}

fastest! {
    /// The sum of products, as far as both reach.
    fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

fastest! {
    /// What `block` has in common with each stretch of `memory`, by where the stretch begins; there
    /// are 56, 64 or 112 of them. `memory` is longer than `products` by a block at least.
    fn correlate(block: &[f32], memory: &[f32], products: &mut [f32]) = correlate_body
}

fastest! {
    /// Filters the samples after the first [`ORDER`] of `buffer` by 1/A(z), in place; the first are
    /// the filter's output so far.
    fn all_pole(a: &Predictor, buffer: &mut [f32]) = all_pole_body
}

fastest! {
    /// Adds to each of `sums` the samples from its place on, times `taps`. There are more samples
    /// than sums, by all taps but one.
    fn add_filtered(taps: &[f32], samples: &[f32], sums: &mut [f32]) = add_filtered_body
}

fastest! {
    /// Takes the two last outputs from each sample, times `poles`; the last two outputs are those of
    /// `past`, the latest first.
    fn resonate(poles: &[f32; 2], past: &mut [f32; 2], samples: &mut [f32]) = resonate_body
}

/// Less than any sample, but enough that filters which have heard nothing for long do not end up
/// with numbers too small for fast arithmetic.
const TINY: f32 = 1e-18;

/// `a · b + c`.
#[inline(always)]
fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] = mul_add::<FMA>(a[lane], b[lane], sums[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

#[inline(always)]
fn correlate_body<const FMA: bool>(block: &[f32], memory: &[f32], products: &mut [f32]) {
    if products.len() == 64 {
        correlate_lanes::<FMA, 8>(block, memory, products);
    } else {
        correlate_lanes::<FMA, 7>(block, memory, products);
    }
}

/// As many times eight stretches at once as there are registers for.
#[inline(always)]
fn correlate_lanes<const FMA: bool, const REGISTERS: usize>(
    block: &[f32],
    memory: &[f32],
    products: &mut [f32],
) {
    let (chunks, _) = products.as_chunks_mut::<8>();
    for (number, chunks) in chunks.chunks_exact_mut(REGISTERS).enumerate() {
        let mut sums = [[0.0; 8]; REGISTERS];
        for (sample, from) in block.iter().zip(number * REGISTERS * 8..) {
            let window = memory[from..from + REGISTERS * 8].as_chunks::<8>().0;
            for (sums, window) in sums.iter_mut().zip(window) {
                for lane in 0..8 {
                    sums[lane] = mul_add::<FMA>(*sample, window[lane], sums[lane]);
                }
            }
        }
        chunks.copy_from_slice(&sums);
    }
}

#[inline(always)]
fn all_pole_body<const FMA: bool>(a: &Predictor, buffer: &mut [f32]) {
    let Some((first, samples)) = buffer.split_first_chunk_mut::<ORDER>() else {
        return;
    };
    let mut past = *first;
    let negative = a.map(|a| -a);
    for sample in samples {
        let mut sum = *sample + TINY;
        // The latest output is used last, since it is there last.
        for (past, negative) in past.iter().zip(negative.iter().rev()) {
            sum = mul_add::<FMA>(*past, *negative, sum);
        }
        let [_, b, c, d, e, f, g, h, i, j] = past;
        past = [b, c, d, e, f, g, h, i, j, sum];
        *sample = sum;
    }
}

#[inline(always)]
fn add_filtered_body<const FMA: bool>(taps: &[f32], samples: &[f32], sums: &mut [f32]) {
    let (chunks, rest) = sums.as_chunks_mut::<8>();
    let from = 8 * chunks.len();
    for (number, sums) in chunks.iter_mut().enumerate() {
        let mut total = *sums;
        for (tap, window) in taps.iter().zip(samples[8 * number..].windows(8)) {
            for lane in 0..8 {
                total[lane] = mul_add::<FMA>(*tap, window[lane], total[lane]);
            }
        }
        *sums = total;
    }
    for (sum, window) in rest.iter_mut().zip(samples[from..].windows(taps.len())) {
        for (tap, sample) in taps.iter().zip(window) {
            *sum = mul_add::<FMA>(*tap, *sample, *sum);
        }
    }
}

#[inline(always)]
fn resonate_body<const FMA: bool>(poles: &[f32; 2], past: &mut [f32; 2], samples: &mut [f32]) {
    let [mut latest, mut earlier] = *past;
    for sample in samples {
        let output = mul_add::<FMA>(-poles[1], earlier, *sample);
        let output = mul_add::<FMA>(-poles[0], latest, output);
        (latest, earlier) = (output, latest);
        *sample = output;
    }
    *past = [latest, earlier];
}

/// Adds to each sample those after it, `len` in all and 63 at most; the last samples have fewer.
pub(super) fn add_up<const N: usize>(samples: &[f32; N], len: usize) -> [f32; N] {
    let (mut sums, mut stretches, mut done) = ([0.0; N], *samples, 0);
    // Stretches of powers of two are made of shorter ones.
    let steps: [fn(&mut [f32; N]); 6] = [
        double::<N, 1>,
        double::<N, 2>,
        double::<N, 4>,
        double::<N, 8>,
        double::<N, 16>,
        double::<N, 32>,
    ];
    for (bit, step) in steps.into_iter().enumerate() {
        if len >> bit & 1 == 1 {
            for (sum, stretch) in sums.iter_mut().zip(&stretches[done..]) {
                *sum += stretch;
            }
            done += 1 << bit;
        }
        if len >> bit > 1 {
            step(&mut stretches);
        }
    }
    sums
}

/// From sums of `WIDTH` samples to those of twice as many.
fn double<const N: usize, const WIDTH: usize>(sums: &mut [f32; N]) {
    for at in 0..N - WIDTH {
        sums[at] += sums[at + WIDTH];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise<const N: usize>(seed: u32) -> [f32; N] {
        let mut random = seed;
        std::array::from_fn(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) as f32 / 32_768.0 - 1.0
        })
    }

    fn assert_near(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() < 1e-4, "{at}: {a} and {b}");
        }
    }

    #[test]
    fn all_processors_calculate_nearly_the_same() {
        let (a, b) = (noise::<203>(1), noise::<203>(2));
        assert_near(&[dot(&a, &b)], &[dot_body::<false>(&a, &b)]);
        for (block, places) in [(40, 112), (40, 56), (22, 64), (23, 64)] {
            let (mut ours, mut plain) = ([0.0; 112], [0.0; 112]);
            correlate(&a[..block], &b, &mut ours[..places]);
            correlate_body::<false>(&a[..block], &b, &mut plain[..places]);
            assert_near(&ours, &plain);
            let direct = [dot(&a[..block], &b[55..55 + block])];
            assert_near(&plain[55..56], &direct);
        }
        let (mut ours, mut plain) = (b, b);
        let predictor = noise::<ORDER>(3).map(|a| a / 10.0);
        all_pole(&predictor, &mut ours);
        all_pole_body::<false>(&predictor, &mut plain);
        assert_near(&ours, &plain);
        add_filtered(&predictor, &a, &mut ours[..147]);
        add_filtered_body::<false>(&predictor, &a, &mut plain[..147]);
        assert_near(&ours, &plain);
        let (mut past, mut past_plain) = ([1.0, 0.5], [1.0, 0.5]);
        resonate(&[-1.9, 0.91], &mut past, &mut ours);
        resonate_body::<false>(&[-1.9, 0.91], &mut past_plain, &mut plain);
        assert_near(&ours, &plain);
        assert_near(&past, &past_plain);
    }

    #[test]
    fn a_filter_undoes_its_inverse() {
        let predictor = [-0.9, 0.3, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0, -0.1, 0.05];
        let samples: [f32; 50] = noise(4);
        let mut filtered = [0.0; 50];
        filtered[..ORDER].copy_from_slice(&samples[..ORDER]);
        crate::ilbc::filter::all_zero(&predictor, &samples, &mut filtered[ORDER..]);
        all_pole(&predictor, &mut filtered);
        assert_near(&filtered, &samples);
    }

    #[test]
    fn sums_of_stretches_are_sums() {
        let samples: [f32; 120] = noise(5);
        for len in [1, 22, 23, 40, 63] {
            let sums = add_up(&samples, len);
            for (at, sum) in sums[..120 - len].iter().enumerate() {
                assert_near(&[*sum], &[samples[at..at + len].iter().sum()]);
            }
        }
    }
}
