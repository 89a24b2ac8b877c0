//! Batches made by other threads before they are asked for.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Batch;
use crate::DataError;

/// Threads that make the batches following the last one asked for.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Images in a batch.
    step: u64,
    /// How far the threads may run ahead of the consumer, in images.
    reach: u64,
}

struct State {
    /// The position that will be asked for next.
    wanted: u64,
    /// The first position that no thread has begun.
    next: u64,
    /// Counts the jumps of the consumer; what was begun before the last one is thrown away.
    jump: u64,
    ready: BTreeMap<u64, Result<Batch, DataError>>,
    stopping: bool,
    /// A thread met a defect of ours: the consumer must not wait for it.
    panicked: bool,
}

impl Ahead {
    /// Starts `threads` threads that call `make` with positions `step` apart.
    pub(super) fn new(
        threads: usize,
        step: u64,
        batches_ahead: u64,
        make: impl Fn(u64) -> Result<Batch, DataError> + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            wanted: 0,
            // Nothing is begun before the first question.
            next: u64::MAX,
            jump: 0,
            ready: BTreeMap::new(),
            stopping: false,
            panicked: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            step,
            reach: step * batches_ahead,
        });
        let make = Arc::new(make);
        let threads = (0..threads)
            .map(|_| {
                let (shared, make) = (Arc::clone(&shared), Arc::clone(&make));
                std::thread::spawn(move || shared.work(make.as_ref()))
            })
            .collect();
        Self { shared, threads }
    }

    /// The batch at `position`: usually ready, and always the same as if it were made just now.
    pub(super) fn take(&mut self, position: u64) -> Result<Batch, DataError> {
        let mut state = self.shared.lock();
        if state.wanted != position || state.next == u64::MAX {
            state.jump += 1;
            state.ready.clear();
            state.next = position;
            state.wanted = position;
            self.shared.changed.notify_all();
        }
        loop {
            if let Some(batch) = state.ready.remove(&position) {
                state.wanted = position + self.shared.step;
                self.shared.changed.notify_all();
                return batch;
            }
            assert!(!state.panicked, "a thread that reads ahead panicked");
            state = self.shared.wait(state);
        }
    }
}

impl Shared {
    fn work(&self, make: &(dyn Fn(u64) -> Result<Batch, DataError> + Send + Sync)) {
        let mut state = self.lock();
        while !state.stopping {
            if state.next >= state.wanted.saturating_add(self.reach) {
                state = self.wait(state);
                continue;
            }
            let (position, jump) = (state.next, state.jump);
            state.next += self.step;
            drop(state);
            let batch = catch_unwind(AssertUnwindSafe(|| make(position)));
            state = self.lock();
            let Ok(batch) = batch else {
                state.panicked = true;
                self.changed.notify_all();
                return;
            };
            if state.jump == jump {
                state.ready.insert(position, batch);
                self.changed.notify_all();
            }
        }
    }

    // Nothing panics while it holds the lock; the state is whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: std::sync::MutexGuard<'a, State>,
    ) -> std::sync::MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was already reported by its thread.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use trompe_images::{Channels, ImageSpec, Levels};

    use super::*;

    fn batch(position: u64) -> Batch {
        Batch {
            spec: ImageSpec::new(1, 1, Channels::Gray),
            levels: Levels::FULL,
            pixels: vec![position as u8],
            labels: None,
            label_vectors: None,
            indices: vec![position as usize],
        }
    }

    #[test]
    fn batches_come_in_the_order_of_the_questions() {
        for threads in [1, 3] {
            let mut ahead = Ahead::new(threads, 4, 2, |position| Ok(batch(position)));
            for position in [0, 4, 8, 100, 104, 8, 12, 0] {
                assert_eq!(ahead.take(position).unwrap(), batch(position));
            }
        }
    }

    #[test]
    fn threads_do_not_run_further_ahead_than_allowed() {
        let furthest = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&furthest);
        let mut ahead = Ahead::new(2, 10, 3, move |position| {
            seen.fetch_max(position, Ordering::SeqCst);
            Ok(batch(position))
        });
        ahead.take(0).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        // After position 0 was taken, 10, 20 and 30 may be made.
        assert_eq!(furthest.load(Ordering::SeqCst), 30);
    }

    #[test]
    #[should_panic(expected = "reads ahead panicked")]
    fn a_panic_in_a_thread_reaches_the_consumer() {
        let mut ahead = Ahead::new(1, 1, 2, |_| panic!("a defect"));
        let _ = ahead.take(0);
    }

    #[test]
    fn errors_arrive_where_they_belong() {
        let mut ahead = Ahead::new(2, 1, 4, |position| match position {
            2 => Err(DataError::Empty {
                what: "nothing".to_string(),
            }),
            _ => Ok(batch(position)),
        });
        assert!(ahead.take(1).is_ok());
        assert!(ahead.take(2).is_err());
        assert!(ahead.take(3).is_ok());
    }
}
