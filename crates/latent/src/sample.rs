//! The latent of a seed.

use trompe_random::Stream;

/// The latent that belongs to `seed`, each entry normal with standard deviation `temperature`.
///
/// It depends on these arguments alone: image 7 is image 7 in any batch and on any machine. A
/// temperature below 1 stays near the middle of the prior, where images are more typical and less
/// varied.
pub fn sample(seed: u64, entries: usize, temperature: f32) -> Vec<f32> {
    let mut latent = vec![0.0; entries];
    Stream::new(seed, "latent").fill_normal(&mut latent);
    for entry in &mut latent {
        *entry *= temperature;
    }
    latent
}

/// The numbers in [0, 1) that choose the codes of `seed`, one for each place.
pub fn sample_uniform(seed: u64, places: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; places];
    Stream::new(seed, "codes").fill_uniform(&mut numbers);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_latent() {
        assert_eq!(sample(7, 20, 1.0), sample(7, 20, 1.0));
        assert_ne!(sample(7, 20, 1.0), sample(8, 20, 1.0));
        // A longer latent starts with the shorter one.
        assert_eq!(sample(7, 20, 1.0)[..5], sample(7, 5, 1.0));
    }

    #[test]
    fn temperature_scales_the_distance_from_the_middle() {
        let (full, half) = (sample(3, 8, 1.0), sample(3, 8, 0.5));
        assert!(
            full.iter()
                .zip(&half)
                .all(|(full, half)| *half == 0.5 * full)
        );
        assert_eq!(sample(3, 8, 0.0), [0.0; 8]);
    }
}
