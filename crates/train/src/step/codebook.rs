//! How a codebook follows the vectors of a batch that ranks share.

use crate::moment::Moment;
use crate::recipe::CodebookObjective;
use burn::tensor::{Int, Tensor, TensorData};
use std::sync::Arc;
use trompe_models::vae::{CodeUse, Codebook};
use trompe_ops::{Collective, RankLost};
use trompe_random::{Permutation, Stream};

/// Rounds in which cluster centres find their places; they hardly move after so many.
const ROUNDS: usize = 10;

/// What the encoder made of this rank's share of a batch.
pub(super) struct Vectors {
    /// `[vectors, entries]`, outside autodiff
    own: Tensor<2>,
    collective: Arc<dyn Collective>,
}

impl Vectors {
    pub(super) fn new(own: Tensor<2>, moment: &Moment) -> Self {
        Self {
            own,
            collective: Arc::clone(&moment.collective),
        }
    }

    /// `exp(-sum p log p)` of the shares `p` of codes in the whole batch, `[1]`: as many codes, used
    /// equally, would be as hard to guess.
    pub(super) fn perplexity(
        &self,
        codes: &Tensor<1, Int>,
        count: usize,
    ) -> Result<Tensor<1>, RankLost> {
        let ones = Tensor::ones([codes.dims()[0]], &self.own.device());
        let counts = Tensor::<1>::zeros([count], &self.own.device());
        let counts =
            counts.select_assign(0, codes.clone(), ones, burn::tensor::IndexingUpdateOp::Add);
        let counts = self.sum(counts)?;
        let shares = counts.clone() / counts.sum();
        let terms = shares.clone() * (shares + f64::from(f32::MIN_POSITIVE)).log();
        Ok((-terms.sum()).exp())
    }

    /// The codebook after this batch.
    pub(super) fn follow(
        &self,
        codebook: Codebook,
        codes: Tensor<1, Int>,
        course: &CodebookObjective,
        seed: u64,
        moment: &Moment,
    ) -> Result<Codebook, RankLost> {
        let used = self.used(&codebook, codes)?;
        let mut stream = Stream::new(seed, "fresh codes").at(moment.seen);
        let all = self.len() as u64;
        let places: Vec<usize> = (0..codebook.codes())
            .map(|_| stream.below(all) as usize)
            .collect();
        let fresh = self.pick(&places)?;
        let least = course.restart_below * all as f64 / codebook.codes() as f64;
        // An untrained encoder moves fast: means of the last hundred steps would be left behind, and all
        // vectors would fall to one code.
        let steps = (moment.seen / moment.batch) as f64;
        let decay = course.decay.min((1.0 + steps) / (10.0 + steps));
        Ok(codebook.follow(used, decay, least, fresh))
    }

    /// A codebook at the centres of clusters (Lloyd 1982), which begin as random vectors.
    pub(super) fn clusters(
        &self,
        mut codebook: Codebook,
        seed: u64,
        moment: &Moment,
    ) -> Result<Codebook, RankLost> {
        let all = self.len();
        // Different vectors, as long as there are any.
        let order = Permutation::new(all as u64, seed, moment.seen);
        let places: Vec<usize> = (0..codebook.codes())
            .map(|code| order.get((code % all) as u64) as usize)
            .collect();
        let mut centres = self.pick(&places)?;
        let ones = Tensor::<1>::ones([codebook.codes()], &self.own.device());
        let mut counts = ones.clone();
        for _ in 0..ROUNDS {
            codebook = codebook.with_totals(ones.clone(), centres.clone());
            let codes = codebook.nearest(self.own.clone());
            let used = self.used(&codebook, codes)?;
            let is_empty = used.counts.clone().equal_elem(0.0);
            counts = used.counts.mask_fill(is_empty.clone(), 1.0);
            let is_empty = is_empty.unsqueeze_dim::<2>(1).expand(centres.dims());
            let means = used.sums / counts.clone().unsqueeze_dim::<2>(1);
            centres = means.mask_where(is_empty, centres);
        }
        let sums = centres * counts.clone().unsqueeze_dim::<2>(1);
        Ok(codebook.with_totals(counts, sums))
    }

    /// Vectors of the whole batch.
    fn len(&self) -> usize {
        self.own.dims()[0] * self.collective.ranks()
    }

    fn used(&self, codebook: &Codebook, codes: Tensor<1, Int>) -> Result<CodeUse, RankLost> {
        let used = codebook.used(self.own.clone(), codes);
        Ok(CodeUse {
            counts: self.sum(used.counts)?,
            sums: self.sum(used.sums)?,
        })
    }

    /// The vectors at these places of the whole batch.
    fn pick(&self, places: &[usize]) -> Result<Tensor<2>, RankLost> {
        let [count, entries] = self.own.dims();
        let first = self.collective.rank() * count;
        let device = self.own.device();
        // Places of other ranks are zero here, and filled in by the sum.
        let own: Vec<i64> = places
            .iter()
            .map(|place| (place.wrapping_sub(first)).min(count - 1) as i64)
            .collect();
        let own = Tensor::<1, Int>::from_data(TensorData::new(own, [places.len()]), &device);
        let is_own: Vec<f32> = places
            .iter()
            .map(|place| f32::from(u8::from((first..first + count).contains(place))))
            .collect();
        let is_own = Tensor::<2>::from_data(TensorData::new(is_own, [places.len(), 1]), &device);
        let picked = self.own.clone().select(0, own) * is_own;
        self.sum(picked.reshape([places.len(), entries]))
    }

    /// The sum over all ranks.
    fn sum<const D: usize>(&self, values: Tensor<D>) -> Result<Tensor<D>, RankLost> {
        if self.collective.is_alone() {
            return Ok(values);
        }
        let (device, dtype) = (values.device(), values.dtype());
        let shape = values.dims();
        let mut numbers: Vec<f32> = values.into_data().iter::<f32>().collect();
        self.collective.sum(&mut numbers)?;
        let data = TensorData::new(numbers, shape);
        Ok(Tensor::from_data(data, (&device, dtype)))
    }
}
