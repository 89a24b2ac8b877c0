//! Cutting many arrays of any length into tasks of like size.

use crate::parallel;

/// Elements of a piece: five arrays of it, as Adam has, fit a second-level cache.
pub(super) const PIECE: usize = 16_384;

/// Runs `work` on every piece; consecutive short pieces share a task.
///
/// `len` tells a piece's elements. Which pieces share a task changes no result: each is worked on alone.
pub(super) fn for_each<Piece: Send>(
    mut pieces: Vec<Piece>,
    len: impl Fn(&Piece) -> usize,
    work: impl Fn(&mut Piece) + Sync,
) {
    let mut tasks = Vec::new();
    let mut rest = pieces.as_mut_slice();
    while !rest.is_empty() {
        let mut elements = 0;
        let fitting = rest.iter().take_while(|piece| {
            elements += len(piece);
            elements <= PIECE
        });
        let count = fitting.count().max(1);
        let (task, after) = rest.split_at_mut(count);
        tasks.push(task);
        rest = after;
    }
    parallel::for_each_item(tasks.into_iter(), |_, task| task.iter_mut().for_each(&work));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_worked_on_once_whatever_its_size() {
        let lens = [0, PIECE, 1, 5 * PIECE, 0, 3, PIECE - 2, 7];
        let mut visits = [0; 8];
        let pieces: Vec<_> = lens.into_iter().zip(&mut visits).collect();
        for_each(pieces, |(len, _)| *len, |(_, visits)| **visits += 1);
        assert_eq!(visits, [1; 8]);
    }
}
