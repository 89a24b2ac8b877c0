//! The list of vectors of a VQ-VAE, which follows what the encoder makes.

use super::Quantised;
use burn::module::{Module, Param};
use burn::tensor::{Bool, Int, Tensor};
use trompe_layers::{Fill, Init};

/// Added to counts, so that codes that nobody uses have a place too (Razavi et al. 2019, appendix A).
const EPSILON: f64 = 1e-5;

/// Vectors that are running means of the encoder's (van den Oord et al. 2017, appendix A.1).
#[derive(Module, Debug)]
pub struct Codebook {
    /// What codes stand for `[codes, entries]`.
    pub embeddings: Param<Tensor<2>>,
    /// Running number of vectors in a batch that each code replaced `[codes]`.
    pub counts: Param<Tensor<1>>,
    /// Running sum of them `[codes, entries]`.
    pub sums: Param<Tensor<2>>,
}

/// What a batch did with a codebook.
#[derive(Debug, Clone)]
pub struct CodeUse {
    /// Vectors that each code replaced `[codes]`.
    pub counts: Tensor<1>,
    /// Their sum `[codes, entries]`.
    pub sums: Tensor<2>,
}

impl Codebook {
    pub(super) fn new([codes, entries]: [usize; 2], init: &Init) -> Self {
        let normal = Fill::Normal {
            mean: 0.0,
            deviation: 1.0,
        };
        Self {
            embeddings: init.drawn_state("embeddings", [codes, entries], normal),
            counts: init.state("counts", [codes], 0.0),
            sums: init.state("sums", [codes, entries], 0.0),
        }
    }

    /// How many codes there are.
    pub fn codes(&self) -> usize {
        self.embeddings.dims()[0]
    }

    /// Numbers of a vector.
    pub fn entries(&self) -> usize {
        self.embeddings.dims()[1]
    }

    /// The nearest code of each vector; of equally near ones the first.
    ///
    /// # Shapes
    /// - vectors: `[vectors, entries]`, outside autodiff
    /// - returns: `[vectors]`
    pub fn nearest(&self, vectors: Tensor<2>) -> Tensor<1, Int> {
        let embeddings = self.embeddings.val().inner();
        let lengths = embeddings.clone().square().sum_dim(1).transpose();
        // The vector's own length is the same for all codes.
        let distances = lengths - vectors.matmul(embeddings.transpose()) * 2.0;
        distances.argmin(1).flatten(0, 1)
    }

    pub(super) fn quantise(&self, vectors: Tensor<2>) -> Quantised {
        let plain = vectors.clone().inner();
        let codes = self.nearest(plain.clone());
        let gap = self.embeddings.val().inner().select(0, codes.clone()) - plain;
        let gap = if vectors.is_autodiff() {
            gap.autodiff()
        } else {
            gap
        };
        Quantised {
            replaced: vectors.clone() + gap,
            vectors,
            codes,
        }
    }

    pub(super) fn vectors_of(&self, codes: Tensor<1, Int>) -> Tensor<2> {
        self.embeddings.val().select(0, codes)
    }

    /// What vectors did with the codes that they got.
    ///
    /// # Shapes
    /// - vectors: `[vectors, entries]`, outside autodiff
    /// - codes: `[vectors]`
    pub fn used(&self, vectors: Tensor<2>, codes: Tensor<1, Int>) -> CodeUse {
        // A product of matrices adds in the same order each time.
        let chosen = self.one_hot(codes, &vectors);
        CodeUse {
            counts: chosen.clone().sum_dim(0).flatten(0, 1),
            sums: chosen.transpose().matmul(vectors),
        }
    }

    /// `[vectors, codes]`, 1 where a vector has a code.
    fn one_hot(&self, codes: Tensor<1, Int>, like: &Tensor<2>) -> Tensor<2> {
        let all = Tensor::<1, Int>::arange(0..self.codes() as i64, &codes.device());
        let is_code: Tensor<2, Bool> = codes.unsqueeze_dim::<2>(1).equal(all.unsqueeze_dim::<2>(0));
        is_code.float().cast(like.dtype())
    }

