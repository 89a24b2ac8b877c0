//! The discrete Fourier transform in two dimensions, of any sides.

/// Real and imaginary part.
pub(super) type Complex = [f64; 2];

/// Transforms rows of numbers: halves them while their length is even, and sums what is left by the
/// definition.
pub(super) struct Fourier {
    /// `exp(-2 pi i k / length)`
    roots: Vec<Complex>,
}

impl Fourier {
    pub(super) fn new(length: usize) -> Self {
        let root = |k: usize| {
            let angle = -std::f64::consts::TAU * k as f64 / length as f64;
            [angle.cos(), angle.sin()]
        };
        Self {
            roots: (0..length).map(root).collect(),
        }
    }

    /// # Shapes
    /// - input, output: as many numbers as there are roots
    pub(super) fn transform(&self, input: &[Complex], output: &mut [Complex]) {
        self.part(input, 1, output);
    }

    /// The transform of every `step`-th number from the first on.
    fn part(&self, input: &[Complex], step: usize, output: &mut [Complex]) {
        let length = output.len();
        if length.is_multiple_of(2) {
            let (low, high) = output.split_at_mut(length / 2);
            self.part(input, 2 * step, low);
            self.part(&input[step..], 2 * step, high);
            for (k, (low, high)) in low.iter_mut().zip(high).enumerate() {
                let turned = times(*high, self.roots[k * step]);
                *high = [low[0] - turned[0], low[1] - turned[1]];
                *low = [low[0] + turned[0], low[1] + turned[1]];
            }
            return;
        }
        for (k, sum) in output.iter_mut().enumerate() {
            *sum = [0.0; 2];
            for (j, value) in input.iter().step_by(step).take(length).enumerate() {
                let turned = times(*value, self.roots[j * k % length * step]);
                *sum = [sum[0] + turned[0], sum[1] + turned[1]];
            }
        }
    }
}

fn times(a: Complex, b: Complex) -> Complex {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_random::Stream;

    #[test]
    fn the_transform_is_that_of_its_definition() {
        for length in [1, 2, 3, 8, 12, 15, 20, 64] {
            let mut stream = Stream::new(length as u64, "signal");
            let signal: Vec<Complex> = (0..length)
                .map(|_| [stream.normal_f64(), stream.normal_f64()])
                .collect();
            let mut found = vec![[0.0; 2]; length];
            Fourier::new(length).transform(&signal, &mut found);
            for (k, found) in found.iter().enumerate() {
                let mut sum = [0.0; 2];
                for (j, value) in signal.iter().enumerate() {
                    let angle = -std::f64::consts::TAU * (j * k) as f64 / length as f64;
                    let turned = times(*value, [angle.cos(), angle.sin()]);
                    sum = [sum[0] + turned[0], sum[1] + turned[1]];
                }
                assert!((found[0] - sum[0]).abs() < 1e-11 && (found[1] - sum[1]).abs() < 1e-11);
            }
        }
    }
}
