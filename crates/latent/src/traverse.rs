//! One latent along one direction.

/// `steps` latents that differ from `base` along `direction` only, where they lie at even distances
/// from `-range` to `range`.
///
/// What `base` had along the direction is replaced, not added to: `range` is in standard deviations of
/// the prior, and 3 covers nearly all of it whatever the base. The direction is taken at length 1.
///
/// # Panics
/// When base and direction differ in length.
pub fn traverse(base: &[f32], direction: &[f32], range: f32, steps: usize) -> Vec<Vec<f32>> {
    assert_eq!(base.len(), direction.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let square = dot(direction, direction).max(f64::MIN_POSITIVE);
    let (length, along) = (square.sqrt(), dot(base, direction) / square);
    let at = |step: usize| {
        let last = steps.saturating_sub(1).max(1) as f64;
        let position = f64::from(range) * (2.0 * step as f64 / last - 1.0);
        let move_by = position / length - along;
        base.iter()
            .zip(direction)
            .map(|(&base, &direction)| (f64::from(base) + move_by * f64::from(direction)) as f32)
            .collect()
    };
    (0..steps).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_takes_the_place_of_its_entry() {
        let latents = traverse(&[5.0, 1.0], &[1.0, 0.0], 3.0, 5);
        let expected = [-3.0, -1.5, 0.0, 1.5, 3.0].map(|entry| vec![entry, 1.0]);
        assert_eq!(latents, expected);
    }

    #[test]
    fn what_is_at_right_angles_stays() {
        let latents = traverse(&[2.0, 0.0], &[1.0, 1.0], 1.0, 2);
        // [2, 0] is [1, 1] along the direction and [1, -1] across it.
        let half = 0.5f32.sqrt();
        for (latent, end) in latents.iter().zip([-half, half]) {
            assert!((latent[0] - (1.0 + end)).abs() < 1e-6);
            assert!((latent[1] - (-1.0 + end)).abs() < 1e-6);
        }
    }
}