    /// Moves codes towards what a batch used them for; those that are hardly used any more begin anew as
    /// one of the `fresh` vectors.
    ///
    /// # Shapes
    /// - fresh: `[codes, entries]`, outside autodiff
    pub fn follow(self, used: CodeUse, decay: f64, least: f64, fresh: Tensor<2>) -> Self {
        let counts = self.counts.val().inner() * decay + used.counts * (1.0 - decay);
        let sums = self.sums.val().inner() * decay + used.sums * (1.0 - decay);
        let is_dead = counts.clone().lower_elem(least);
        let counts = counts.mask_fill(is_dead.clone(), least);
        let is_dead: Tensor<2, Bool> = is_dead.unsqueeze_dim::<2>(1).expand(fresh.dims());
        let sums = sums.mask_where(is_dead, fresh * least);
        self.with_totals(counts, sums)
    }

    /// The codes that these counts and sums are the totals of.
    pub fn with_totals(mut self, counts: Tensor<1>, sums: Tensor<2>) -> Self {
        let codes = self.codes() as f64;
        let all = counts.clone().sum();
        // As many in all as before, none of them zero.
        let smooth = (counts.clone() + EPSILON) / (all.clone() + codes * EPSILON) * all;
        let embeddings = sums.clone() / smooth.unsqueeze_dim::<2>(1);
        self.embeddings = replaced(self.embeddings, embeddings);
        self.counts = replaced(self.counts, counts);
        self.sums = replaced(self.sums, sums);
        self
    }
}

fn replaced<const D: usize>(state: Param<Tensor<D>>, value: Tensor<D>) -> Param<Tensor<D>> {
    state.map(|old| {
        let value = if old.is_autodiff() {
            value.autodiff()
        } else {
            value
        };
        value.set_require_grad(false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn codebook(embeddings: [[f32; 2]; 3]) -> Codebook {
        let device = Device::flex();
        let codebook = Codebook::new([3, 2], &Init::new(0, &device));
        let sums = Tensor::from_floats(embeddings, &device);
        codebook.with_totals(Tensor::ones([3], &device) * 10.0, sums * 10.0)
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn a_vector_gets_the_nearest_code_and_its_gradient_passes() {
        let codebook = codebook([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]]);
        let device = Device::flex().autodiff();
        let vectors = Tensor::<2>::from_floats([[0.7, 0.1], [-3.0, 0.2], [0.4, 2.5]], &device);
        let vectors = vectors.require_grad();
        let quantised = Quantised {
            ..codebook.quantise(vectors.clone())
        };
        let codes: Vec<i64> = quantised.codes.to_data().iter::<i64>().collect();
        assert_eq!(codes, [1, 0, 2]);
        let weights = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
        let gradients = (quantised.replaced * weights).sum().backward();
        let gradient = vectors.grad(&gradients).unwrap();
        assert_eq!(values(gradient), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn codes_become_running_means_and_idle_ones_begin_anew() {
        let device = Device::flex();
        let codebook = codebook([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]]);
        let vectors = Tensor::<2>::from_floats([[1.2, 0.2], [1.4, 0.4], [0.0, 5.0]], &device);
        let codes = codebook.nearest(vectors.clone());
        let used = codebook.used(vectors, codes);
        assert_eq!(values(used.counts.clone()), [0.0, 2.0, 1.0]);
        let fresh = Tensor::<2>::from_floats([[7.0, 8.0]; 3], &device);
        // Counts become 9, 9.2 and 9.1 by a decay of 0.9: only the first is below 9.05.
        let codebook = codebook.follow(used, 0.9, 9.05, fresh);
        let expected = [
            7.0,
            8.0,
            (0.9 * 10.0 + 0.1 * 2.6) / 9.2,
            0.1 * 0.6 / 9.2,
            0.0,
            (0.9 * 40.0 + 0.1 * 5.0) / 9.1,
        ];
        for (found, expected) in values(codebook.embeddings.val()).iter().zip(expected) {
            // The counts' epsilon of 1e-5 in 9.
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }
}
