//! Tasks over the machine's threads, handed out one at a time.
//!
//! The caller cuts the work, from the sizes alone and never from the thread count; chance only decides who
//! runs which piece. So results have the same bits on one thread and on many, as long as each task writes its own
//! piece and partial sums are combined in the order of the tasks, not of their completion.

use crate::team;
use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads share the work: as many as rayon's pool has that the caller is in, else its global one.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Runs `task(0)` to `task(count - 1)`, each once, in no fixed order.
///
/// Free threads take the next index as they come, so tasks may differ in cost. With one task, or one [thread](threads),
/// everything runs in order on the calling thread. The caller works too, so that two threads occupy two cores and not
/// three. The others are a team of our own, which takes up work faster than a pool that has gone to sleep; while
/// another call has the team, rayon's pool stands in.
pub fn for_each(count: usize, task: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    on_threads(count, || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            task(index);
        }
    });
}

/// Runs `task(index, item)` for each item, as [`for_each`] does for indices.
///
/// Made for handing out disjoint mutable pieces without `unsafe`:
///
/// ```
/// let mut values = vec![1.0_f32; 100];
/// let mut totals = vec![0.0_f32; 7];
/// let pieces = values.chunks_mut(16).zip(&mut totals);
/// trompe_kernels::parallel::for_each_item(pieces, |index, (piece, total)| {
///     piece.fill(index as f32);
///     *total = piece.iter().sum();
/// });
/// assert_eq!(totals, [0.0, 16.0, 32.0, 48.0, 64.0, 80.0, 24.0]);
/// ```
pub fn for_each_item<Items>(items: Items, task: impl Fn(usize, Items::Item) + Sync)
where
    Items: ExactSizeIterator + Send,
{
    let count = items.len();
    let queue = Mutex::new(items.enumerate());
    on_threads(count, || {
        loop {
            // The guard must fall before the task runs, hence the statement of its own. A poisoned queue means that
            // another task panicked: stop here and let its panic travel.
            let item = queue.lock().ok().and_then(|mut queue| queue.next());
            let Some((index, item)) = item else { break };
            task(index, item);
        }
    });
}

/// A mutable slice that several tasks write at once, each its own numbers.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable slice whose parts go to different threads; each number has one task that
// may write it, which is for the unsafe writes through `at` to keep.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// Where number `index` lies. Writing through the pointer is for the one task that owns the number.
    ///
    /// # Panics
    /// If the slice ends before `index`.
    pub(crate) fn at(&self, index: usize) -> *mut T {
        assert!(index <= self.len, "number {index} of {}", self.len);
        // SAFETY: within the slice, or one past its end.
        unsafe { self.start.add(index) }
    }
}

/// Runs `work` on as many threads as there are tasks for, the caller among them, and waits.
fn on_threads(tasks: usize, work: impl Fn() + Sync) {
    let threads = rayon::current_num_threads().min(tasks);
    if threads <= 1 {
        return work();
    }
    if team::run(threads - 1, &work) {
        return;
    }
    rayon::in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| work());
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    }

    #[test]
    fn every_index_runs_exactly_once_on_any_number_of_threads() {
        for threads in [1, 2, 4] {
            let visits: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
            pool(threads).install(|| {
                for_each(visits.len(), |index| {
                    visits[index].fetch_add(1, Ordering::Relaxed);
                });
            });
            assert!(
                visits
                    .iter()
                    .all(|visit| visit.load(Ordering::Relaxed) == 1)
            );
        }
    }

    #[test]
    fn callers_do_not_wait_for_each_other() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool(3).install(|| {
                            for_each(5, |index| {
                                total.fetch_add(index, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 200 * 10);
    }

    #[test]
    fn work_comes_in_time_after_a_long_pause() {
        pool(2).install(|| {
            for pause in [0, 50, 150, 1000] {
                std::thread::sleep(std::time::Duration::from_micros(pause));
                let total = AtomicUsize::new(0);
                for_each(100, |index| {
                    total.fetch_add(index, Ordering::Relaxed);
                });
                assert_eq!(total.into_inner(), 4950);
            }
        });
    }

    #[test]
    fn tasks_may_start_tasks() {
        let total = AtomicUsize::new(0);
        pool(2).install(|| {
            for_each(4, |outer| {
                for_each(5, |inner| {
                    total.fetch_add(outer * inner, Ordering::Relaxed);
                });
            });
        });
        assert_eq!(total.into_inner(), 60);
    }

    #[test]
    fn no_tasks_is_no_work() {
        for_each(0, |_| panic!("ran a task that does not exist"));
        for_each_item([0_u8; 0].iter(), |_, _| {
            panic!("ran a task that does not exist")
        });
    }

    #[test]
    fn items_arrive_with_their_index() {
        let mut values = vec![0_usize; 103];
        pool(4).install(|| {
            for_each_item(values.chunks_mut(10), |index, chunk| chunk.fill(index));
        });
        assert!(
            values
                .iter()
                .enumerate()
                .all(|(at, value)| *value == at / 10)
        );
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller() {
        let outcome = std::panic::catch_unwind(|| {
            pool(2).install(|| for_each_item(0..50_usize, |index, _| assert_ne!(index, 20)));
        });
        assert!(outcome.is_err());
    }
}
