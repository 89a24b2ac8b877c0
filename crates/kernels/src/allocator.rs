//! An allocator that keeps large blocks for the next step, and counts bytes.
//!
//! A training step frees and asks for the same tens of megabytes again and again. The system's allocator gives such
//! blocks back to the kernel each time and takes page faults on each return (a fresh 17 MB block costs 17 ms, a
//! reused one 2 ms: ENGINE.md, section 2). A binary opts in with
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: trompe_kernels::allocator::Reusing = trompe_kernels::allocator::Reusing::new();
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Blocks up to this size go straight to the system's allocator, which keeps those itself.
const LARGEST_LEFT_ALONE_LOG2: u32 = 16;
/// Eight size classes per doubling: rounding up wastes at most an eighth.
const STEPS_LOG2: u32 = 3;
/// Classes from 64 KiB up to 64 GiB; what is larger is never kept.
const CLASSES: usize = 20 << STEPS_LOG2;
/// Kept blocks start on a cache line, so that a block serves any request of its class.
const ALIGNMENT: usize = 64;

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static KEPT: AtomicUsize = AtomicUsize::new(0);
static EXHAUSTED: OnceLock<fn(usize)> = OnceLock::new();

/// Bytes in use now, as the program asked for them; 0 where [`Reusing`] is not the global allocator.
pub fn current_bytes() -> usize {
    CURRENT.load(Ordering::Relaxed)
}

/// The largest [`current_bytes`] since the start or the last [`reset_peak`].
pub fn peak_bytes() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// Bytes kept for reuse now, on top of those in use.
pub fn kept_bytes() -> usize {
    KEPT.load(Ordering::Relaxed)
}

/// Starts [`peak_bytes`] anew from what is in use now.
pub fn reset_peak() {
    PEAK.store(current_bytes(), Ordering::Relaxed);
}

/// Has `act` called with the bytes that were asked for when the system has no more memory, before the allocation fails.
/// Rust ends the program then, in a way of its own; `act` may end it in another, but must not allocate. The first call
/// counts.
pub fn when_exhausted(act: fn(usize)) {
    EXHAUSTED.get_or_init(|| act);
}

/// The system's allocator with a store of freed large blocks.
///
/// What is kept never makes the program hold more than half above the most that it has used at one time: beyond that,
/// kept blocks go back to the system, largest first.
pub struct Reusing {
    busy: AtomicBool,
    store: UnsafeCell<Store>,
}

// SAFETY: `store` is touched only between `lock` and `unlock`, by one thread at a time.
unsafe impl Sync for Reusing {}

/// Kept blocks by size class, each class a list threaded through the blocks' own first bytes.
struct Store {
    heads: [*mut Kept; CLASSES],
    bytes: usize,
    /// The most bytes in use at one time, never reset: the measure of what may be kept.
    most_used: usize,
}

struct Kept {
    next: *mut Kept,
}

impl Reusing {
    /// An allocator that keeps nothing yet.
    pub const fn new() -> Self {
        let store = Store {
            heads: [null_mut(); CLASSES],
            bytes: 0,
            most_used: 0,
        };
        Self {
            busy: AtomicBool::new(false),
            store: UnsafeCell::new(store),
        }
    }

    /// Gives every kept block back to the system.
    pub fn release(&self) {
        self.with_store(|store| store.shrink_to(0));
    }

    /// A kept block of `class`, if there is one.
    fn reuse(&self, class: usize) -> Option<*mut u8> {
        self.with_store(|store| {
            let block = store.take(class);
            // What the program is about to use beside this may no longer leave room for all that is kept.
            let limit = store.allowance(current_bytes() + class_bytes(class));
            store.shrink_to(limit);
            block
        })
    }

    /// A fresh block; kept ones are given up for it if need be.
    ///
    /// # Safety
    /// As [`GlobalAlloc::alloc`]: the size is not zero.
    unsafe fn fresh(&self, layout: Layout, ask: unsafe fn(&System, Layout) -> *mut u8) -> *mut u8 {
        // SAFETY: the caller's promise is that of `ask`.
        let mut block = unsafe { ask(&System, layout) };
        if block.is_null() {
            self.release();
            // SAFETY: as before.
            block = unsafe { ask(&System, layout) };
        }
        if block.is_null()
            && let Some(act) = EXHAUSTED.get()
        {
            act(layout.size());
        }
        block
    }

