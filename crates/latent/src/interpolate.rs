//! From one latent to the next.

/// Whether a path ends where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It ends at the last latent.
    Open,
    /// It returns from the last latent to the first, so that a film of it can repeat without a jump.
    Joined,
}

/// The point at `position` (0 is `from`, 1 is `to`) on the arc between two latents (spherical linear
/// interpolation: White, "Sampling generative networks", 2016).
///
/// Latents of many entries lie near a sphere; the straight line between two of them would leave it
/// and pass through latents that training never saw. Where the arc is not defined, for latents of the
/// same or of opposite direction, it is the straight line.
///
/// # Panics
/// When the latents differ in length.
pub fn slerp(from: &[f32], to: &[f32], position: f32) -> Vec<f32> {
    assert_eq!(from.len(), to.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let position = f64::from(position);
    let lengths = (dot(from, from) * dot(to, to)).sqrt();
    let angle = (dot(from, to) / lengths).clamp(-1.0, 1.0).acos();
    // Too small a sine divides noise by noise; NaN, from a latent of zeros, ends here too.
    let (of_from, of_to) = if angle.sin() > 1e-6 {
        let sine = angle.sin();
        (
            ((1.0 - position) * angle).sin() / sine,
            (position * angle).sin() / sine,
        )
    } else {
        (1.0 - position, position)
    };
    let mix = |(&a, &b): (&f32, &f32)| (of_from * f64::from(a) + of_to * f64::from(b)) as f32;
    from.iter().zip(to).map(mix).collect()
}

/// `frames` latents, evenly spaced along the arcs from each of `stations` to the next.
///
/// An open path begins at the first and ends at the last; a joined one of several frames goes on to
/// the first, and stops one frame before it.
///
/// # Panics
/// Without stations, or when they differ in length.
pub fn path(stations: &[Vec<f32>], frames: usize, ends: Ends) -> Vec<Vec<f32>> {
    assert!(!stations.is_empty(), "a path needs a latent to start from");
    let (arcs, steps) = match ends {
        Ends::Open => (stations.len() - 1, frames.saturating_sub(1)),
        Ends::Joined => (stations.len(), frames),
    };
    let frame = |frame: usize| {
        // Whole numbers as long as possible: a frame that falls on a station is that station.
        let along = frame * arcs;
        let steps = steps.max(1);
        let (arc, rest) = (along / steps, along % steps);
        let from = &stations[arc % stations.len()];
        if rest == 0 {
            return from.clone();
        }
        let to = &stations[(arc + 1) % stations.len()];
        slerp(from, to, rest as f32 / steps as f32)
    };
    (0..frames).map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn length(latent: &[f32]) -> f32 {
        latent.iter().map(|entry| entry * entry).sum::<f32>().sqrt()
    }

    #[test]
    fn the_middle_of_a_quarter_circle_lies_on_the_circle() {
        let middle = slerp(&[2.0, 0.0], &[0.0, 2.0], 0.5);
        // sqrt(2) twice, within the rounding of f32.
        assert!((middle[0] - 2f32.sqrt()).abs() < 1e-6 && middle[0] == middle[1]);
        let third = slerp(&[1.0, 0.0], &[0.0, 1.0], 1.0 / 3.0);
        assert!((third[0] - 0.75f32.sqrt()).abs() < 1e-6 && (third[1] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn arcs_keep_the_length_that_a_straight_line_loses() {
        let (from, to) = (sample(1, 100, 1.0), sample(2, 100, 1.0));
        let shorter = length(&from).min(length(&to));
        for step in 0..=10 {
            assert!(length(&slerp(&from, &to, step as f32 / 10.0)) > 0.99 * shorter);
        }
        let line: Vec<f32> = from.iter().zip(&to).map(|(a, b)| 0.5 * (a + b)).collect();
        assert!(length(&line) < 0.8 * shorter);
    }

    #[test]
    fn where_no_arc_is_defined_the_line_is_taken() {
        assert_eq!(slerp(&[1.0, 2.0], &[2.0, 4.0], 0.5), [1.5, 3.0]);
        assert_eq!(slerp(&[1.0], &[-1.0], 0.25), [0.5]);
        assert_eq!(slerp(&[0.0, 0.0], &[4.0, 0.0], 0.25), [1.0, 0.0]);
    }

    #[test]
    fn an_open_path_visits_all_stations_from_the_first_to_the_last() {
        let stations: Vec<_> = (0..3).map(|seed| sample(seed, 5, 1.0)).collect();
        let frames = path(&stations, 9, Ends::Open);
        assert_eq!(
            [&frames[0], &frames[4], &frames[8]],
            [0, 1, 2].map(|at| &stations[at])
        );
        assert_eq!(frames[1], slerp(&stations[0], &stations[1], 0.25));
    }

    #[test]
    fn a_joined_path_returns_without_repeating_the_first_frame() {
        let stations: Vec<_> = (0..3).map(|seed| sample(seed, 5, 1.0)).collect();
        let frames = path(&stations, 12, Ends::Joined);
        assert_eq!(
            [&frames[0], &frames[4], &frames[8]],
            [0, 1, 2].map(|at| &stations[at])
        );
        assert_eq!(frames[11], slerp(&stations[2], &stations[0], 0.75));
    }

    #[test]
    fn the_shortest_paths_are_paths() {
        let one = vec![vec![1.0f32]];
        assert_eq!(path(&one, 3, Ends::Open), vec![vec![1.0]; 3]);
        assert_eq!(path(&one, 2, Ends::Joined), vec![vec![1.0]; 2]);
        let two = vec![vec![1.0f32], vec![3.0]];
        assert_eq!(path(&two, 1, Ends::Open), [[1.0]]);
        assert!(path(&two, 0, Ends::Open).is_empty());
    }
}