    fn with_store<R>(&self, work: impl FnOnce(&mut Store) -> R) -> R {
        // A spin lock, because some platforms' mutexes allocate. It is held for tens of nanoseconds (longer only when
        // blocks go back to the system), a few hundred times a training step.
        while self
            .busy
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            std::thread::yield_now();
        }
        // SAFETY: the flag was false and is ours now, so nobody else holds a reference; `work` cannot allocate through
        // `self`, because everything it does is `Store`'s.
        let result = work(unsafe { &mut *self.store.get() });
        self.busy.store(false, Ordering::Release);
        result
    }
}

impl Default for Reusing {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// A kept block of `class_bytes(class)` bytes.
    fn take(&mut self, class: usize) -> Option<*mut u8> {
        let head = &mut self.heads[class];
        let block = *head;
        if block.is_null() {
            return None;
        }
        // SAFETY: blocks in the lists are ours, longer than a `Kept`, and `put` wrote a `Kept` at their start.
        *head = unsafe { (*block).next };
        self.bytes -= class_bytes(class);
        Some(block.cast())
    }

    /// Keeps a block of `class_bytes(class)` bytes, aligned to `ALIGNMENT`, that nobody uses any more.
    fn put(&mut self, block: *mut u8, class: usize) {
        let kept = block.cast::<Kept>();
        // SAFETY: the block is unused, longer than a `Kept` and more aligned.
        unsafe {
            kept.write(Kept {
                next: self.heads[class],
            })
        };
        self.heads[class] = kept;
        self.bytes += class_bytes(class);
    }

    /// Frees kept blocks, largest first, until at most `limit` bytes are kept.
    fn shrink_to(&mut self, limit: usize) {
        for class in (0..CLASSES).rev() {
            while self.bytes > limit {
                let Some(block) = self.take(class) else { break };
                // SAFETY: the block came from `System.alloc` with this layout and is in no list any more.
                unsafe { System.dealloc(block, class_layout(class)) };
            }
        }
        KEPT.store(self.bytes, Ordering::Relaxed);
    }

    /// How much may be kept while `used` bytes are in use.
    fn allowance(&mut self, used: usize) -> usize {
        self.most_used = self.most_used.max(used);
        (self.most_used + self.most_used / 2).saturating_sub(used)
    }
}

/// The size class that serves a request, unless the request is too small, too large or too aligned to be kept.
fn class_of(layout: Layout) -> Option<usize> {
    let size = layout.size();
    if size <= 1 << LARGEST_LEFT_ALONE_LOG2 || layout.align() > ALIGNMENT {
        return None;
    }
    let doubling = (size - 1).ilog2();
    let step_log2 = doubling - STEPS_LOG2;
    let steps = ((size - 1) >> step_log2) + 1;
    let within = steps - (1 << STEPS_LOG2) - 1;
    let class = (((doubling - LARGEST_LEFT_ALONE_LOG2) as usize) << STEPS_LOG2) + within;
    (class < CLASSES).then_some(class)
}

/// The size of every block of a class.
const fn class_bytes(class: usize) -> usize {
    let doubling = class >> STEPS_LOG2;
    let steps = (1 << STEPS_LOG2) + 1 + (class & ((1 << STEPS_LOG2) - 1));
    steps << (doubling + (LARGEST_LEFT_ALONE_LOG2 - STEPS_LOG2) as usize)
}

fn class_layout(class: usize) -> Layout {
    // SAFETY: the alignment is a power of two and the largest class, 64 GiB, is far below `isize::MAX`.
    unsafe { Layout::from_size_align_unchecked(class_bytes(class), ALIGNMENT) }
}

fn count_in(bytes: usize) {
    let now = CURRENT.fetch_add(bytes, Ordering::Relaxed) + bytes;
    if now > PEAK.load(Ordering::Relaxed) {
        PEAK.fetch_max(now, Ordering::Relaxed);
    }
}

fn count_out(bytes: usize) {
    CURRENT.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: every block comes from `System`, under the request's own layout, or under `class_layout` of the class that the
// layout falls in (longer, and at least as aligned); `dealloc` is given the same layout again and so finds the same
// class. A kept block is in one list once, and out of it before it is handed out.
unsafe impl GlobalAlloc for Reusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = match class_of(layout) {
            None => {
                // SAFETY: the caller's promise.
                unsafe { self.fresh(layout, System::alloc) }
            }
            Some(class) => self.reuse(class).unwrap_or_else(|| {
                // SAFETY: a class's size is not zero.
                unsafe { self.fresh(class_layout(class), System::alloc) }
            }),
        };
        if !block.is_null() {
            count_in(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = match class_of(layout) {
            None => {
                // SAFETY: the caller's promise.
                unsafe { self.fresh(layout, System::alloc_zeroed) }
            }
            Some(class) => match self.reuse(class) {
                Some(block) => {
                    // SAFETY: the block is at least as long as the layout, and ours alone.
                    unsafe { block.write_bytes(0, layout.size()) };
                    block
                }
                None => {
                    // SAFETY: a class's size is not zero. Fresh pages are zero already, which `System` knows.
                    unsafe { self.fresh(class_layout(class), System::alloc_zeroed) }
                }
            },
        };
        if !block.is_null() {
            count_in(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count_out(layout.size());
        match class_of(layout) {
            None => {
                // SAFETY: `alloc` took it from `System` under the same layout.
                unsafe { System.dealloc(block, layout) }
            }
            Some(class) => self.with_store(|store| {
                let used_before = current_bytes() + layout.size();
                store.allowance(used_before);
                store.put(block, class);
                let limit = store.allowance(current_bytes());
                store.shrink_to(limit);
            }),
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let (old_class, new_class) = (class_of(layout), class_of(new_layout));
        if old_class.is_some() && old_class == new_class {
            count_out(layout.size());
            count_in(new_size);
            return block;
        }
        if old_class.is_none() && new_class.is_none() {
            // SAFETY: `alloc` took it from `System` under this layout; the rest is the caller's promise.
            let moved = unsafe { System.realloc(block, layout, new_size) };
            if !moved.is_null() {
                count_out(layout.size());
                count_in(new_size);
            }
            return moved;
        }
        // SAFETY: the caller's promises are those of `alloc` and `dealloc`; both blocks hold the bytes copied.
        unsafe {
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    #[test]
    fn a_class_holds_its_requests_and_wastes_at_most_an_eighth() {
        assert_eq!(class_of(layout(1 << 16)), None);
        let mut previous = 0;
        for size in (0..400).map(|i| 65_537 + i * i * i * 31) {
            let class = class_of(layout(size)).unwrap();
            assert!(class_bytes(class) >= size, "{size}");
            assert!(class_bytes(class) - size <= size / 8, "{size}");
            assert!(class >= previous);
            previous = class;
        }
        for class in 0..CLASSES {
            assert_eq!(class_of(layout(class_bytes(class))), Some(class));
        }
        assert_eq!(class_of(layout(class_bytes(CLASSES - 1) + 1)), None);
    }

    // One test for all that depends on the process-wide counters, since tests run at the same time. The allocator is
    // not the test binary's own.
    #[test]
    fn large_blocks_are_reused_zeroed_counted_and_bounded() {
        let allocator = Reusing::new();
        let (small, large) = (layout(1000), layout(1 << 20));
        // SAFETY: each block is used within its size and freed once, under the layout it was asked for with.
        unsafe {
            let before = current_bytes();
            let first = allocator.alloc(large);
            assert_eq!(first as usize % ALIGNMENT, 0);
            first.write_bytes(7, large.size());
            assert_eq!(current_bytes() - before, large.size());
            assert!(peak_bytes() >= before + large.size());
            // A second one in use raises the measure of what may be kept.
            let second = allocator.alloc(large);
            allocator.dealloc(first, large);
            assert_eq!(kept_bytes(), class_bytes(class_of(large).unwrap()));

            let again = allocator.alloc_zeroed(layout((1 << 20) - 5000));
            assert_eq!(again, first, "same class, so the same block");
            assert!((0..(1 << 20) - 5000).all(|at| *again.add(at) == 0));
            assert_eq!(kept_bytes(), 0);

            let grown = allocator.realloc(again, layout((1 << 20) - 5000), 1 << 20);
            assert_eq!(grown, again, "still the same class");
            let moved = allocator.realloc(grown, large, 3 << 20);
            assert_ne!(moved, grown);
            allocator.dealloc(moved, layout(3 << 20));
            allocator.dealloc(second, large);
            assert!(
                kept_bytes() <= 5 << 20,
                "more than half above the most used at one time, 4 MiB and a little"
            );
            allocator.release();
            assert_eq!(kept_bytes(), 0);

            let tiny = allocator.alloc(small);
            allocator.dealloc(tiny, small);
            assert_eq!(kept_bytes(), 0);
            assert_eq!(current_bytes(), before);
        }
    }
}
